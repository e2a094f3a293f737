import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { isParticipantName, MalformedIdError, PARTICIPANT_NAME_RULE, parseClusterId } from '../../base/index.ts'
import { parseAddress } from '../../client/index.ts'
import { isLoopback, type KeyValueParticipantOptions } from './options.ts'

const address = z
  .string()
  .refine((text) => parseAddress(text) !== undefined, 'expected host:port, for example 10.0.0.1:7400')

const cluster = z.string().superRefine((text, context) => {
  try {
    parseClusterId(text)
  } catch (error) {
    if (!(error instanceof MalformedIdError)) throw error
    context.addIssue({ code: 'custom', message: error.message })
  }
})

const milliseconds = z.int('expected whole milliseconds').min(1)
const count = z.int('expected a whole number').min(1)

/** The configuration file of `concordat participant kv`. Every key has its line in docs/reference/configuration.md. */
export const kvConfigSchema = z
  .strictObject({
    cluster,
    name: z.string().refine(isParticipantName, `expected ${PARTICIPANT_NAME_RULE}`),
    data: z.string().min(1),
    listen: address,
    coordinators: z.array(address).min(1, 'name at least one coordinator'),
    tls: z.strictObject({ key: z.string(), cert: z.string(), ca: z.string().optional() }).optional(),
    rules: z.array(z.strictObject({ kind: z.enum(['notBelowZero', 'unique']), prefix: z.string() })).default([]),
    limits: z
      .strictObject({
        lockTimeoutMs: milliseconds.default(10_000),
        branchBytesMax: count.max(8 * 1024 * 1024, 'at most 8 MiB').default(4 * 1024 * 1024),
        openBytesMax: count.default(256 * 1024 * 1024),
        checkpointBytes: count.default(8 * 1024 * 1024),
        branchesMax: count.default(10_000),
        callsMax: count.default(1_000),
        callBytesMax: count.default(64 * 1024 * 1024),
      })
      .prefault({}),
    keepMs: milliseconds.default(3_600_000),
    log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info') }).prefault({}),
  })
  .superRefine(({ listen, tls }, context) => {
    const host = parseAddress(listen)?.host
    if (tls !== undefined || host === undefined || isLoopback(host)) return
    const message =
      'without TLS a participant listens on loopback only; set tls.key, tls.cert and tls.ca, or listen on 127.0.0.1'
    context.addIssue({ code: 'custom', path: ['listen'], message })
  })

/** A checked configuration, defaults filled in. */
export type KvConfig = z.output<typeof kvConfigSchema>

/** A configuration as options. @param read reads a PEM file; its name is for error messages */
export function optionsOf(
  config: KvConfig,
  read: (key: string, file: string) => string = (_, file) => readFileSync(file, 'utf8'),
): KeyValueParticipantOptions {
  const { cluster: clusterId, log: _log, tls, ...rest } = config
  if (tls === undefined) return { ...rest, clusterId }
  const { key, cert, ca } = tls
  const pem = { key: read('key', key), cert: read('cert', cert), ...(ca !== undefined && { ca: read('ca', ca) }) }
  return { ...rest, clusterId, tls: pem }
}
