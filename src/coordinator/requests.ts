import type { BranchId, ClusterId, NodeId, Txid } from '../base/index.ts'
import type { WaitingTransaction } from '../transport/index.ts'
import type { BranchRecord, Knowledge } from '../txn/index.ts'
import type { Verdict } from './deadlock/index.ts'

/** Decide a transaction. The same words as the `commit` message of the wire. */
export interface CommitRequest {
  readonly clusterId: ClusterId
  readonly txid: Txid
  /** How long the coordinator may gather votes, from the request's arrival. */
  readonly timeoutMs: number
  /** How long the caller waits for the answer, when that is longer: a port's affair, not sent. */
  readonly answerMs?: number
  readonly branches: readonly BranchRecord[]
}

/** Decide abort durably. */
export interface AbortRequest {
  readonly clusterId: ClusterId
  readonly txid: Txid
  /** The participant that caused it, when one did. */
  readonly participant: string | undefined
  readonly branches: readonly BranchRecord[]
}

export interface InquireRequest {
  readonly clusterId: ClusterId
  readonly txid: Txid
  /** An unknown transaction becomes aborted, durably, before the answer (P5). Without it nothing changes. */
  readonly settle: boolean
}

/** The coordinator's answer to a request. */
export type Reply = { readonly kind: 'outcome'; readonly outcome: Knowledge } | Refusal

/** A request that was not carried out. With code OUTCOME_PENDING it may still take effect: ask again. */
export interface Refusal {
  readonly kind: 'refused'
  /** Stable, see docs/reference/errors.md. */
  readonly code: RefusalCode
  readonly message: string
  readonly retryable: boolean
  /** The leader to ask instead, when another one is known. */
  readonly leader: NodeId | undefined
}

export type RefusalCode =
  /** Another coordinator leads, or none does. Nothing was done. */
  | 'NOT_LEADER'
  /** The leadership was lost while the request was under way: it may still take effect. Repeat it with the same txid. */
  | 'OUTCOME_PENDING'
  /** Too much is under way. Nothing was done. */
  | 'OVERLOADED'
  /** This application has too much under way at this coordinator; others are served. Nothing was done. */
  | 'CLIENT_OVER_QUOTA'
  /** Only the room reserved for decisions is left on the disk: new transactions are refused. */
  | 'DISK_FULL'
  /** The request names another cluster. */
  | 'WRONG_CLUSTER'
  /** The txid is older than the watermark: it can't be committed any more. */
  | 'TXN_TOO_OLD'
  /** The txid was made more than an hour ahead of the leader's clock: it could not be forgotten for as long. Nothing was done. */
  | 'TXN_TOO_NEW'
  /** The txid is known with other branches. */
  | 'TXN_OTHER_BRANCHES'
  /** A branch has neither a vote nor a way to be asked for one, no branch is named, or one is named twice. */
  | 'TXN_VOTES_INCOMPLETE'
  /** The coordinator is draining before it stops. */
  | 'SHUTTING_DOWN'

/** What the client uses: the same for a fleet over the network and for a coordinator inside the process. */
export interface CoordinatorPort {
  /** The cluster's id, needed for gids. @throws CoordinatorUnavailableError when no coordinator answers in time */
  clusterId(options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined }): Promise<ClusterId>
  /**
   * Follows the leader and repeats a request (same txid) until a coordinator answers or `timeoutMs` is over.
   * The answer is an outcome, or the last refusal: with code OUTCOME_PENDING the outcome is unknown.
   */
  commit(request: CommitRequest): Promise<Reply>
  abort(request: AbortRequest, timeoutMs: number): Promise<Reply>
  inquire(request: InquireRequest, timeoutMs: number): Promise<Reply>
  /** One-way; repeated by the port after a leader change. */
  ack(txid: Txid, branches: readonly BranchId[]): void
  /**
   * Tells all transactions of this process that wait for a lock now; an empty list, when none does any more. One-way, and to be
   * repeated ten times a second. Left out: nobody looks for deadlocks.
   *
   * @param onVerdict called, never within the call, with each transaction that is to die
   */
  waiting?(transactions: readonly WaitingTransaction[], onVerdict: (verdict: Verdict) => void): void
  close(): Promise<void>
}
