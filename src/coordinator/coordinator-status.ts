import type { ClusterId, NodeId } from '../base/index.ts'
import type { DecisionLogStatus } from '../replica/index.ts'
import type { Guard } from '../txn/index.ts'

/** What a coordinator shows of itself. Counts of the ledger are what this node has applied. */
export interface CoordinatorStatus {
  readonly clusterId: ClusterId
  readonly leading: boolean
  /** Only while leading. */
  readonly term: number | undefined
  readonly leader: NodeId | undefined
  readonly draining: boolean
  /** Requests and vote rounds without a decision, on the leader. */
  readonly openCount: number
  /** Records that the log has not taken yet, on the leader. */
  readonly queuedCount: number
  /** Transactions whose votes are being gathered. */
  readonly preparingCount: number
  /** Decided transactions of which branches have not acknowledged. */
  readonly undeliveredCount: number
  /** Finished transactions that are remembered. */
  readonly finishedCount: number
  /** Transactions with a branch that did not end as decided: an operator must look. */
  readonly heuristicCount: number
  /** Settlements by hand that were not carried out, or not as decided, and that nobody has acknowledged. */
  readonly unacknowledgedCount: number
  /** Since the start of the log. */
  readonly committedCount: number
  readonly abortedCount: number
  /** Txids made before this (milliseconds since 1970) may have been forgotten; 0 at first. */
  readonly watermarkMs: number
  /** Unknown txids of this time are not decided: a part of the log was lost, and no operator has lifted the guard yet. */
  readonly guard: Guard | undefined
  readonly log: DecisionLogStatus
}
