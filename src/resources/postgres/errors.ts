import { type Gid, toError } from '../../base/index.ts'
import type { ErrorReading } from '../access.ts'
import {
  BranchNotPreparableError,
  ResourceExhaustedError,
  ResourceMisconfiguredError,
  ResourceUnavailableError,
} from '../errors.ts'

/** The SQLSTATE of an error that the server sent, else undefined: then the connection failed. */
export function sqlStateOf(error: unknown): string | undefined {
  const { code, severity } = error as { code?: unknown; severity?: unknown }
  // Node's own EPIPE looks like a SQLSTATE; only the server's errors have a severity.
  return typeof code === 'string' && typeof severity === 'string' ? code : undefined
}

/**
 * Whether the error proves that the statement was not carried out. Not so for a broken connection, and not for the
 * server's own farewells (class 57: shutdown, terminated, cancelled; 08: connection), which may come after the work was done.
 */
export function isRefusal(error: unknown): boolean {
  const state = sqlStateOf(error)
  if (state === undefined) return false
  const severity = (error as { severity: string }).severity
  return severity !== 'FATAL' && severity !== 'PANIC' && !state.startsWith('57') && !state.startsWith('08')
}

/** Why PREPARE TRANSACTION failed, in plain words. */
export function explainPrepare(resource: string, gid: Gid, thrown: unknown): Error {
  const cause = toError(thrown)
  switch (sqlStateOf(thrown)) {
    case '55000':
      return new ResourceMisconfiguredError(resource, PREPARED_OFF, { cause })
    case '53200':
      return new ResourceExhaustedError(
        `database "${resource}" has no place left for a prepared branch (max_prepared_transactions); the branch was rolled back. Raise the setting, or look for prepared transactions that nobody ends: SELECT * FROM pg_prepared_xacts.`,
        { cause },
      )
    case '42710':
      return new BranchNotPreparableError(gid, 'its name is taken by another prepared transaction', { cause })
    case '0A000':
      return new BranchNotPreparableError(
        gid,
        `PostgreSQL says "${cause.message}". Keep temporary tables, LISTEN, NOTIFY, WITH HOLD cursors and exported snapshots out of it.`,
        { cause },
      )
    default:
      return cause
  }
}

export const PREPARED_OFF =
  'its setting max_prepared_transactions is 0, which is the default. Set it to the number of concurrent transactions ' +
  '(64 for example) in postgresql.conf and restart PostgreSQL; standbys need at least the same value.'

/** Why no session could be had, or why a statement outside a branch failed. */
export function explainAccess(resource: string, thrown: unknown): Error {
  const cause = toError(thrown)
  const state = sqlStateOf(thrown) ?? ''
  if (state.startsWith('28') || state === '3D000') {
    return new ResourceMisconfiguredError(resource, `it refuses the user or the database name: ${cause.message}`, {
      cause,
    })
  }
  if (state === '42501') {
    return new ResourceMisconfiguredError(
      resource,
      `the user may not do this: ${cause.message}. Prepared branches are ended by the user that prepared them, or by a superuser.`,
      { cause },
    )
  }
  if (state === '0A000') {
    return new ResourceMisconfiguredError(
      resource,
      `the branch belongs to another database of the same server (${cause.message}); connect to that one.`,
      { cause },
    )
  }
  return new ResourceUnavailableError(resource, cause.message, { cause })
}

/** Errors of PostgreSQL, as shared code reads them. */
export const POSTGRES_ERRORS: ErrorReading = { isRefusal, explainAccess }
