import {
  type Clock,
  type ClusterId,
  isParticipantName,
  PARTICIPANT_NAME_RULE,
  parseClusterId,
} from '../../base/index.ts'
import type { Network, TlsOptions } from '../../transport/index.ts'
import { KvInvalidError } from '../engine/errors.ts'
import { KeyValueStore } from './key-value-store.ts'
import { RemoteChannel } from './remote-channel.ts'

/** Where a key-value participant is. */
export interface KvClientOptions {
  /** Its name, as in its configuration. 1 to 64 characters of `A-Z a-z 0-9 . _ -`. */
  readonly name: string
  /** `host:port` where it listens. */
  readonly address: string
  /** Speak TLS with it; with `key` and `cert` it is mutual. */
  readonly tls?: TlsOptions
  /** Its fleet's cluster id. Given, a participant of another cluster is refused. */
  readonly clusterId?: string
  /** The time of a call outside of transactions, in milliseconds, 1 to 86,400,000. Default 15,000. */
  readonly timeoutMs?: number
}

/** What the simulator replaces. @internal */
export interface KvClientSeams {
  readonly clock?: Clock
  readonly network?: Network
  /** From 0 to below 1: jitter only. */
  readonly random?: () => number
  readonly randomFill?: (bytes: Uint8Array) => void
  readonly hold?: () => () => void
}

const KEYS = ['name', 'address', 'tls', 'clusterId', 'timeoutMs']
const TIMEOUT_MS = 15_000
const TIMEOUT_MS_MAX = 86_400_000

/**
 * A key-value participant, for `tx.enlist` and for calls of its own. Make one for the process and share it; it connects when
 * it is first used.
 *
 * @param seams the simulator's; an application leaves it out
 * @throws KvInvalidError for a wrong option
 * @example
 * const accounts = kv({ name: 'accounts', address: '10.0.0.5:7500' })
 * await concordat.transaction(async (tx) => {
 *   const branch = await tx.enlist(accounts)
 *   await branch.add('account/ada', -40)
 * })
 * await accounts.get('account/ada')
 */
export function kv(options: KvClientOptions, seams: KvClientSeams = {}): KeyValueStore {
  if (typeof options !== 'object' || options === null) throw wrong('options', 'an object', options)
  for (const key of Object.keys(options)) {
    if (!KEYS.includes(key)) throw wrong(key, `left out: it is unknown; known are ${KEYS.join(', ')}`, 'set')
  }
  const { name, address, tls, timeoutMs = TIMEOUT_MS } = options
  if (typeof name !== 'string' || !isParticipantName(name)) throw wrong('name', PARTICIPANT_NAME_RULE, name)
  if (tls !== undefined && (typeof tls !== 'object' || tls === null)) {
    throw wrong('tls', 'an object with ca, cert, key …', tls)
  }
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > TIMEOUT_MS_MAX) {
    throw wrong('timeoutMs', `a whole number of milliseconds from 1 to ${TIMEOUT_MS_MAX}`, timeoutMs)
  }
  const endpoint = endpointOf(address)
  const channel = new RemoteChannel({ ...seams, name, ...endpoint, tls, clusterId: clusterOf(options.clusterId) })
  return new KeyValueStore({ ...seams, name, address, channel, timeoutMs })
}

function endpointOf(address: unknown): { readonly host: string; readonly port: number } {
  const match = typeof address === 'string' ? /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:,[\]/]+)):(\d{1,5})$/.exec(address) : null
  const port = Number(match?.[3])
  const host = match?.[1] ?? match?.[2]
  if (host === undefined || port < 1 || port > 65_535) {
    throw wrong('address', '"host:port" with a port from 1 to 65535, for example "10.0.0.5:7500"', address)
  }
  return { host, port }
}

function clusterOf(text: string | undefined): ClusterId | undefined {
  if (text === undefined) return undefined
  try {
    return parseClusterId(text)
  } catch {
    throw wrong('clusterId', '1 to 12 letters, digits or hyphens, for example "trips"', text)
  }
}

function wrong(key: string, expected: string, got: unknown): KvInvalidError {
  const shown = typeof got === 'string' ? JSON.stringify(got) : typeof got === 'object' ? 'an object' : String(got)
  return new KvInvalidError(`option ${key} of kv() must be ${expected}, but it is ${shown}`)
}
