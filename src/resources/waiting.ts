import type { Clock } from '../base/index.ts'

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

/** The time for a call is over. */
class TimeOver extends Error {}

/** Like `withSignal`, after `limitMs` milliseconds of `clock`. */
export async function withLimit<T>(
  clock: Clock,
  pending: () => Promise<T>,
  limitMs: number,
  giveBack: (late: T) => void,
): Promise<T> {
  const limit = new AbortController()
  const timer = clock.after(limitMs, () => limit.abort(new TimeOver(`no answer within ${limitMs} ms`)))
  try {
    return await withSignal(pending, limit.signal, giveBack)
  } finally {
    clock.cancel(timer)
  }
}

/**
 * Remembers the first success of `work`, whatever later calls bring; a failure is forgotten, so the next call tries again
 * with what it brings itself.
 */
export function once<Given extends unknown[], T>(
  work: (...given: Given) => Promise<T>,
): (...given: Given) => Promise<T> {
  let made: Promise<T> | undefined
  return (...given) => {
    if (made !== undefined) return made
    const attempt = work(...given)
    made = attempt
    attempt.catch(() => {
      made = undefined
    })
    return attempt
  }
}

/** A resolver's call takes milliseconds; after this long its session is taken for lost, milliseconds. */
export const CALL_MS_MAX = 15_000

/** A session that can be given up. */
interface Closable {
  discard(): void
}

/**
 * Does `work` in a session. A session that does not answer within `limitMs` is closed: a machine that lost its power says
 * nothing more, not even that it is gone, and each call would take one session of a small pool for ever.
 *
 * @throws what `acquire` or `work` throws; an Error when the time is over
 */
export async function withinCallTime<S extends Closable, T>(
  clock: Clock,
  acquire: () => Promise<S>,
  limitMs: number,
  work: (session: S) => Promise<T>,
): Promise<T> {
  let inUse: S | undefined
  let isOver = false
  const all = async (): Promise<T> => {
    const session = await acquire()
    if (isOver) {
      session.discard()
      throw new Error('the session came too late')
    }
    inUse = session
    try {
      return await work(session)
    } finally {
      // Back in its pool, or closed: not ours any more.
      inUse = undefined
    }
  }
  try {
    return await withLimit(clock, all, limitMs, () => {})
  } catch (error) {
    if (error instanceof TimeOver) {
      isOver = true
      inUse?.discard()
    }
    throw error
  }
}
