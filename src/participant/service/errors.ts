import { ConcordatError } from '../../base/index.ts'

/** A call came for a branch that takes no more work: its transaction is ending or over. Answer the caller with an error. */
export class BranchOverError extends ConcordatError {
  readonly code = 'BRANCH_OVER'
}

/** A call's ticket is for another cluster or another participant: it was sent to the wrong service. Nothing was done. */
export class WrongTicketError extends ConcordatError {
  readonly code = 'BRANCH_WRONG_TICKET'
}

/** This instance takes no new branches now: too many are open, its disk is nearly full, or it is closing. Nothing was done. */
export class ParticipantBusyError extends ConcordatError {
  readonly code = 'PARTICIPANT_BUSY'
  override readonly retryable = true
}
