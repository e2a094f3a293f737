import type { Clock } from '../base/index.ts'

/**
 * Does `work` on all items, at most `limit` at a time. It ends early when one of them answers false.
 * Rejects with the first rejection.
 */
export async function forEachLimited<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<boolean>,
): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const item = items[next++]!
      if (!(await work(item))) next = items.length
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
}

/** `call`'s result, or a rejection with `late()` after `ms`. The call itself goes on; what it comes to then is ignored. */
export function withinTime<T>(clock: Clock, ms: number, call: Promise<T>, late: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.after(ms, () => reject(late()))
    call.then(resolve, reject).finally(() => clock.cancel(timer))
  })
}
