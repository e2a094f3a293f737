import { toError } from '../../base/index.ts'
import type { ErrorReading } from '../access.ts'
import { ResourceMisconfiguredError, ResourceUnavailableError } from '../errors.ts'

/** Server error numbers that mean something to us. */
export const Errno = {
  /** XAER_NOTA: unknown xid; on MariaDB also a prepared one whose session lives. */
  unknownXid: 1397,
  /** XA_RBROLLBACK: it was rolled back, or (COMMIT of a branch whose owner is gone) it had written nothing. */
  rolledBack: 1402,
  /** XAER_DUPID. */
  duplicateXid: 1440,
  /** XA RECOVER needs XA_RECOVER_ADMIN (MySQL 8). */
  recoverRefused: 1401,
} as const

/** Errors of log-in: user, password, host or database are refused. */
const REFUSED = new Set([1044, 1045, 1049, 1130, 1698, 3118])
/** The server says good-bye: shutting down, killed; the work of the last statement may have been done. */
const FAREWELLS = new Set([1053, 1077, 1079, 1152, 1159, 1161, 1184, 1317, 1927, 3169, 4031])

/** The server's error number, or undefined when the connection failed. */
export function errnoOf(error: unknown): number | undefined {
  const { errno, sqlState, fatal } = error as { errno?: unknown; sqlState?: unknown; fatal?: unknown }
  return typeof errno === 'number' && typeof sqlState === 'string' && fatal !== true ? errno : undefined
}

/** Whether the error proves that the statement was not carried out. */
export function isRefusal(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno !== undefined && !FAREWELLS.has(errno)
}

/** Why no session could be had, or why a statement outside a branch failed. */
export function explainAccess(resource: string, thrown: unknown): Error {
  const cause = toError(thrown)
  const { errno } = thrown as { errno?: unknown }
  if (typeof errno === 'number' && REFUSED.has(errno)) {
    return new ResourceMisconfiguredError(resource, `it refuses the user or the database name: ${cause.message}`, {
      cause,
    })
  }
  if (errno === Errno.recoverRefused) {
    return new ResourceMisconfiguredError(
      resource,
      'the user may not run XA RECOVER, so branches left behind can\'t be found. Run "GRANT XA_RECOVER_ADMIN ON *.* TO …".',
      { cause },
    )
  }
  return new ResourceUnavailableError(resource, cause.message, { cause })
}

/** Errors of MySQL and MariaDB, as shared code reads them. */
export const MYSQL_ERRORS: ErrorReading = { isRefusal, explainAccess }
