import { ConcordatError } from '../base/index.ts'

/** Votes are being gathered: the transaction is decided within its deadline. Nothing was done. */
export class SettleTooEarlyError extends ConcordatError {
  readonly code = 'SETTLE_TOO_EARLY'
  override readonly retryable = true
}

/** The branch would end otherwise than decided, and nobody said that this is meant. Nothing was done. */
export class SettleAgainstDecisionError extends ConcordatError {
  readonly code = 'SETTLE_AGAINST_DECISION'
}

/** A lost part of the log may hold the decision, and nobody said that it is to be forced all the same. Nothing was done. */
export class SettleNoDecisionError extends ConcordatError {
  readonly code = 'SETTLE_NO_DECISION'
}

/** The branch is prepared in no configured database: there is nothing to force. Nothing was done. */
export class SettleNotPreparedError extends ConcordatError {
  readonly code = 'SETTLE_NOT_PREPARED'
}

/** A database could not be looked at, so nobody can say whether the branch is there. Nothing was done. */
export class SettleUnseenError extends ConcordatError {
  readonly code = 'SETTLE_UNSEEN'
  override readonly retryable = true
}

/** The session that prepared the branch still holds it. The order is in the log; the branch is as it was. */
export class SettleBusyError extends ConcordatError {
  readonly code = 'SETTLE_BUSY'
  override readonly retryable = true
}

/** The database did not carry it out, or its answer is lost. The order is in the log, and its end is open. */
export class SettleUnfinishedError extends ConcordatError {
  readonly code = 'SETTLE_UNFINISHED'
  override readonly retryable = true
}

/** The leadership was lost meanwhile: the record may be in the log or not. */
export class SettleNotRecordedError extends ConcordatError {
  readonly code = 'SETTLE_NOT_RECORDED'
  override readonly retryable = true
}

/** A coordinator of an older release would stop at the record. Nothing was done. */
export class SettleMixedVersionsError extends ConcordatError {
  readonly code = 'SETTLE_MIXED_VERSIONS'
}

/** The transaction has nothing that waits for an acknowledgement. Nothing was done. */
export class NothingToAcknowledgeError extends ConcordatError {
  readonly code = 'NOTHING_TO_ACKNOWLEDGE'
}
