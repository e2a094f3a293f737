import type { Evidence } from '../resources/index.ts'
import type { Decision, Knowledge, Settlement, TransactionView } from '../txn/index.ts'
import type { InDoubtBranch } from './in-doubt-view.ts'

/** How ending a branch so would stand to the transaction's decision. */
export type ForceStanding =
  /** By the decision; of an unknown transaction, by the abort that is decided first. */
  | 'asDecided'
  /** Half of the transaction would end otherwise than the rest. */
  | 'against'
  /** A part of the log was lost, and the decision perhaps with it: nobody can say. */
  | 'noDecision'
  /** Votes are being gathered: it is decided within its deadline, so nothing is forced now. */
  | 'tooEarly'

/** What `settle` shows before anything is done. */
export interface SettleAnswer {
  readonly cluster: string
  /** Who answers. */
  readonly node: number
  readonly txid: string
  readonly decision: Knowledge
  /** A lost part of the log may hold the decision. */
  readonly guarded: boolean
  /** Branches with their votes and what was found of them; null when nothing of it is remembered. */
  readonly transaction: TransactionView | null
  /** Its branches that are prepared in the configured databases, with what they block. */
  readonly prepared: readonly InDoubtBranch[]
  /** Of its other branches, as far as their databases are configured: how they ended. */
  readonly ended: readonly EndedBranch[]
  /** Databases that could not be looked at, and why: there may be more branches. */
  readonly unseen: readonly { readonly resource: string; readonly error: string }[]
  /** What each of the two would be. */
  readonly forcing: Readonly<Record<Decision, ForceStanding>>
  /** What operators did to it before, the oldest first. */
  readonly settlements: readonly Settlement[]
}

/** A branch that is not prepared any more. */
export interface EndedBranch {
  readonly branch: number
  readonly resource: string
  /** What its database can prove. */
  readonly evidence: Evidence
}

/** What came of forcing a branch. */
export interface ForceAnswer {
  readonly cluster: string
  readonly node: number
  readonly settlement: Settlement
  readonly decision: Knowledge
  /** Coordinators that could not be asked for their release: one before 0.3 stops when it meets these records. */
  readonly unasked: readonly string[]
}

/** What operators did by hand, the oldest first. */
export interface SettlementsAnswer {
  readonly settlements: readonly Settlement[]
}
