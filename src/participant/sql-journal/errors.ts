import { ConcordatError } from '../../base/index.ts'

/** The tables of a service's journal are missing, or not as this release needs them. Nothing was done. */
export class JournalUnusableError extends ConcordatError {
  readonly code = 'JOURNAL_UNUSABLE'
}
