import type { ErrorWords } from '../wire.ts'
import type { MyFailure } from './protocol.ts'

/** Errors as mysql2 hands them out. `fatal`: the connection is gone. */
export const MYSQL_WORDS: ErrorWords<MyFailure> = {
  refused: (failure) => errorOf(failure),
  farewell: (failure) => Object.assign(errorOf(failure), { fatal: true }),
  lost: (cause) =>
    Object.assign(cause ?? new Error('Connection lost: The server closed the connection.'), {
      code: 'PROTOCOL_CONNECTION_LOST',
      fatal: true,
    }),
}

function errorOf({ errno, code, sqlState, message }: MyFailure): Error {
  return Object.assign(new Error(message), { errno, code, sqlState, sqlMessage: message })
}
