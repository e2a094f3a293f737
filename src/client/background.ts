import { type Clock, toError } from '../base/index.ts'
import { backoffMs } from './defaults.ts'
import type { Logger } from './logger.ts'

/** What background work needs to know. */
export interface BackgroundParts {
  readonly clock: Clock
  /** From 0 to below 1: the jitter of back-off. */
  readonly random: () => number
  readonly logger: Logger
}

/** How long a piece of work is repeated. */
export interface RepeatLimits {
  /** Default: without end. */
  readonly attemptsMax?: number
  /** Called when it was given up, or stopped, before it was done. */
  readonly left?: () => void
}

/**
 * Work that outlives the call which began it: branches to finish, outcomes to learn. Each piece repeats one attempt with
 * back-off until it is done or `stop()` ends it. What is stopped is not lost: the coordinators' resolver does it.
 */
export class Background {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #logger: Logger
  readonly #running = new Set<Promise<void>>()
  readonly #sleepers = new Set<() => void>()
  #stopped = false

  constructor(parts: BackgroundParts) {
    this.#clock = parts.clock
    this.#random = parts.random
    this.#logger = parts.logger
  }

  /** Pieces of work under way. */
  get size(): number {
    return this.#running.size
  }

  /** Runs `attempt` until it answers true. */
  repeat(what: object, attempt: () => Promise<boolean>, limits: RepeatLimits = {}): void {
    const loop = this.#loop(what, attempt, limits.attemptsMax ?? Number.POSITIVE_INFINITY)
    this.track(
      loop.then((done) => {
        if (!done) limits.left?.()
      }),
    )
  }

  /** Counts `work` as under way until it settles, however it does. */
  track(work: Promise<unknown>): void {
    const tracked = work.then(
      () => {
        this.#running.delete(tracked)
      },
      () => {
        this.#running.delete(tracked)
      },
    )
    this.#running.add(tracked)
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    // One piece may begin another.
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  /** Every piece ends after its present attempt. */
  stop(): void {
    this.#stopped = true
    for (const wake of this.#sleepers) wake()
    this.#sleepers.clear()
  }

  async #loop(what: object, attempt: () => Promise<boolean>, attemptsMax: number): Promise<boolean> {
    for (let count = 1; !this.#stopped && count <= attemptsMax; count++) {
      try {
        if (await attempt()) return true
      } catch (thrown) {
        this.#logger.warn({ ...what, attempt: count, err: toError(thrown) }, 'background work failed; trying again')
      }
      if (count < attemptsMax) await this.#sleep(backoffMs(count, this.#random()))
    }
    return false
  }

  #sleep(delayMs: number): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#clock.cancel(timer)
        this.#sleepers.delete(wake)
        resolve()
      }
      const timer = this.#clock.after(delayMs, wake)
      this.#sleepers.add(wake)
    })
  }
}
