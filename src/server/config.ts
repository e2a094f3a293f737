import { z } from 'zod'
import {
  isParticipantName,
  MalformedIdError,
  PARTICIPANT_NAME_RULE,
  parseClusterId,
  parseNodeId,
} from '../base/index.ts'
import { checkHttp, serviceUrl } from './services/config-checks.ts'

/** `host:port`, with IPv6 hosts in brackets. */
export const address = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:]+\]|[^:\s]+):\d{1,5}$/, 'expected host:port, for example 10.0.0.1:7400')
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'a port is at most 65535')

/** Runs a parser of ids and reports its message at the key. */
export function checkedBy<In, Out>(schema: z.ZodType<In>, parse: (value: In) => Out) {
  return schema.transform((value, context): Out => {
    try {
      return parse(value)
    } catch (error) {
      if (!(error instanceof MalformedIdError)) throw error
      context.addIssue({ code: 'custom', message: error.message })
      return z.NEVER
    }
  })
}

const milliseconds = z.int('expected whole milliseconds').min(1)
const count = z.int('expected a whole number').min(1)

const member = z.strictObject({
  id: checkedBy(z.number(), parseNodeId),
  address,
})

const participantName = z.string().refine(isParticipantName, `expected ${PARTICIPANT_NAME_RULE}`)

const resource = z.strictObject({
  name: participantName,
  kind: z.enum(['postgres', 'mysql']),
  /** Connection URL; take secrets from the environment: `url: ${FLIGHTS_URL}`. */
  url: z.url('expected a connection URL such as postgres://user:password@host:5432/database'),
  /** MySQL/MariaDB: where branches leave their witness rows: `true` (the default table) or a table's name. */
  witness: z.union([z.boolean(), z.string()]).optional(),
})

/** Names one by one, or with what belongs to them. */
const participant = z.preprocess(
  (given) => (typeof given === 'string' ? { name: given } : given),
  z
    .strictObject({
      name: participantName,
      /** Where the coordinators call the service, one URL for each of its instances; without it the service connects by itself. */
      url: z.preprocess((given) => (typeof given === 'string' ? [given] : given), z.array(serviceUrl)).default([]),
      /** Signs what the coordinators ask; take it from the environment: `secret: ${PAYMENTS_SECRET}`. */
      secret: z.string().min(16, 'a secret has at least 16 characters').optional(),
      /** Sent as bearer token instead. */
      token: z
        .string()
        .regex(/^[\w.~+/=-]{16,}$/, 'a token has at least 16 characters of A-Z a-z 0-9 . _ ~ + / = -')
        .optional(),
      /** PEM file: who signed the services' certificates. */
      ca: z.string().optional(),
      /** Calls may go over http:// to other machines: their network is trusted. */
      plainHttp: z.boolean('expected true or false').default(false),
      timeoutMs: milliseconds.max(60_000).default(5_000),
      concurrency: count.max(1_000).default(32),
    })
    .superRefine(checkHttp),
)

const tls = z.strictObject({
  key: z.string(),
  cert: z.string(),
  /** Certificates of other nodes and of clients must be signed by this authority (mutual TLS). */
  ca: z.string().optional(),
})

/** The configuration file of `concordat serve`. Every key has its line in docs/reference/configuration.md. */
export const configSchema = z
  .strictObject({
    cluster: checkedBy(z.string(), parseClusterId),
    node: checkedBy(z.number(), parseNodeId),
    data: z.string().min(1),
    listen: address.optional(),
    members: z.array(member).min(1, 'name at least this node itself'),
    join: z.boolean('expected true or false').default(false),
    resources: z.array(resource).default([]),
    /** Services: those that the coordinators call at their URLs, and names to know before an instance has connected by itself. */
    participants: z.array(participant).default([]),
    tls: tls.optional(),
    raft: z
      .strictObject({
        heartbeatMs: milliseconds.default(50),
        electionTimeoutMs: milliseconds.default(300),
      })
      .prefault({}),
    snapshots: z
      .strictObject({
        bytes: count.default(64 * 1024 * 1024),
        entries: count.default(250_000),
        tailBytes: count.default(16 * 1024 * 1024),
        tailEntries: count.default(50_000),
      })
      .prefault({}),
    transactions: z
      .strictObject({
        openMax: count.default(100_000),
        keepMs: milliseconds.default(3_600_000),
        keepCount: count.default(100_000),
      })
      .prefault({}),
    /** What one application may have under way; defaults in client-quota.ts. */
    clients: z
      .strictObject({
        openMax: count.optional(),
        branchesMax: count.optional(),
        bytesMax: count.optional(),
      })
      .optional(),
    resolver: z
      .strictObject({
        scanMs: milliseconds.default(5_000),
        graceMs: milliseconds.default(1_000),
      })
      .prefault({}),
    log: z
      .strictObject({
        level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    const ids = config.members.map((each) => each.id)
    if (!ids.includes(config.node) && !config.join) {
      context.addIssue({ code: 'custom', path: ['members'], message: `node ${config.node} is not among the members` })
    }
    if (!ids.includes(config.node) && config.join && config.listen === undefined) {
      const message = 'is missing: a node that joins and is not among the members must be told where to listen'
      context.addIssue({ code: 'custom', path: ['listen'], message })
    }
    if (config.join && ids.every((id) => id === config.node)) {
      const message = 'a node that joins needs the address of a member that is there already'
      context.addIssue({ code: 'custom', path: ['members'], message })
    }
    unique(ids, 'members', 'id', context)
    const databases = config.resources.map((each) => each.name)
    unique(databases, 'resources', 'name', context)
    unique(
      config.participants.map((each) => each.name),
      'participants',
      'name',
      context,
    )
    for (const [index, { name }] of config.participants.entries()) {
      if (!databases.includes(name)) continue
      context.addIssue({ code: 'custom', path: ['participants', index, 'name'], message: `${name} is a database` })
    }
    if (config.raft.heartbeatMs * 3 > config.raft.electionTimeoutMs) {
      context.addIssue({
        code: 'custom',
        path: ['raft', 'electionTimeoutMs'],
        message: 'must be at least three heartbeats long, or a lost packet starts an election',
      })
    }
  })

function unique(values: readonly unknown[], list: string, key: string, context: z.RefinementCtx): void {
  for (const [index, value] of values.entries()) {
    if (values.indexOf(value) === index) continue
    context.addIssue({ code: 'custom', path: [list, index, key], message: `${String(value)} is named twice` })
  }
}

/** A checked configuration, defaults filled in. */
export type ServerConfig = z.output<typeof configSchema>

/** What may be written in the file or given by flags. */
export type ServerConfigInput = z.input<typeof configSchema>
