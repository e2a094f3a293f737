/** How a disk behaves. */
export interface DiskConditions {
  /** A write or sync takes at least this, and up to `jitterMs` more. */
  readonly latencyMs: number
  readonly jitterMs: number
  /** Chance of one to take up to `spikeMs` longer. */
  readonly spike: number
  readonly spikeMs: number
  /** Chance that a write or a sync fails with EIO: its bytes never reach the platter. */
  readonly writeError: number
  /** Chance that a read or an open fails with EIO. */
  readonly readError: number
  /** Bytes that all files may have together. */
  readonly capacityBytes: number
}

/** A healthy disk of its kind. */
export const HEALTHY: DiskConditions = {
  latencyMs: 0.1,
  jitterMs: 0.2,
  spike: 0,
  spikeMs: 0,
  writeError: 0,
  readError: 0,
  capacityBytes: Number.POSITIVE_INFINITY,
}

export type DiskOperationKind =
  | 'makeDirectory'
  | 'list'
  | 'open'
  | 'rename'
  | 'remove'
  | 'syncDirectory'
  | 'write'
  | 'read'
  | 'preallocate'
  | 'sync'
  | 'size'
  | 'close'
  | 'lock'

/** What somebody who waits for a certain operation sees of it. */
export interface DiskOperation {
  readonly kind: DiskOperationKind
  readonly path: string
}
