import { type ClusterId, MalformedIdError, parseClusterId } from '../base/index.ts'
import type { TlsOptions } from '../transport/index.ts'
import { DEFAULTS } from './defaults.ts'
import { InvalidOptionsError } from './errors.ts'
import { type Logger, silentLogger } from './logger.ts'
import type { TransactionOptions } from './transaction.ts'

/** How all transactions of a `Concordat` run. Times are milliseconds. */
export interface CommonOptions {
  /** The time of a transaction whose own options name none, 1 to 86,400,000. Default 30,000. */
  readonly timeoutMs?: number
  /**
   * However little of a transaction's time is left when it asks for the decision, the answer is waited for this long, so that
   * a coordinator's crash and the election after it fit in. Without an answer then: OutcomeUnknownError. Default 5,000.
   */
  readonly decisionTimeoutMs?: number
  /** How long `close()` waits for running transactions before it aborts them, and again for unfinished branches. Default 10,000. */
  readonly closeTimeoutMs?: number
  /**
   * Whether transactions that have waited for a while are told to the coordinators, who find deadlocks over several databases and abort
   * the youngest in each (reason `deadlock`). Costs nothing while nobody waits. Default true.
   */
  readonly deadlockDetection?: boolean
  /** Where to say what no call reports, for example a branch that could not be finished at once. Default: nowhere. */
  readonly logger?: Logger
}

/** How to reach a fleet of coordinators. */
export interface ConcordatOptions extends CommonOptions {
  /** `host:port` of some or all coordinators, as an array or with commas between. The rest is learned from them. */
  readonly coordinators: string | readonly string[]
  /** Speak TLS with the coordinators; with `key` and `cert` it is mutual. */
  readonly tls?: TlsOptions
  /** This application's name, for the coordinators' logs. At most 100 characters. Default `client`. */
  readonly name?: string
  /**
   * The fleet's cluster id. Given, coordinators of another cluster are refused, and transactions over one database work
   * without any coordinator in reach from the first one on; otherwise the first needs one coordinator, once.
   */
  readonly clusterId?: string
}

/** Checked options with every default filled in. */
export interface Settings {
  readonly timeoutMs: number
  readonly decisionTimeoutMs: number
  readonly closeTimeoutMs: number
  readonly deadlockDetection: boolean
  readonly logger: Logger
}

/** Where a coordinator listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Checked addresses and identity of a fleet. */
export interface FleetSettings {
  readonly addresses: readonly Address[]
  readonly tls: TlsOptions | undefined
  readonly name: string
  readonly clusterId: ClusterId | undefined
}

const COMMON_KEYS = ['timeoutMs', 'decisionTimeoutMs', 'closeTimeoutMs', 'deadlockDetection', 'logger']
const FLEET_KEYS = ['coordinators', 'tls', 'name', 'clusterId']
const NAME_LENGTH_MAX = 100

/** @throws InvalidOptionsError that names the key and what was expected */
export function checkCommon(options: CommonOptions, otherKeys: readonly string[] = []): Settings {
  checkKeys(options, [...COMMON_KEYS, ...otherKeys])
  return {
    timeoutMs: checkMs('timeoutMs', options.timeoutMs, DEFAULTS.timeoutMs),
    decisionTimeoutMs: checkMs('decisionTimeoutMs', options.decisionTimeoutMs, DEFAULTS.decisionTimeoutMs),
    closeTimeoutMs: checkMs('closeTimeoutMs', options.closeTimeoutMs, DEFAULTS.closeTimeoutMs),
    deadlockDetection: checkFlag('deadlockDetection', options.deadlockDetection, true),
    logger: checkLogger(options.logger),
  }
}

/** @throws InvalidOptionsError that names the key and what was expected */
export function checkFleet(options: ConcordatOptions): { readonly settings: Settings; readonly fleet: FleetSettings } {
  const settings = checkCommon(options, FLEET_KEYS)
  const { tls, name = 'client', clusterId } = options
  if (tls !== undefined && (typeof tls !== 'object' || tls === null)) {
    throw new InvalidOptionsError('tls', 'an object with ca, cert, key …', tls)
  }
  if (typeof name !== 'string' || name.length === 0 || name.length > NAME_LENGTH_MAX) {
    throw new InvalidOptionsError('name', `a text of 1 to ${NAME_LENGTH_MAX} characters`, name)
  }
  const addresses = parseAddresses(options.coordinators)
  return { settings, fleet: { addresses, tls, name, clusterId: checkClusterId(clusterId) } }
}

/** The options of one transaction, with defaults. @throws InvalidOptionsError */
export function checkTransaction(options: TransactionOptions, settings: Settings): Required<TransactionOptions> {
  checkKeys(options, ['timeoutMs', 'signal'])
  const { signal } = options
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw new InvalidOptionsError('signal', 'an AbortSignal', signal)
  }
  return { timeoutMs: checkMs('timeoutMs', options.timeoutMs, settings.timeoutMs), signal }
}

/** @throws InvalidOptionsError unless `text` is undefined or a cluster id */
export function checkClusterId(text: string | undefined): ClusterId | undefined {
  if (text === undefined) return undefined
  try {
    return parseClusterId(text)
  } catch (error) {
    if (error instanceof MalformedIdError) throw new InvalidOptionsError('clusterId', CLUSTER_ID_FORM, text)
    throw error
  }
}

/** `host:port`, `[::1]:port`, or undefined when it is neither. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:,[\]/]+)):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const port = Number(match[3])
  const host = match[1] ?? match[2]
  if (host === undefined || port < 1 || port > 65_535) return undefined
  return { host, port }
}

function parseAddresses(coordinators: unknown): readonly Address[] {
  const list = typeof coordinators === 'string' ? coordinators.split(',').map((text) => text.trim()) : coordinators
  if (!Array.isArray(list) || list.length === 0) {
    throw new InvalidOptionsError('coordinators', `one or more addresses, ${ADDRESS_FORM}`, coordinators)
  }
  return list.map((text, index) => {
    const address = typeof text === 'string' ? parseAddress(text) : undefined
    if (address === undefined) throw new InvalidOptionsError(`coordinators[${index}]`, ADDRESS_FORM, text)
    return address
  })
}

function checkKeys(options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidOptionsError('options', 'an object', options)
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key))
      throw new InvalidOptionsError(key, `left out: it is unknown; known are ${known.join(', ')}`, 'set')
  }
}

function checkMs(key: string, value: unknown, standard: number): number {
  if (value === undefined) return standard
  const { timeoutMsMin: low, timeoutMsMax: high } = DEFAULTS
  if (typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high) return value
  throw new InvalidOptionsError(key, `a whole number of milliseconds from ${low} to ${high}`, value)
}

function checkFlag(key: string, value: unknown, standard: boolean): boolean {
  if (value === undefined) return standard
  if (typeof value === 'boolean') return value
  throw new InvalidOptionsError(key, 'true or false', value)
}

function checkLogger(logger: unknown): Logger {
  if (logger === undefined) return silentLogger
  const shape = logger as Partial<Record<string, unknown>> | null
  const complete = ['debug', 'info', 'warn', 'error'].every((method) => typeof shape?.[method] === 'function')
  if (!complete)
    throw new InvalidOptionsError('logger', 'an object with the methods debug, info, warn and error', logger)
  return logger as Logger
}

const ADDRESS_FORM = '"host:port" with a port from 1 to 65535, for example "10.0.0.1:7400"'
const CLUSTER_ID_FORM = '1 to 12 letters, digits or hyphens, for example "trips"'
