import { z } from 'zod'
import {
  isParticipantName,
  MalformedIdError,
  PARTICIPANT_NAME_RULE,
  parseClusterId,
  parseNodeId,
} from '../base/index.ts'

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
    /** Services that take part over a connection of their own, known before any instance has come. */
    participants: z.array(participantName).default([]),
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
    unique(
      config.resources.map((each) => each.name),
      'resources',
      'name',
      context,
    )
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
