import { hit } from '../base/index.ts'
import type { Reader } from './reader.ts'
import { type Segment, type Store, segmentPath } from './segment.ts'

/** What removal needs from the log that it serves. */
export interface RemovalOptions {
  readonly store: Store
  /** All segments in order; removed ones leave at its beginning. */
  readonly segments: Segment[]
  readonly reader: Reader
  /** Number of the segment that holds the last durable batch: it and all later ones stay. */
  readonly activeNumber: () => number
  /** Writes into the log that it begins at `begin` from now on; resolves when that is on disk. */
  readonly noteBegin: (begin: number) => Promise<void>
  /** The log failed or closes: nothing more is removed. */
  readonly stopped: () => boolean
  readonly onError: (what: string, error: unknown) => void
}

/**
 * Removes the oldest segments of a running log.
 *
 * First a record says where the log will begin, so that a lost file is never taken for a removed one. It also proves
 * what stands for the removed records: either its batch is whole, and all batches before it, or recovery finds files
 * missing and no such record. Then one file at a time, the oldest first, and each removal is made durable before
 * the next begins: so a crash at any step leaves numbers without a gap. The files are not used again as spares: a spare must hold zeros, since a lost sector
 * is told by them (see hasLostSector), and zeros that are written over old bytes cost what a new file does.
 */
export class Removal {
  readonly #options: RemovalOptions
  #running: Promise<void> = Promise.resolve()

  constructor(options: RemovalOptions) {
    this.#options = options
  }

  /** Removes the whole segments before `position`, after what was asked for earlier. */
  before(position: number): Promise<void> {
    this.#running = this.#running.then(() => this.#remove(position))
    return this.#running
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    await this.#running.catch(() => undefined)
  }

  async #remove(position: number): Promise<void> {
    const { segments, reader, noteBegin, stopped, onError } = this.#options
    const end = this.#endOfRemovable(position)
    if (end === undefined || stopped()) return
    await noteBegin(end)
    await reader.forget(end)
    while (segments[0]!.base < end && !stopped()) {
      const path = segmentPath(this.#options.store.directory, segments[0]!.number)
      try {
        await this.#removeFirst(path)
      } catch (error) {
        return onError(`${path} could not be removed`, error)
      }
    }
  }

  /** Where the last segment ends that lies before `position` as a whole, or undefined. */
  #endOfRemovable(position: number): number | undefined {
    const active = this.#options.activeNumber()
    const last = this.#options.segments.findLast(({ number, base, size }) => number < active && base + size <= position)
    return last === undefined ? undefined : last.base + last.size
  }

  async #removeFirst(path: string): Promise<void> {
    const { store, segments } = this.#options
    hit('wal.removal.before')
    await store.disk.remove(path)
    await store.disk.syncDirectory(store.directory)
    hit('wal.removal.after')
    segments.shift()
  }
}
