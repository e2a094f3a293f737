import { z } from 'zod'
import { SIGNATURE_HEADER } from './credentials.ts'
import {
  abortedAnswer,
  committedAnswer,
  contradictionAnswer,
  decisionRequest,
  inDoubtAnswer,
  listedBranch,
  prepareRequest,
  problemAnswer,
  SERVICE_PATHS,
  voteAnswer,
} from './service-protocol.ts'

/** The schemas that the document names, by the names that it gives them. */
const SCHEMAS: Readonly<Record<string, z.ZodType>> = {
  PrepareRequest: prepareRequest,
  DecisionRequest: decisionRequest,
  Vote: voteAnswer,
  Committed: committedAnswer,
  Aborted: abortedAnswer,
  EndedOtherwise: contradictionAnswer,
  InDoubt: inDoubtAnswer,
  OpenBranch: listedBranch,
  Problem: problemAnswer,
}

/** What a service offers to coordinators, as an OpenAPI document. It is committed beside the docs; a test compares both. */
export function serviceOpenApi(): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Concordat: a service that takes part in transactions',
      version: '1.0.0',
      description:
        'What a service offers behind the URL that the coordinators’ configuration names. Coordinators follow no redirects, and take only what stands here for a vote or an acknowledgement. See docs/http-services.md.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      {
        url: 'https://{service}',
        description: 'Behind any path.',
        variables: { service: { default: 'payments.example/concordat' } },
      },
    ],
    security: [{ signature: [] }, { token: [] }, {}],
    paths: {
      [SERVICE_PATHS.prepare]: {
        post: {
          operationId: 'prepare',
          summary: 'PREPARE: asks for the vote of one branch',
          requestBody: body('PrepareRequest'),
          responses: { '200': answer('Vote', 'The vote.'), ...problems('404') },
        },
      },
      [SERVICE_PATHS.commit]: { post: decision('commit', 'GLOBAL-COMMIT', 'Committed') },
      [SERVICE_PATHS.abort]: { post: decision('abort', 'GLOBAL-ABORT', 'Aborted') },
      [SERVICE_PATHS.inDoubt]: {
        get: {
          operationId: 'inDoubt',
          summary: 'Lists the branches that have not ended',
          parameters: [
            {
              name: 'cluster',
              in: 'query',
              required: true,
              schema: { type: 'string', pattern: '^[A-Za-z0-9-]{1,12}$' },
              description: 'Whose branches.',
            },
          ],
          responses: { '200': answer('InDoubt', 'What has not ended.'), ...problems() },
        },
      },
    },
    components: {
      securitySchemes: {
        signature: {
          type: 'apiKey',
          in: 'header',
          name: SIGNATURE_HEADER,
          description:
            't=<seconds since 1970>,v1=<hex HMAC-SHA-256 under the shared secret of "<seconds>.<METHOD>.<path from /v1 on, with query>.<body>">',
        },
        token: { type: 'http', scheme: 'bearer' },
      },
      schemas: schemas(),
    },
  }
}

function schemas(): Record<string, unknown> {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id })
  const { schemas: made } = z.toJSONSchema(registry, { uri: (id) => `#/components/schemas/${id}`, io: 'input' })
  return Object.fromEntries(Object.entries(made).map(([id, { $id: _, $schema: __, ...schema }]) => [id, schema]))
}

function reference(name: string) {
  return { $ref: `#/components/schemas/${name}` }
}

function body(name: string) {
  return { required: true, content: { 'application/json': { schema: reference(name) } } }
}

function answer(name: string, description: string) {
  return { description, content: { 'application/json': { schema: reference(name) } } }
}

function decision(operationId: string, word: string, name: string) {
  return {
    operationId,
    summary: `${word}: tells what was decided`,
    requestBody: body('DecisionRequest'),
    responses: {
      '200': answer(name, 'It is carried out, durably.'),
      '409': {
        description: 'The branch ended the other way before, or the request is for another service.',
        content: { 'application/json': { schema: { anyOf: [reference('EndedOtherwise'), reference('Problem')] } } },
      },
      ...problems('404'),
    },
  }
}

const PROBLEMS: Readonly<Record<string, string>> = {
  '400': 'The request can’t be read.',
  '401': 'The credentials are missing or wrong.',
  '404': 'This instance does not know the branch. No vote, and at commit no success: it is asked again.',
  '503': 'Not now, or not done yet: it is asked again.',
}

function problems(...more: readonly string[]): Record<string, unknown> {
  const codes = ['400', '401', ...more, '503']
  return Object.fromEntries(codes.map((code) => [code, answer('Problem', PROBLEMS[code] ?? '')]))
}
