/** What the watch is told. */
export interface DiskWatchOptions {
  readonly tickMs: number
  /** A write may take so long, in ticks. */
  readonly patienceTicks: number
  /** For how long the oldest write that is not on disk has been waiting. */
  readonly oldestWriteMs: () => number
}

/**
 * Notices a disk that stands still. A leader whose own disk is slow still leads: the followers are a majority without it.
 * But it holds more and more in memory, its answers wait for its own state machine, and at last it takes nothing more. Any
 * follower would do better (DESIGN §6: a slow disk hands the leadership over).
 *
 * 1. Time alone is no evidence: after a long stop of the whole process, a write that was quick looks old. So the ticks must
 *    have gone by as well, with this process awake.
 */
export class DiskWatch {
  readonly #options: DiskWatchOptions
  #slowTicks = 0

  constructor(options: DiskWatchOptions) {
    this.#options = options
  }

  /** Lets ticks go by. @returns true when one write has been waiting for too long; counts anew then */
  tick(ticks: number): boolean {
    const { tickMs, patienceTicks, oldestWriteMs } = this.#options
    const ageMs = oldestWriteMs()
    // A disk that is merely busy has some write under way at each tick, but none of them is old.
    this.#slowTicks = ageMs >= tickMs ? this.#slowTicks + ticks : 0
    if (this.#slowTicks < patienceTicks || ageMs < patienceTicks * tickMs) return false
    this.#slowTicks = 0
    return true
  }
}
