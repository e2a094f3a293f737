import type { ErrorWords } from '../wire.ts'
import type { PgFailure } from './protocol.ts'

/** Errors as `pg` and `postgres` hand them out. */
export const PG_WORDS: ErrorWords<PgFailure> = {
  refused: errorOf,
  farewell: errorOf,
  lost: (cause) => cause ?? new Error('Connection terminated unexpectedly'),
}

function errorOf({ severity, code, message, position }: PgFailure): Error {
  return Object.assign(new Error(message), { severity, code }, position === undefined ? {} : { position })
}
