import type { Clock, Timer } from '../base/index.ts'
import { DEFAULTS } from './defaults.ts'

/** Something that must not wait for ever. */
export interface Deadline {
  /** On the clock's monotonic scale. */
  readonly dueMs: number
  /** Called once, at most a tick or two late. It is forgotten before. */
  expire(): void
}

/**
 * Many deadlines behind one coarse timer: adding and removing is a Set operation, where a timer for each request would
 * cost more than the request. The timer runs only while something waits.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #waiting = new Set<Deadline>()
  #timer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(deadline: Deadline): void {
    this.#waiting.add(deadline)
    this.#timer ??= this.#clock.every(DEFAULTS.tickMs, () => this.#sweep())
  }

  remove(deadline: Deadline): void {
    this.#waiting.delete(deadline)
  }

  /** What `work` comes to, or `otherwise` after `waitMs`. `work` itself goes on. */
  within<T, U>(work: Promise<T>, waitMs: number, otherwise: U): Promise<T | U> {
    return new Promise((resolve, reject) => {
      const deadline = { dueMs: this.#clock.monotonicMs() + waitMs, expire: () => resolve(otherwise) }
      this.add(deadline)
      work.then(resolve, reject).finally(() => this.remove(deadline))
    })
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const deadline of this.#waiting) {
      if (deadline.dueMs > nowMs) continue
      this.#waiting.delete(deadline)
      deadline.expire()
    }
    if (this.#waiting.size > 0 || this.#timer === undefined) return
    this.#clock.cancel(this.#timer)
    this.#timer = undefined
  }
}
