/**
 * How long a test of chaos runs at least, milliseconds. Short, so that the whole suite stays short; set CONCORDAT_CHAOS_SECONDS for a
 * longer run of one of them.
 */
export const runMs = Number(process.env.CONCORDAT_CHAOS_SECONDS ?? 6) * 1_000
/** On a slow machine it goes on until enough has happened to prove something, but not for ever. */
const RUN_MS_MAX = 100_000

/** Begins the run. The answer says whether it goes on: at least for its time, and then until `isEnough`. */
export function enough(isEnough: () => boolean): () => boolean {
  const begunMs = performance.now()
  return () => {
    const ranMs = performance.now() - begunMs
    return ranMs < runMs || (ranMs < Math.max(runMs, RUN_MS_MAX) && !isEnough())
  }
}
