/** What a disk is asked to do. */
export interface DiskOperation extends OperationDetails {
  /** Counts all operations of this disk from 0. */
  readonly index: number
}

/** An operation without its number. */
export interface OperationDetails {
  readonly kind:
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
  readonly path: string
  /** Where, and how much: of reads, writes and preallocations. */
  readonly offset?: number
  readonly bytes?: number
}

/**
 * What becomes of an operation:
 *
 * - `done`: what it should be.
 * - `crash`: the machine ends in the middle of it; of a write any part may have reached the platter.
 * - `crashAfter`: it is done, and the machine ends before anybody hears of it.
 * - `EIO`, `ENOSPC`: it fails. After a failed write or sync the bytes read well, and never reach the platter.
 * - `lost`: a write, sync or directory sync that reports done and never reaches the platter: the disk lies.
 * - `misdirectedTo`: a write that reports done, reads well until the power goes, and is on the platter at another
 *   offset of the file.
 */
export type Fate = 'done' | 'crash' | 'crashAfter' | 'EIO' | 'ENOSPC' | 'lost' | { readonly misdirectedTo: number }

/** Which of the things that no sync has confirmed survive a crash: a number from 0 to `bound - 1` is drawn for each. */
export type Draw = (bound: number) => number

/** Behaviour of a MemoryDisk; nothing is needed for one that works. */
export interface MemoryDiskOptions {
  /** Decides about every operation when it is asked for. Default: all are done. */
  readonly fate?: (operation: DiskOperation) => Fate
  /** Called when an operation has had its effect, before its caller hears: the place for a crash right after it. */
  readonly onDone?: (operation: DiskOperation) => void
  /**
   * Does an operation later than at once: a slow disk, by the simulator's clock. Its effect is at that time, but a
   * write is in the page cache from the beginning, and a crash meanwhile keeps any part of it.
   */
  readonly delay?: (operation: DiskOperation, proceed: () => void) => void
  /** The same for writes alone, as `delay` for the other operations. */
  readonly delayWrite?: (complete: () => void) => void
  /** Bytes that all files together may have. Default: no limit. */
  capacityBytes?: number
  /**
   * What a caller hears from a machine that is gone: an error of the code `crash` (default), or nothing any more, as
   * in truth: then the code of a crashed process does not run on.
   */
  readonly whenDead?: 'reject' | 'silent'
}

/** An error as the operating system's are. */
export function posixError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
