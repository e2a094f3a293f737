import type { Clock } from '../../base/index.ts'

/** What several callers may wait for, by key, each for a limited time. */
export class Awaited<T> {
  readonly #clock: Clock
  readonly #waitMs: number
  readonly #waiting = new Map<string, Set<(value: T | undefined) => void>>()

  constructor(clock: Clock, waitMs: number) {
    this.#clock = clock
    this.#waitMs = waitMs
  }

  /** What `settle` gives for `key` from now on; undefined when the time is over. */
  of(key: string): Promise<T | undefined> {
    const waiting = this.#waiting.get(key) ?? new Set()
    this.#waiting.set(key, waiting)
    return new Promise((resolve) => {
      const timer = this.#clock.after(this.#waitMs, () => finish(undefined))
      const finish = (value: T | undefined): void => {
        this.#clock.cancel(timer)
        waiting.delete(finish)
        if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key)
        resolve(value)
      }
      waiting.add(finish)
    })
  }

  /** Everybody who waits for `key` gets `value`. */
  settle(key: string, value: T): void {
    for (const finish of [...(this.#waiting.get(key) ?? [])]) finish(value)
  }

  /** Nothing will come any more. */
  giveUp(): void {
    for (const waiting of [...this.#waiting.values()]) for (const finish of [...waiting]) finish(undefined)
  }
}
