import { randomBytes } from 'node:crypto'
import { assert, type Clock } from '../base/index.ts'
import type { Disk } from './disk.ts'
import type { WalFailedError } from './errors.ts'
import { type Payload, SEGMENT_BYTES_MAX } from './format.ts'
import type { StoredRecord } from './log-reader.ts'
import type { WalIdentity } from './segment.ts'

/** A record to be appended. */
export interface WalRecord {
  /** 1 to 239: the caller's to define. */
  readonly type: number
  /** The content, in one piece or in several; it is copied before `append` returns. */
  readonly payload: Payload
}

export interface WalOptions {
  readonly disk: Disk
  /** Made if it is missing. It must be empty or hold this node's log. */
  readonly directory: string
  readonly identity: WalIdentity
  /** Size of a segment file in bytes, 8 KiB to 1 GiB, default 16 MiB. Three segments are reserved at any time. */
  readonly segmentBytesMax?: number
  /**
   * Called once, at the first failed write or sync. Nothing is acknowledged afterwards and nothing is retried:
   * the process must end, since what is in memory may be ahead of what is on disk.
   */
  readonly onFailure: (error: WalFailedError) => void
  /**
   * Room got low, or is enough again. While it is low, the reserve (the rest of this segment and a whole one) still
   * takes records: refuse new work then, not decisions.
   */
  readonly onSpace?: (low: boolean) => void
  /** Called for each record on disk, in order, before `open` resolves. A payload is a view: copy what you keep. */
  readonly onRecord: (record: StoredRecord) => void
  /** For the back-off and the idle mark. Default: the machine's. */
  readonly clock?: Clock
  /**
   * Runs a task at the end of this turn, so that all appends of a turn share a write. Default setImmediate. With it,
   * `clock`, `random` and `disk`, whatever the log does is in its owner's hands: it has no other source of time or chance.
   */
  readonly defer?: (task: () => void) => void
  /** 16 random bytes for the id of a new store. Default: from the machine's secure generator. */
  readonly random?: () => Uint8Array
}

/** Figures for status pages; all count from `open`. */
export interface WalStats {
  readonly appends: number
  readonly records: number
  /** Batches written: `records / writes` is what group commit saves. */
  readonly writes: number
  readonly bytesWritten: number
  /** See Wal.pendingBytes. */
  readonly pendingBytes: number
  readonly segments: number
}

const SEGMENT_BYTES_DEFAULT = 16 * 1024 * 1024
const SEGMENT_BYTES_MIN = 8 * 1024

/** The size of new segments, checked. */
export function segmentBytesOf({
  segmentBytesMax: size = SEGMENT_BYTES_DEFAULT,
}: Pick<WalOptions, 'segmentBytesMax'>): number {
  assert(
    Number.isInteger(size) && size >= SEGMENT_BYTES_MIN && size <= SEGMENT_BYTES_MAX,
    'segmentBytesMax: 8 KiB to 1 GiB',
  )
  return size
}

/** The id of a new store, in hex. */
export function newStoreId({ random = () => randomBytes(16) }: Pick<WalOptions, 'random'>): string {
  const id = Buffer.from(random()).toString('hex')
  assert(id.length === 32, 'a store id has 16 bytes')
  return id
}
