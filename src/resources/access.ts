import type { Clock } from '../base/index.ts'
import { ResourceExhaustedError, ResourceMisconfiguredError, ResourceUnavailableError } from './errors.ts'
import type { Observation } from './inspection.ts'
import type { Finding } from './resource.ts'
import { withinCallTime, withSignal } from './waiting.ts'

/** What is the same in one session out of any database's pool. */
export interface PooledSession {
  /** The database's own number of the session, when the driver tells it. */
  readonly id: string | undefined
  /** Why the connection is gone, when it is. A lost session can only be discarded. */
  readonly lost: Error | undefined
  /** A connection that is closed by the server makes the pool's next session fail. Left out: it does not. */
  readonly closesBadly?: boolean
  /** Back to its pool. */
  release(): void
  /** Closes the connection: it never goes back to its pool. */
  discard(): void
}

/** How a database's errors are to be read. */
export interface ErrorReading {
  /** Whether the error proves that the statement was not carried out. */
  isRefusal(error: unknown): boolean
  /** Why no session could be had, or why a statement outside a branch failed. */
  explainAccess(resource: string, thrown: unknown): Error
}

/** One database as a coordinator's application or a resolver reaches it. */
export interface Access<Session extends PooledSession> {
  /** The name under which coordinators know this database. */
  readonly resource: string
  readonly driver: { acquire(): Promise<Session> }
  readonly errors: ErrorReading
  /** For what must not wait for ever. */
  readonly clock: Clock
}

/**
 * Begins a branch in a session of its own.
 *
 * @param open what is done in the session; when it throws, the session does not stay with the branch
 * @throws ResourceUnavailableError when no session could be had; nothing was begun
 * @throws ResourceMisconfiguredError when the database can't take part in transactions
 * @throws ResourceExhaustedError when too many branches are prepared there
 */
export async function beginIn<Session extends PooledSession, T>(
  access: Access<Session>,
  signal: AbortSignal | undefined,
  open: (held: Session) => Promise<T>,
): Promise<T> {
  const held = await acquire(access, signal)
  try {
    return await open(held)
  } catch (error) {
    // Said by us, before anything was begun: the session is as it was.
    const isOurs = error instanceof ResourceMisconfiguredError || error instanceof ResourceExhaustedError
    if (isOurs && held.lost === undefined) held.release()
    else held.discard()
    throw isOurs ? error : access.errors.explainAccess(access.resource, error)
  }
}

/** What `survey` finds in a session; a database that can't be asked is a fatal finding. Never throws. */
export async function checkIn<Session extends PooledSession>(
  access: Access<Session>,
  survey: (session: Session) => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  let session: Session | undefined
  try {
    session = await acquire(access, undefined)
    const findings = await survey(session)
    session.release()
    return findings
  } catch (error) {
    session?.discard()
    const isRefused = access.errors.isRefusal(error) || error instanceof ResourceMisconfiguredError
    const what = isRefused ? 'refused' : 'unreachable'
    return [{ severity: 'fatal', what, message: (error as Error).message }]
  }
}

/** What `look` observes in a session; a database that can't be asked is an error among the observations. Never throws. */
export async function examineIn<Session extends PooledSession>(
  access: Access<Session>,
  callMs: number,
  look: (session: Session) => Promise<readonly Observation[]>,
): Promise<readonly Observation[]> {
  try {
    return await callIn(access, callMs, look)
  } catch (error) {
    const isRefused = error instanceof ResourceMisconfiguredError
    return [
      {
        level: 'error',
        what: isRefused ? 'refused' : 'unreachable',
        message: (error as Error).message,
        advice: isRefused
          ? "Correct the user, its rights or the URL in the configuration's resources."
          : 'Is it running, and does the URL in the configuration lead to it from this machine?',
      },
    ]
  }
}

/**
 * Does a resolver's `work` in a session.
 *
 * @param callMs after this long without an answer a session is taken for lost, milliseconds
 * @throws ResourceUnavailableError, ResourceMisconfiguredError
 */
export async function callIn<Session extends PooledSession, T>(
  { resource, driver, errors, clock }: Access<Session>,
  callMs: number,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  try {
    return await withinCallTime(
      clock,
      () => driver.acquire(),
      callMs,
      (session) => givingBack(session, errors, work),
    )
  } catch (error) {
    throw errors.explainAccess(resource, error)
  }
}

/** @throws ResourceMisconfiguredError with the first fatal finding */
export function assertUsable(resource: string, findings: readonly Finding[]): void {
  const fatal = findings.find(({ severity }) => severity === 'fatal')
  if (fatal !== undefined) throw new ResourceMisconfiguredError(resource, fatal.message)
}

async function givingBack<Session extends PooledSession, T>(
  session: Session,
  errors: ErrorReading,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  try {
    const result = await work(session)
    session.release()
    return result
  } catch (error) {
    if (errors.isRefusal(error) && session.lost === undefined) session.release()
    else session.discard()
    throw error
  }
}

async function acquire<Session extends PooledSession>(
  { resource, driver, errors }: Access<Session>,
  signal: AbortSignal | undefined,
): Promise<Session> {
  try {
    return await withSignal(
      () => driver.acquire(),
      signal,
      (late) => late.release(),
    )
  } catch (error) {
    if (signal?.aborted)
      throw new ResourceUnavailableError(resource, 'no session before the call was aborted', { cause: error })
    throw errors.explainAccess(resource, error)
  }
}
