import { type Clock, hit, type Timer } from '../base/index.ts'
import { isOutOfSpace } from './disk.ts'
import { DATA_OFFSET } from './format.ts'
import { makeSegment, removeUnfinished, type Segment, type Store, segmentPath } from './segment.ts'

/**
 * Whole segments kept ready ahead of the one being written. Two: when the second cannot be made, space is low, and
 * the rest of the current one and the first still take decisions.
 */
export const SPARES = 2

const BACK_OFF_MS_MIN = 100
const BACK_OFF_MS_MAX = 5000

/** What the spares need from the log that they serve. */
export interface SparesOptions {
  readonly store: Store
  readonly clock: Clock
  readonly segmentBytesMax: number
  /** All segments in order; new ones are added at its end. */
  readonly segments: Segment[]
  /** A new segment is ready to be written. */
  readonly onReady: () => void
  /** No room for the next segment, or room again. */
  readonly onSpace: (low: boolean) => void
  /** Anything but a lack of room: final. */
  readonly onError: (error: unknown) => void
  /** A segment that a write waits for could not be made for lack of room: final too. */
  readonly onExhausted: (error: unknown) => void
}

/** Makes segments ahead of need, in the background, so that going on to the next one costs nothing. */
export class Spares {
  readonly #options: SparesOptions
  #wanted = 0
  #urgent = 0
  #running: Promise<void> | undefined
  #timer: Timer | undefined
  #backOffMs = BACK_OFF_MS_MIN
  #low = false
  #closed = false

  constructor(options: SparesOptions) {
    this.#options = options
  }

  /** True from the first failure for lack of room until all spares are there again. */
  get low(): boolean {
    return this.#low
  }

  /** Sees to it that all segments up to `number`, and SPARES beyond, get ready. */
  want(number: number): void {
    this.#wanted = Math.max(this.#wanted, number + SPARES)
    if (this.#timer === undefined) this.#run()
  }

  /** Files were removed: what did not fit before may fit now, and need not wait for its next try. */
  roomMayBeBack(): void {
    if (this.#timer === undefined) return
    this.#options.clock.cancel(this.#timer)
    this.#timer = undefined
    this.#run()
  }

  /** A write waits for segment `number`: try now, and give up for good if there is no room. */
  need(number: number): void {
    this.#urgent = number
    if (this.#timer !== undefined) this.#options.clock.cancel(this.#timer)
    this.#timer = undefined
    this.#run()
  }

  /** Stops, and resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer !== undefined) this.#options.clock.cancel(this.#timer)
    await this.#running
  }

  #run(): void {
    if (this.#running !== undefined || this.#closed || this.#lastNumber() >= this.#wanted) return
    this.#running = this.#makeAll().finally(() => {
      this.#running = undefined
      // More may have been wanted while the last one was being made.
      if (this.#timer === undefined) this.#run()
    })
  }

  #lastNumber(): number {
    return this.#options.segments.at(-1)?.number ?? 0
  }

  async #makeAll(): Promise<void> {
    try {
      while (!this.#closed && this.#lastNumber() < this.#wanted) await this.#makeOne()
      this.#backOffMs = BACK_OFF_MS_MIN
      if (!this.#closed) this.#setLow(false)
    } catch (error) {
      this.#closed ||= !isOutOfSpace(error)
      if (!isOutOfSpace(error)) return this.#options.onError(error)
      await this.#onNoRoom(error)
    }
  }

  async #makeOne(): Promise<void> {
    const { store, segments, segmentBytesMax: size } = this.#options
    const last = segments.at(-1)
    const segment = { number: (last?.number ?? 0) + 1, base: (last?.base ?? 0) + (last?.size ?? 0), size }
    hit('wal.segment.before-make')
    await makeSegment(store, segment)
    hit('wal.segment.made')
    const file = await store.disk.openFile(segmentPath(store.directory, segment.number), { durable: true })
    segments.push({ ...segment, dataEnd: DATA_OFFSET, file })
    this.#options.onReady()
  }

  async #onNoRoom(error: unknown): Promise<void> {
    const { store, clock } = this.#options
    try {
      // Half a spare is of no use, and others need the room.
      await removeUnfinished(store.disk, store.directory)
    } catch (removeError) {
      this.#closed = true
      return this.#options.onError(removeError)
    }
    if (this.#urgent > this.#lastNumber()) {
      this.#closed = true
      return this.#options.onExhausted(error)
    }
    this.#setLow(true)
    if (this.#closed) return
    this.#timer = clock.after(this.#backOffMs, () => {
      this.#timer = undefined
      this.#run()
    })
    this.#backOffMs = Math.min(this.#backOffMs * 2, BACK_OFF_MS_MAX)
  }

  #setLow(low: boolean): void {
    if (this.#low === low) return
    this.#low = low
    this.#options.onSpace(low)
  }
}
