import type { Clock } from '../../base/index.ts'
import type { Disk, WalIdentity } from '../../wal/index.ts'
import type { Rule } from '../constraints/index.ts'
import { KvInvalidError } from './errors.ts'
import { PREFIX_BYTES_MAX } from './keys.ts'
import type { KvStore } from './store.ts'

export interface KvOptions {
  /** Holds the log (`log/`) and the data (`data/`); made if it is missing. */
  readonly directory: string
  /** Whose data it is: it does not open under another identity. */
  readonly identity: WalIdentity
  /** What must be true of the data after every transaction. Unique rules stay as they were when the data was made. */
  readonly rules?: readonly Rule[]
  /** How long a call waits for a lock before its transaction is rolled back. Default 10,000. */
  readonly lockTimeoutMs?: number
  /** What one transaction may write, in bytes, with its locks. Default 4 MiB. */
  readonly branchBytesMax?: number
  /**
   * Memory that all transactions together may take with their writes and locks, those in doubt included, in bytes, about;
   * beyond it work is refused. Default 256 MiB.
   */
  readonly openBytesMax?: number
  /** Committed bytes that are kept in memory before the data is written. Default 8 MiB; at most four times as much. */
  readonly checkpointBytes?: number
  /** Size of the log's files. Default 16 MiB. */
  readonly segmentBytesMax?: number
  /**
   * Called once, when log or data failed. Nothing is acknowledged any more: end the process. Branches that voted commit
   * are in doubt when it starts again.
   */
  readonly onFailure: (error: Error) => void
  /** Default: the machine's. */
  readonly disk?: Disk
  /** Default: LMDB, for which the package `lmdb` must be installed. It is closed with the participant. */
  readonly store?: KvStore
  /** Default: the machine's. */
  readonly clock?: Clock
  /** See WalOptions. */
  readonly defer?: (task: () => void) => void
  /** 16 random bytes. Default: from the machine's secure generator. */
  readonly random?: () => Uint8Array
}

/** The options that are numbers, with their defaults. @throws KvInvalidError */
export function limitsOf(options: KvOptions): {
  readonly lockTimeoutMs: number
  readonly branchBytesMax: number
  readonly openBytesMax: number
  readonly checkpointBytes: number
  readonly segmentBytesMax: number
} {
  const limits = {
    lockTimeoutMs: options.lockTimeoutMs ?? 10_000,
    branchBytesMax: options.branchBytesMax ?? 4 * 1024 * 1024,
    openBytesMax: options.openBytesMax ?? 256 * 1024 * 1024,
    checkpointBytes: options.checkpointBytes ?? 8 * 1024 * 1024,
    segmentBytesMax: options.segmentBytesMax ?? 16 * 1024 * 1024,
  }
  for (const [name, value] of Object.entries(limits)) {
    if (!(Number.isInteger(value) && value > 0))
      throw new KvInvalidError(`${name} is ${value}; use a whole number above 0`)
  }
  if (limits.branchBytesMax > limits.segmentBytesMax / 2) {
    const largest = limits.segmentBytesMax / 2
    throw new KvInvalidError(
      `branchBytesMax is ${limits.branchBytesMax}; at most half of segmentBytesMax fit: ${largest}`,
    )
  }
  if (limits.openBytesMax < limits.branchBytesMax) {
    throw new KvInvalidError(
      `openBytesMax is ${limits.openBytesMax}; one branch may take ${limits.branchBytesMax} of it`,
    )
  }
  return limits
}

/** The rules, checked. @throws KvInvalidError */
export function rulesOf({ rules = [] }: KvOptions): readonly Rule[] {
  for (const { kind, prefix } of rules) {
    if (kind !== 'unique' && kind !== 'notBelowZero') throw new KvInvalidError(`a rule of the unknown kind ${kind}`)
    const usable = typeof prefix === 'string' && !/[\p{Surrogate}\0]/u.test(prefix)
    if (!usable || Buffer.byteLength(prefix) > PREFIX_BYTES_MAX) {
      throw new KvInvalidError(`the prefix of a rule must be text without zeros, of at most ${PREFIX_BYTES_MAX} bytes`)
    }
  }
  return rules
}
