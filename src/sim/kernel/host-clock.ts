/** Milliseconds since 1970 at which every run begins. */
export const EPOCH_MS = Date.UTC(2026, 0, 1)

/** One machine's idea of time: it runs fast or slow, and its wall clock may be wrong and jump. */
export class HostClock {
  readonly rate: number
  #wallOffsetMs: number

  constructor(rate = 1, wallOffsetMs = 0) {
    this.rate = rate
    this.#wallOffsetMs = wallOffsetMs
  }

  /** Monotonic milliseconds of a process that began at `sinceMs` of true time. */
  monotonicMs(trueMs: number, sinceMs: number): number {
    return (trueMs - sinceMs) * this.rate
  }

  wallMs(trueMs: number): number {
    return Math.floor(EPOCH_MS + this.#wallOffsetMs + trueMs * this.rate)
  }

  /** True time that goes by while this clock counts `ms`. */
  trueDelay(ms: number): number {
    return ms / this.rate
  }

  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }
}
