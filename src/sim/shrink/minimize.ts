/**
 * Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002): leaves out parts of
 * `items`, in ever smaller pieces, as long as `fails` stays true. What is left can't lose a single one.
 */
export async function minimize<T>(
  items: readonly T[],
  fails: (kept: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let kept = items
  let pieces = 2
  while (kept.length > 0) {
    const size = Math.ceil(kept.length / pieces)
    const smaller = await firstThatFails(kept, size, fails)
    if (smaller !== undefined) {
      kept = smaller
      pieces = Math.max(2, pieces - 1)
    } else if (size === 1) break
    else pieces = Math.min(kept.length, pieces * 2)
  }
  return kept
}

/** Leaves out one piece after the other. */
async function firstThatFails<T>(
  items: readonly T[],
  size: number,
  fails: (kept: readonly T[]) => Promise<boolean>,
): Promise<readonly T[] | undefined> {
  for (let start = 0; start < items.length; start += size) {
    const rest = [...items.slice(0, start), ...items.slice(start + size)]
    if (await fails(rest)) return rest
  }
  return undefined
}
