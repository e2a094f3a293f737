import type { BranchId, ClusterId, Gid, Txid } from '../base/index.ts'
import type { InspectionPort } from './inspection.ts'
import type { LockWaitPort } from './lock-waits.ts'

/**
 * The `Resource` seam: a database that takes part in transactions. It has two users:
 *
 * - the application (`begin` → `Branch`), which does work in a branch, prepares it, and later commits or aborts it;
 * - the resolver (`InDoubtPort`), which finds and settles branches that an application left behind.
 *
 * One contract suite (`resource.contract.ts`) is run by every implementation.
 */
export interface Resource<Session> {
  /** The name under which coordinators know this database, for example `flights`. */
  readonly name: string
  readonly kind: ResourceKind

  /**
   * Opens a branch on a session of its own. Statements that the application then sends through `branch.session`
   * belong to the branch. The session stays out of its pool until the branch has ended.
   *
   * @throws ResourceUnavailableError when no session could be had; nothing was begun
   */
  begin(identity: BranchIdentity, options?: { readonly signal?: AbortSignal }): Promise<Branch<Session>>

  /** What the resolver and operators use. */
  readonly inDoubt: InDoubtPort

  /** What operators ask. Left out: there is nothing to look at (databases that are only pretended). */
  readonly inspection?: InspectionPort

  /** Who waits for whom in it. Left out: nobody can say, so it has no part in deadlocks that are found. */
  readonly lockWaits?: LockWaitPort

  /** Looks for what would make transactions fail later (feature off, wrong version, missing rights). Empty when all is well. */
  check(): Promise<readonly Finding[]>
}

export type ResourceKind = 'postgres' | 'mysql'

/** Which branch of which transaction; a database adapter makes its gid or XA xid from it. */
export interface BranchIdentity {
  readonly cluster: ClusterId
  readonly txid: Txid
  readonly branch: BranchId
}

/** How a branch voted, or that nobody can say. */
export type PrepareResult =
  /** Prepared and durable. `evidence` helps to tell the outcome later (PostgreSQL: the xid). */
  | { readonly kind: 'commit'; readonly evidence: string | undefined }
  /** It wrote nothing, has been ended, and needs no phase two. */
  | { readonly kind: 'readOnly' }
  /** It can't commit and has been rolled back (or will be by its database). */
  | { readonly kind: 'abort'; readonly cause: Error }
  /** The connection was lost during PREPARE: it may be prepared. The transaction must abort, and the branch be settled by the resolver. */
  | { readonly kind: 'unknown'; readonly cause: Error }

/** One database's share of one transaction, in the application's process. */
export interface Branch<Session> {
  readonly gid: Gid
  /** The driver's own client, inside the branch. Using it after the branch has ended throws BranchEndedError. */
  readonly session: Session
  /** The first error of any statement. A poisoned branch can only abort (databases.md: MySQL would prepare half a transaction). */
  readonly poisonedBy: Error | undefined
  /** Whether a statement is under way. At the callback's end that is work which nobody awaited. Left out: nobody knows. */
  readonly isBusy?: boolean
  /** The database's own number of the session: a pid, a connection id. Left out: the driver does not tell. */
  readonly sessionId?: string | undefined
  /** Which statement is under way: the first is 1. Undefined while none is, or where nobody knows. */
  readonly underWay?: number | undefined
  /**
   * Closes the session when the branch has ended, or keeps it for some seconds, rather than giving it back: somebody else was asked to end the statement that is
   * under way, and may do so a little late, when the session would be at work for another transaction.
   */
  closeAtEnd?(): void

  /** Phase one. Ends the application's use of the session. Never throws for what a database answers. */
  prepare(): Promise<PrepareResult>

  /**
   * One-phase commit of a lone branch, without coordinator.
   *
   * @throws BranchAbortedError when it was rolled back instead
   * @throws BranchOutcomeUnknownError when the connection was lost while it committed
   */
  commitOnePhase(): Promise<void>

  /** Phase two after PREPARE. Repeats are harmless. @throws ResourceUnavailableError when it must be tried again */
  commit(): Promise<SettleResult>

  /** Rolls back, before or after PREPARE. Repeats are harmless. @throws ResourceUnavailableError when it must be tried again */
  abort(): Promise<SettleResult>

  /**
   * Gives the session up without settling the branch, so that a resolver can: a prepared branch stays prepared, any other
   * is rolled back. MariaDB settles a prepared branch from elsewhere only when its session is closed. Never throws.
   */
  handOver(): Promise<void>
}

/** What came of COMMIT or ROLLBACK of a prepared branch. */
export type SettleResult =
  | { readonly kind: 'done' }
  /** The database does not know the gid. This is not success: ask for evidence. */
  | { readonly kind: 'unknownGid' }
  /** Somebody still holds it (MariaDB: the preparing session lives). Try again later. */
  | { readonly kind: 'busy' }

/** What a database can prove about a branch that it does not list as prepared. */
export type Evidence = 'committed' | 'aborted' | 'none'

/** A prepared branch of ours as the database lists it. */
export interface PreparedBranch {
  readonly gid: Gid
  readonly cluster: ClusterId
  readonly txid: Txid
  readonly branch: BranchId
  /** How long it has been prepared, by the database's clock; undefined where it keeps no time (XA). */
  readonly ageMs: number | undefined
}

/** Finds and settles prepared branches from any process. Every call may throw ResourceUnavailableError. */
export interface InDoubtPort {
  /** All prepared branches of `cluster`. Foreign prepared transactions are not listed. */
  list(cluster: ClusterId): Promise<readonly PreparedBranch[]>
  commit(identity: BranchIdentity): Promise<SettleResult>
  abort(identity: BranchIdentity): Promise<SettleResult>
  /** @param token what `prepare` returned as evidence, if it is known */
  evidence(identity: BranchIdentity, token: string | undefined): Promise<Evidence>
  /** Forgets evidence kept in the database (witness rows) of transactions made before `beforeMs` (txid time). */
  forgetEvidence(cluster: ClusterId, beforeMs: number): Promise<void>
  close(): Promise<void>
}

/** Something wrong that `check()` found, in plain words. */
export interface Finding {
  /** `fatal`: transactions will fail; `warning`: they may lose a promise under a rare condition. */
  readonly severity: 'fatal' | 'warning'
  /** A stable word, for example `preparedTransactionsOff`. */
  readonly what: string
  /** What it means and what to do, one or two sentences. */
  readonly message: string
}
