import type { NodeId } from '../base/index.ts'
import type { RefusalReason } from '../txn/index.ts'
import type { Refusal, RefusalCode } from './requests.ts'

const MESSAGES: Record<RefusalCode, string> = {
  NOT_LEADER: 'this coordinator does not lead, so nothing was done; repeat the request at the leader',
  OUTCOME_PENDING:
    'the leadership was lost while the request was under way, so it may still take effect; repeat it with the same txid to learn the outcome',
  OVERLOADED: 'too many transactions are under way, so nothing was done; repeat the request after a moment',
  CLIENT_OVER_QUOTA:
    'this application has too much under way at this coordinator, so nothing was done; repeat the request after a moment',
  DISK_FULL:
    'only the room reserved for decisions is left on the coordinator’s disk, so nothing was done; free space, then repeat the request',
  WRONG_CLUSTER: 'the request names another cluster, so nothing was done; check which coordinators the client talks to',
  TXN_TOO_OLD:
    'the txid is older than what the coordinators remember, so it can not be committed any more; begin a new transaction',
  TXN_TOO_NEW:
    'the txid lies too far ahead of this coordinator’s clock, so nothing was done; set the clocks right, then begin a new transaction',
  TXN_OTHER_BRANCHES:
    'this txid is known with other branches, so nothing was done; use a new txid for every transaction',
  TXN_VOTES_INCOMPLETE:
    'a branch came without the vote that only the client can give, so nothing was done; prepare every local branch first',
  SHUTTING_DOWN: 'this coordinator is about to stop, so nothing was done; repeat the request at another one',
}

const RETRYABLE: Record<RefusalCode, boolean> = {
  NOT_LEADER: true,
  OUTCOME_PENDING: true,
  OVERLOADED: true,
  CLIENT_OVER_QUOTA: true,
  DISK_FULL: true,
  WRONG_CLUSTER: false,
  TXN_TOO_OLD: false,
  TXN_TOO_NEW: false,
  TXN_OTHER_BRANCHES: false,
  TXN_VOTES_INCOMPLETE: false,
  SHUTTING_DOWN: true,
}

/** A refusal with its standard words; `message` replaces them where more can be said. */
export function refusal(code: RefusalCode, leader?: NodeId, message: string = MESSAGES[code]): Refusal {
  return { kind: 'refused', code, message, retryable: RETRYABLE[code], leader }
}

/**
 * The decision may have been in a part of the log that is lost. For the caller that is a decision that nobody can tell
 * yet: clients of every release then leave their branches as they are, and ask again.
 */
export function guardedRefusal(): Refusal {
  return refusal(
    'OUTCOME_PENDING',
    undefined,
    'the decision on this transaction may have been in a part of the log that was lost, so nobody decides it anew until an operator lifts the guard (concordat guard); ask again later with the same txid',
  )
}

/** The ledger's word for why it refused a record, as the caller reads it. */
export function ledgerRefusal(reason: RefusalReason): Refusal {
  switch (reason) {
    case 'olderThanWatermark':
      return refusal('TXN_TOO_OLD')
    case 'otherBranches':
      return refusal('TXN_OTHER_BRANCHES')
    case 'noBranches':
      return refusal('TXN_VOTES_INCOMPLETE')
    case 'guarded':
      return guardedRefusal()
  }
}
