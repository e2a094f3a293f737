/**
 * Waits for a session, but not beyond `signal`. A session that comes too late goes to `giveBack`.
 *
 * @throws the signal's reason when it fires first
 */
export async function withSignal<T>(
  pending: () => Promise<T>,
  signal: AbortSignal | undefined,
  giveBack: (late: T) => void,
): Promise<T> {
  signal?.throwIfAborted()
  const started = pending()
  if (signal === undefined) return started
  let stop = (): void => {}
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([started, aborted])
  } catch (error) {
    if (signal.aborted) started.then(giveBack, () => {})
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Like `withSignal`, after `limitMs` milliseconds. */
export function withLimit<T>(pending: () => Promise<T>, limitMs: number, giveBack: (late: T) => void): Promise<T> {
  return withSignal(pending, AbortSignal.timeout(limitMs), giveBack)
}

/** Remembers the first success of `work`; a failure is forgotten, so the next call tries again. */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    if (made !== undefined) return made
    const attempt = work()
    made = attempt
    attempt.catch(() => {
      made = undefined
    })
    return attempt
  }
}
