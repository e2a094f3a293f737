import type { Clock, Timer } from '../base/index.ts'

/**
 * Turns the monotonic clock into Raft's ticks. Timers are only the occasion to look: a late one is made up for, but
 * never by more than `ticksMax` at once. After a long stop of the process (SIGSTOP, a suspended machine) the messages
 * that came meanwhile are still unread, so counting all of that time would call elections for nothing.
 */
export class Ticker {
  readonly #clock: Clock
  readonly #timer: Timer
  readonly #tickMs: number
  readonly #ticksMax: number
  #countedMs: number

  /** @param onTicks is called with how many ticks went by, 1 to `ticksMax` */
  constructor(clock: Clock, tickMs: number, ticksMax: number, onTicks: (ticks: number) => void) {
    this.#clock = clock
    this.#tickMs = tickMs
    this.#ticksMax = ticksMax
    this.#countedMs = clock.monotonicMs()
    this.#timer = clock.every(tickMs, () => {
      const ticks = this.#count()
      if (ticks > 0) onTicks(ticks)
    })
  }

  stop(): void {
    this.#clock.cancel(this.#timer)
  }

  #count(): number {
    const now = this.#clock.monotonicMs()
    const ticks = Math.floor((now - this.#countedMs) / this.#tickMs)
    if (ticks > this.#ticksMax) {
      this.#countedMs = now
      return this.#ticksMax
    }
    this.#countedMs += ticks * this.#tickMs
    return ticks
  }
}
