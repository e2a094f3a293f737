import type { Clock, Timer } from '../../base/index.ts'
import { KvBusyError } from '../engine/errors.ts'
import { PAGE_BYTES, VALUE_BYTES_MAX } from '../wire/index.ts'

/** What one read may answer: a page ends with the entry with which it goes beyond its size. The rest is for lengths and keys. */
const READ_BYTES_MAX = PAGE_BYTES + VALUE_BYTES_MAX + 128 * 1024
/** Answers of reads that wait to be sent on one connection, in bytes. Its own cap is above it: that is left to small answers. */
const ROOM_BYTES = 12 * 1024 * 1024
/** How long a read waits for room. It has its lock already, so a reader that takes nothing must not keep others waiting. */
const WAIT_MS = 5_000

interface Waiter {
  readonly admit: () => void
  readonly timer: Timer
}

/** Where a read waits before it makes its answer. @throws KvBusyError when that takes too long */
export type Room = () => Promise<void>

/**
 * The answers that one connection holds in memory. A connection whose other end does not read must end, and all branches with
 * it; so reads, whose answers are large, take turns. They wait when they have their locks, and whoever is let in waits for
 * nothing but its answer to be sent: so no two can wait for each other here.
 */
export class AnswerRoom {
  readonly #clock: Clock
  readonly #bytesQueued: () => number
  readonly #waiting = new Set<Waiter>()
  /** Reads that were let in, and whose answer is not queued yet. */
  #reading = 0

  constructor(clock: Clock, bytesQueued: () => number) {
    this.#clock = clock
    this.#bytesQueued = bytesQueued
  }

  /** For one request: it enters at most once, and leaves when its answer is queued or will never be. */
  place(): { readonly enter: Room; readonly leave: () => void } {
    let isIn = false
    const enter = async (): Promise<void> => {
      await this.#enter()
      isIn = true
    }
    const leave = (): void => {
      if (!isIn) return
      isIn = false
      this.#reading -= 1
      this.look()
    }
    return { enter, leave }
  }

  /** Something has left: lets in whom there is room for, in their order. */
  look(): void {
    for (const waiter of this.#waiting) {
      if (!this.#hasRoom) return
      this.#admit(waiter)
    }
  }

  /** The connection has ended: nobody waits any more, and answers go nowhere. */
  close(): void {
    for (const waiter of this.#waiting) this.#admit(waiter)
  }

  get #hasRoom(): boolean {
    return this.#bytesQueued() + (this.#reading + 1) * READ_BYTES_MAX <= ROOM_BYTES
  }

  #enter(): Promise<void> {
    if (this.#waiting.size === 0 && this.#hasRoom) {
      this.#reading += 1
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(WAIT_MS, () => {
        this.#waiting.delete(waiter)
        reject(new KvBusyError(`the answers to this connection were not taken within ${WAIT_MS} ms`))
      })
      const waiter: Waiter = { admit: resolve, timer }
      this.#waiting.add(waiter)
    })
  }

  #admit(waiter: Waiter): void {
    this.#waiting.delete(waiter)
    this.#clock.cancel(waiter.timer)
    this.#reading += 1
    waiter.admit()
  }
}
