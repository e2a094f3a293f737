import type { IncomingMessage, ServerResponse } from 'node:http'
import { BODY_BYTES_MAX } from '../../api/index.ts'
import type { Desk } from './desk.ts'
import { ANSWER_HEADERS, type DeskAnswer, problem } from './desk-answer.ts'
import { targetOf } from './desk-request.ts'

/** A handler for `http.createServer`, and for whatever hands on Node's own request and response. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => void

/** A middleware of Express (and of Connect). */
export type ExpressHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void

/** The part of Hono's context that is used. */
export interface HonoContext {
  readonly req: { readonly raw: Request }
}

/** The part of a Fastify instance that is used. */
export interface FastifyInstance {
  removeAllContentTypeParsers(): unknown
  addContentTypeParser(
    type: string,
    options: { readonly parseAs: 'buffer'; readonly bodyLimit: number },
    parse: (request: unknown, body: Buffer, done: (error: Error | null, body?: unknown) => void) => void,
  ): unknown
  route(route: {
    method: ('GET' | 'POST')[]
    url: string
    handler: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>
  }): unknown
}

/** The part of a Fastify request that is used. */
export interface FastifyRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: unknown
}

/** The part of a Fastify reply that is used. */
export interface FastifyReply {
  code(status: number): { headers(values: Record<string, string>): { send(body: string): unknown } }
}

const TOO_LONG = `the body is longer than ${BODY_BYTES_MAX} bytes`
const BODY_GONE =
  'another middleware has read the body before; offer this one before it (Express: before express.json())'

/** For `node:http`. */
export function nodeHandler(desk: Desk): NodeHandler {
  return (request, response) => {
    // It rejects when the caller hangs up amid its question: there is nobody to answer.
    answerNode(desk, request, response).catch(() => response.destroy())
  }
}

/** For Express: what is not for us goes on. */
export function expressHandler(desk: Desk): ExpressHandler {
  return (request, response, next) => {
    if (targetOf(request.url ?? '') === undefined) next()
    else answerNode(desk, request, response).catch(next)
  }
}

/** For Fastify: a plugin with a parser of its own, since a signature covers the body's bytes. */
export function fastifyPlugin(desk: Desk): (instance: FastifyInstance) => Promise<void> {
  return async (instance) => {
    instance.removeAllContentTypeParsers()
    const options = { parseAs: 'buffer', bodyLimit: BODY_BYTES_MAX } as const
    instance.addContentTypeParser('*', options, (_request, body, done) => done(null, body))
    const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      const { method, url, headers } = request
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
      const answer = await desk.answer({ method, url, body, header: (name) => single(headers[name]) })
      return reply
        .code(answer.status)
        .headers({ ...ANSWER_HEADERS })
        .send(JSON.stringify(answer.body))
    }
    instance.route({ method: ['GET', 'POST'], url: '/v1/*', handler })
  }
}

/** For Hono, and for everything else that speaks in `Request` and `Response`. */
export function fetchHandler(desk: Desk): (request: Request) => Promise<Response> {
  return async (request) => {
    const answer = await answerFetch(desk, request)
    return new Response(JSON.stringify(answer.body), { status: answer.status, headers: ANSWER_HEADERS })
  }
}

async function answerFetch(desk: Desk, { method, url, headers, body: given }: Request): Promise<DeskAnswer> {
  const body = await readAll(given ?? [], headers.get('content-length'))
  if (body === undefined) return problem(400, 'SERVICE_BAD_REQUEST', TOO_LONG)
  return desk.answer({ method, url, body, header: (name) => headers.get(name) ?? undefined })
}

async function answerNode(desk: Desk, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, body } = await answerIncoming(desk, request)
  // Nothing more of a request that was refused half way is wanted.
  const close = request.complete ? {} : { connection: 'close' }
  response.writeHead(status, { ...ANSWER_HEADERS, ...close }).end(JSON.stringify(body))
}

async function answerIncoming(desk: Desk, request: IncomingMessage): Promise<DeskAnswer> {
  const { method = '', url = '', headers } = request
  const { rawBody } = request as { rawBody?: unknown }
  if (request.readableEnded && method === 'POST' && !Buffer.isBuffer(rawBody)) {
    return problem(400, 'SERVICE_BAD_REQUEST', BODY_GONE)
  }
  const body = Buffer.isBuffer(rawBody) ? rawBody : await readAll(request, headers['content-length'])
  if (body === undefined) return problem(400, 'SERVICE_BAD_REQUEST', TOO_LONG)
  return desk.answer({ method, url, body, header: (name) => single(headers[name]) })
}

/**
 * Undefined: it is too long. A length that is told is believed before anything is read; a body that is longer than it
 * says is cut off, and its connection with it.
 */
async function readAll(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  toldLength: string | null | undefined,
): Promise<Buffer | undefined> {
  if (Number(toldLength ?? 0) > BODY_BYTES_MAX) return undefined
  const all: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) return undefined
    all.push(chunk)
  }
  return Buffer.concat(all)
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}
