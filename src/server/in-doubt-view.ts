import type { Gid, Txid } from '../base/index.ts'
import type { Blocked, BranchInDoubt, InDoubtReport, ResourceKind } from '../resources/index.ts'
import type { Guard, Knowledge, Settlement, TransactionView } from '../txn/index.ts'

/** What `in-doubt` answers: every prepared branch of this cluster in the configured databases. */
export interface InDoubtAnswer {
  readonly cluster: string
  /** Who answers. */
  readonly node: number
  /**
   * Decisions are of now: read behind a linearizable barrier, after the databases were looked at. False: this coordinator
   * could not ask a majority. What it calls decided is decided; `preparing`, `unknown` and `forgotten` may be out of date.
   */
  readonly current: boolean
  readonly guard: Guard | null
  /** The oldest first. */
  readonly branches: readonly InDoubtBranch[]
  /** Branches that were found; more than are listed when there were too many. */
  readonly branchCount: number
  readonly resources: readonly InDoubtResource[]
  /** What nobody has acknowledged yet. A coordinator before 0.3 leaves it out. */
  readonly attention?: {
    /** Transactions with a branch that ended otherwise than decided, or nobody knows how. */
    readonly transactions: readonly TransactionView[]
    /** Branches that were forced by hand against the decision, or without one, or not carried out. Their `evidence` is left out. */
    readonly settlements: readonly Settlement[]
  }
}

/** One prepared branch. */
export interface InDoubtBranch extends Blocked {
  readonly gid: Gid
  readonly txid: Txid
  readonly branch: number
  readonly resource: string
  /** How long it has been prepared, or at most so long; see `ageIsBound`. Milliseconds. */
  readonly ageMs: number
  /** The database keeps no time (XA): `ageMs` is that of the transaction, by the clock of the client that made it. */
  readonly ageIsBound: boolean
  /** What this coordinator knows of its transaction. */
  readonly decision: Knowledge
  /** A lost part of the log may hold the decision: it is left alone until `guard lift`. */
  readonly guarded: boolean
  readonly owner: string | undefined
  readonly vacuum: BranchInDoubt['vacuum']
}

/** One configured database, or one service that is called at a URL. */
export interface InDoubtResource {
  readonly name: string
  readonly kind: ResourceKind | 'service'
  /** Branches of this cluster that are prepared in it. */
  readonly inDoubt: number
  readonly slots: InDoubtReport['slots']
  readonly foreign: InDoubtReport['foreign']
  /** What prepared branches block of which the database does not say whose it is. */
  readonly unattributed: Blocked
  readonly notes: readonly string[]
  /** Why it could not be looked at; its branches are not in the list then. */
  readonly error: string | undefined
  /** Why the resolver could not do its work here at its last scan; only the leader's resolver works. */
  readonly resolverError: string | undefined
}
