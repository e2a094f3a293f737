import { ConcordatError } from '../base/index.ts'

/** A database program that this machine lacks was asked for. The message names what to install. */
export class LocalServerMissingError extends ConcordatError {
  readonly code = 'LOCAL_SERVER_MISSING'
}

/** A private database server ended, or said nothing, before it was ready. The message ends with what it printed. */
export class LocalServerFailedError extends ConcordatError {
  readonly code = 'LOCAL_SERVER_FAILED'
}
