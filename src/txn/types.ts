import type { BranchId, Txid } from '../base/index.ts'

/** What a transaction came to. It has at most one (P2). */
export type Decision = 'commit' | 'abort'

/** What a participant promises. `readOnly`: it wrote nothing and takes no part in phase two. */
export type Vote = 'commit' | 'abort' | 'readOnly'

/**
 * Who carries a branch (DESIGN §4): `local` is a database session in the application's process,
 * `service` another process, `kv` the built-in store.
 */
export type BranchKind = 'local' | 'service' | 'kv'

/** One participant's share of a transaction, as the log keeps it. */
export interface BranchRecord {
  readonly branch: BranchId
  readonly kind: BranchKind
  /** The participant's name: a configured resource or a service. */
  readonly participant: string
  /** The vote that came with the commit request; undefined when PREPARE must still ask. An `abort` vote is never recorded here: it decides at once. */
  readonly vote: 'commit' | 'readOnly' | undefined
  /** Opaque help to tell the branch's outcome later (PostgreSQL: its xid). */
  readonly evidence: string | undefined
}

/** Why a transaction was aborted. Stable words: clients act on them. */
export type AbortReason =
  /** A participant voted abort or its PREPARE failed. */
  | 'votedAbort'
  /** The deadline passed before every vote was there. */
  | 'deadline'
  /** The application asked for it. */
  | 'requested'
  /** Somebody asked for the outcome of a transaction that no coordinator knew (presumed abort, P5). */
  | 'presumed'
  /** A participant could not be reached for its vote. */
  | 'unreachable'

/** The coordinator's log records (DESIGN §3): the only way to change the ledger. */
export type LedgerCommand =
  /** The coordinator began to ask for votes. */
  | {
      readonly kind: 'prepared'
      readonly txid: Txid
      readonly timeoutMs: number
      readonly branches: readonly BranchRecord[]
    }
  /** The decision to commit. `branches` is undefined when `prepared` named them already. */
  | { readonly kind: 'commit'; readonly txid: Txid; readonly branches: readonly BranchRecord[] | undefined }
  /** The decision to abort. `branches`: those to be told; empty when none is known. */
  | {
      readonly kind: 'aborted'
      readonly txid: Txid
      readonly reason: AbortReason
      /** The participant that caused it, when one did. */
      readonly participant: string | undefined
      readonly branches: readonly BranchRecord[]
    }
  /** Every branch acknowledged. Batched: one record for many. */
  | { readonly kind: 'completed'; readonly txids: readonly Txid[] }
  /** A branch ended otherwise than decided, or nobody can tell how (`none`). Kept until an operator has seen it. */
  | {
      readonly kind: 'heuristic'
      readonly txid: Txid
      readonly branch: BranchId
      readonly found: 'committed' | 'aborted' | 'none'
    }
  /** Everything finished whose txid was made before this may be forgotten; a commit for an older unknown txid is refused from now on. */
  | { readonly kind: 'watermark'; readonly beforeMs: number }
  /**
   * A part of the log is gone (a backup was restored, or a majority was lost): txids made before `beforeMs` that this log
   * does not know may have been decided all the same, so nothing is decided about them any more. 0 lifts the guard.
   */
  | { readonly kind: 'guard'; readonly beforeMs: number; readonly reason: string }
  /** An operator ordered a branch to be ended by hand, whatever is decided. Written before anything is done. */
  | {
      readonly kind: 'settle'
      readonly txid: Txid
      readonly branch: BranchId
      readonly action: Decision
      readonly by: string
      readonly reason: string
      readonly evidence: string
      readonly atMs: number
    }
  /** How the branch of the last order ended. */
  | {
      readonly kind: 'settled'
      readonly txid: Txid
      readonly branch: BranchId
      readonly found: 'committed' | 'aborted' | 'none'
    }
  /** An operator has seen what did not end as decided; it is shown no more. */
  | {
      readonly kind: 'acknowledged'
      readonly txid: Txid
      readonly by: string
      readonly reason: string
      readonly atMs: number
    }

/** What applying a record means for the leader. Followers ignore them; a new leader recomputes them with `pending`. */
export type LedgerEffect =
  /** Ask these branches for their votes. */
  | {
      readonly kind: 'askVotes'
      readonly txid: Txid
      readonly timeoutMs: number
      readonly branches: readonly BranchRecord[]
    }
  /** The decision is made: answer the caller and tell these branches until each acknowledges. Comes once a transaction. */
  | {
      readonly kind: 'decided'
      readonly txid: Txid
      readonly outcome: Outcome
      readonly branches: readonly BranchRecord[]
    }
  /** The record came too late or twice: the transaction already has this outcome, which stands. Answer the caller with it. */
  | { readonly kind: 'alreadyDecided'; readonly txid: Txid; readonly outcome: Outcome }
  /** The record was refused; nothing changed. */
  | { readonly kind: 'refused'; readonly txid: Txid; readonly reason: RefusalReason }
  /** Every branch acknowledged: nothing more to do. */
  | { readonly kind: 'completed'; readonly txid: Txid }

export type RefusalReason =
  /** The txid was made before the watermark: nobody can know any more whether it was aborted. */
  | 'olderThanWatermark'
  /** This txid is known with other branches. */
  | 'otherBranches'
  /** A decision to commit named no branches and no `prepared` did. */
  | 'noBranches'
  /** A lost part of the log may hold its decision. */
  | 'guarded'

/** Txids made in this span, in milliseconds since 1970, are guarded unless their decision is known. */
export interface Guard {
  readonly fromMs: number
  readonly beforeMs: number
}

export type Outcome =
  | { readonly kind: 'committed' }
  | { readonly kind: 'aborted'; readonly reason: AbortReason; readonly participant: string | undefined }

/** What the ledger knows of a txid. */
export type Knowledge =
  | Outcome
  /** Votes are being gathered. */
  | { readonly kind: 'preparing' }
  /** Never heard of it, and it is younger than the watermark: presumed abort, once that is written. Or it is guarded. */
  | { readonly kind: 'unknown' }
  /** Older than the watermark and not open: it was aborted, or committed with every branch acknowledged. A branch that is still prepared belongs to an aborted one. */
  | { readonly kind: 'forgotten' }

/** What an operator did by hand to one branch. A value; the book of them is replicated. */
export interface Settlement {
  readonly txid: Txid
  readonly branch: BranchId
  /** What was ordered; `acknowledge`: somebody has seen how the branch ended. */
  readonly action: Decision | 'acknowledge'
  /** Who: in the words of the command, and where the coordinator saw the connection come from. */
  readonly by: string
  readonly reason: string
  /** What was known at that moment, as JSON; empty for an acknowledgement. */
  readonly evidence: string
  /** The leader's clock, milliseconds since 1970. For people only. */
  readonly atMs: number
  /** How the branch ended; undefined: it is not known that the order was carried out. */
  readonly found: 'committed' | 'aborted' | 'none' | undefined
  /**
   * `ordered`: not known to be carried out. `asDecided`, `against`: by or against the decision. `undecided`: there was no
   * decision. `unclear`: nobody can tell how it ended. Undefined for an acknowledgement.
   */
  readonly standing: 'ordered' | 'asDecided' | 'against' | 'undecided' | 'unclear' | undefined
  /** Somebody has seen it. */
  readonly acknowledged: boolean
}

/** One transaction as operators see it. */
export interface TransactionView {
  readonly txid: Txid
  readonly state: 'preparing' | 'committed' | 'aborted' | 'completed'
  readonly outcome: Outcome | undefined
  readonly branches: readonly BranchRecord[]
  readonly heuristics: readonly { readonly branch: BranchId; readonly found: 'committed' | 'aborted' | 'none' }[]
  /** P1: an operator's force or a database left branches with different outcomes. */
  readonly heuristicMixed: boolean
}
