/** Errors of databases after which the same transaction may well succeed when it runs again: it met another one. */
const MEETINGS = new Set<unknown>([
  // PostgreSQL: serialization failure, deadlock, lock not available.
  '40001',
  '40P01',
  '55P03',
  // MySQL and MariaDB: lock wait timeout, deadlock (also as the XA answers).
  'ER_LOCK_WAIT_TIMEOUT',
  'ER_LOCK_DEADLOCK',
  'ER_XA_RBTIMEOUT',
  'ER_XA_RBDEADLOCK',
])

/** Causes are followed this deep: a chain made by hand could be a circle. */
const DEPTH_MAX = 8

/** Whether `thrown`, or an error that caused it, says that another attempt may succeed. */
export function isRetryable(thrown: unknown): boolean {
  let error = thrown
  for (let depth = 0; depth < DEPTH_MAX && typeof error === 'object' && error !== null; depth++) {
    const { code, retryable, cause } = error as { code?: unknown; retryable?: unknown; cause?: unknown }
    if (retryable === true || MEETINGS.has(code)) return true
    error = cause
  }
  return false
}

/** The stable code of an error, of ours or of a driver. */
export function codeOf(thrown: unknown): unknown {
  return typeof thrown === 'object' && thrown !== null ? (thrown as { code?: unknown }).code : undefined
}
