/** A seed that once broke a promise, and what was wrong. */
export interface FailedSeed {
  readonly seed: number
  readonly reason: string
}

/**
 * Every seed that ever failed. They run in each `npm test`, together with the first seeds. A seed decides what a run does
 * only as long as faults are drawn in the same way, so what was found has its own test beside the code as well.
 */
export const FAILED_SEEDS: readonly FailedSeed[] = []
