import type { BranchId, Txid } from '../../base/index.ts'

/**
 * How far a branch has come, as it must outlive the process.
 *
 * - `joined`: work may have been set aside, no vote was given;
 * - `prepared`: voted commit: a promise (P4);
 * - `refused`: voted abort, and waits to hear the decision;
 * - `readOnly`, `committed`, `aborted`: over; kept to answer repeats.
 */
export type BranchState = 'joined' | 'prepared' | 'refused' | 'readOnly' | 'committed' | 'aborted'

/** One line of the journal. */
export interface JournalEntry {
  readonly txid: Txid
  readonly branch: BranchId
  readonly state: BranchState
}

/** Where an instance keeps what it promised. After a failed write nothing is confirmed any more. */
export interface Journal {
  /** The last state of every branch when it was opened; those that ended last come last. */
  readonly found: readonly JournalEntry[]
  /** Room gets low: no new branches, please. What is open is still taken. */
  readonly spaceLow: boolean
  /** Resolves when the entry is on disk; rejects when it can't be put there any more. */
  note(entry: JournalEntry): Promise<void>
  close(): Promise<void>
}

/** Whether nothing is left to do for a branch in this state. */
export function isOver(state: BranchState): boolean {
  return state === 'readOnly' || state === 'committed' || state === 'aborted'
}
