import { isParticipantName, PARTICIPANT_NAME_RULE } from '../../base/index.ts'
import { type ConcordatOptions, InvalidOptionsError, type Logger, parseAddress } from '../../client/index.ts'
import type { KvOptions, Rule } from '../../kv/index.ts'

/** What one key-value participant may take. */
export interface KeyValueLimits
  extends Pick<KvOptions, 'lockTimeoutMs' | 'branchBytesMax' | 'openBytesMax' | 'checkpointBytes'> {
  /** Branches at work at a time. Default 10,000. */
  readonly branchesMax?: number
  /** Begins and statements of one connection that have no answer yet; never what ends a transaction. Default 1,000. */
  readonly callsMax?: number
  /** Bytes of all begins and statements that have no answer yet. Default 64 MiB. */
  readonly callBytesMax?: number
}

/** How a key-value participant runs. */
export interface KeyValueParticipantOptions {
  /** Its name: applications enlist it by this. One process at a time has it. 1 to 64 characters of `A-Z a-z 0-9 . _ -`. */
  readonly name: string
  /** `host:port` of some or all coordinators, as an array or with commas between. The rest is learned from them. */
  readonly coordinators: ConcordatOptions['coordinators']
  /** The fleet's cluster id. The data belongs to it. */
  readonly clusterId: string
  /** A directory for its log and its data: of its own, on a disk that lasts, the same after each restart. */
  readonly data: string
  /** `host:port` for applications. Without TLS on loopback only. Left out: only this process uses it, through `store`. */
  readonly listen?: string
  /** TLS with the coordinators and on its own port; with `ca` it is mutual. */
  readonly tls?: ConcordatOptions['tls']
  /** What must be true of the data after every transaction. Unique rules stay as they were when the data was made. */
  readonly rules?: readonly Rule[]
  readonly limits?: KeyValueLimits
  /**
   * How long outcomes are remembered, to answer repeats. A transaction that began earlier than this and comes here for the
   * first time is refused. Default 3,600,000: an hour.
   */
  readonly keepMs?: number
  /** Where to say what no call reports. Default: nowhere. */
  readonly logger?: Logger
}

const KEYS = ['name', 'coordinators', 'clusterId', 'data', 'listen', 'tls', 'rules', 'limits', 'keepMs', 'logger']
const LIMITS = [
  'lockTimeoutMs',
  'branchBytesMax',
  'openBytesMax',
  'checkpointBytes',
  'branchesMax',
  'callsMax',
  'callBytesMax',
]

/** @throws InvalidOptionsError that names the key and what was expected */
export function checkKeyValueOptions(options: KeyValueParticipantOptions): void {
  const { name, clusterId, data, listen, tls, limits = {}, keepMs } = options
  known(options, KEYS, '')
  known(limits, LIMITS, 'limits.')
  if (typeof name !== 'string' || !isParticipantName(name)) {
    throw new InvalidOptionsError('name', PARTICIPANT_NAME_RULE, name)
  }
  if (typeof clusterId !== 'string') throw new InvalidOptionsError('clusterId', 'the fleet’s cluster id', clusterId)
  if (typeof data !== 'string' || data === '') throw new InvalidOptionsError('data', 'the path of a directory', data)
  if (listen !== undefined) listenEndpoint(listen, tls !== undefined)
  const numbers = {
    ...Object.fromEntries(Object.entries(limits).map(([key, value]) => [`limits.${key}`, value])),
    keepMs,
  }
  for (const [key, value] of Object.entries(numbers)) {
    if (value === undefined || (Number.isInteger(value) && value > 0)) continue
    throw new InvalidOptionsError(key, 'a whole number above 0', value)
  }
}

/** Where to listen. @throws InvalidOptionsError */
export function listenEndpoint(listen: string, hasTls: boolean): { readonly host: string; readonly port: number } {
  // Port 0: any that is free.
  const isAnyPort = /:0$/.test(listen)
  const endpoint = parseAddress(isAnyPort ? listen.replace(/:0$/, ':1') : listen)
  if (endpoint === undefined)
    throw new InvalidOptionsError('listen', '"host:port", for example "127.0.0.1:7500"', listen)
  if (!hasTls && !isLoopback(endpoint.host)) {
    throw new InvalidOptionsError(
      'listen',
      'a loopback address while there is no tls: whoever reaches the port can change the data',
      listen,
    )
  }
  return { host: endpoint.host, port: isAnyPort ? 0 : endpoint.port }
}

/** Whether only this machine can reach `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function known(options: object, keys: readonly string[], prefix: string): void {
  if (typeof options !== 'object' || options === null) throw new InvalidOptionsError(prefix, 'an object', options)
  for (const key of Object.keys(options)) {
    if (keys.includes(key)) continue
    throw new InvalidOptionsError(prefix + key, `left out: it is unknown; known are ${keys.join(', ')}`, 'set')
  }
}
