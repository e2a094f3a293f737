import type { Decision, Vote } from '../../txn/index.ts'
import type { BranchEnd } from './branch-table.ts'
import type { BranchKey } from './keys.ts'

/**
 * How far a branch has come, as it must outlive the process.
 *
 * - `joined`: work may have been set aside, no vote was given;
 * - `prepared`: voted commit: a promise (P4);
 * - `refused`: voted abort, and waits to hear the decision;
 * - `readOnly`, `committed`, `aborted`: over; kept to answer repeats.
 */
export type BranchState = 'joined' | 'prepared' | 'refused' | 'readOnly' | 'committed' | 'aborted'

/** One branch of the journal. */
export interface JournalEntry extends Pick<BranchKey, 'txid' | 'branch'> {
  readonly state: BranchState
  /** How long a branch without a vote must be left alone, milliseconds; undefined where the journal does not know. */
  readonly dueInMs?: number
}

/** How a branch votes, as it is written down; `end` when it was over before. */
export interface Verdict {
  readonly vote: Vote
  readonly end?: BranchEnd | undefined
}

/** How long a branch's work may take, and how long the branch is left alone while nobody asks for its vote; milliseconds. */
export interface Lease {
  readonly workMs: number
  readonly dueInMs: number
}

/**
 * Where a service keeps what it promised. `Sql` is what its handlers get: a client in the local transaction in which the
 * journal writes too, or undefined where it can't.
 */
export interface Journal<Sql> {
  /** The last state of every branch when it was opened; those that ended last come last. */
  readonly found: readonly JournalEntry[]
  /** Room gets low: no new branches, please. What is open is still taken. */
  readonly spaceLow: boolean
  /** Whether all instances of the service write here: then what is not here is nowhere. */
  readonly isShared: boolean
  /** Called once for each branch, before its first work. Resolves when it will not be forgotten that there may be work. */
  join(key: BranchKey): Promise<void>
  /**
   * The work of one call.
   *
   * @throws BranchOverError when the journal says so, and nothing was done; what `work` throws
   */
  work<T>(key: BranchKey, lease: Lease, work: (sql: Sql) => Promise<T> | T): Promise<T>
  /** Notes that work of a branch has failed, where `work` does not do that itself. Resolves when it will not be forgotten. */
  refuse?(key: BranchKey): Promise<void>
  /**
   * Asks for a vote, unless there is one, and writes it down.
   *
   * @param ask never rejects
   * @param isWanted whether a vote still counts: it may be decided meanwhile, and then nothing is promised
   * @returns undefined when it was not wanted any more
   * @throws JournalOverError; anything else: nothing is known, ask again
   */
  vote(
    key: BranchKey,
    limitMs: number,
    ask: (sql: Sql) => Promise<Vote>,
    isWanted: () => boolean,
  ): Promise<Verdict | undefined>
  /**
   * Carries a decision out, unless it was before, and writes that down.
   *
   * @returns how the branch has ended, whatever was to be done; `lost` when a promise to commit can't be found
   * @throws JournalOverError; anything else, also what `carryOut` throws: try again
   */
  end(key: BranchKey, decision: Decision, carryOut: (sql: Sql) => Promise<void>): Promise<BranchEnd | 'lost'>
  /** Of a shared journal: what is open now, also on other instances, with its age. */
  open?(): Promise<{ readonly entries: readonly SharedEntry[]; readonly isComplete: boolean }>
  close(): Promise<void>
}

/** A branch that some instance has left open for `ageMs`. */
export interface SharedEntry extends JournalEntry {
  readonly ageMs: number
}

/** The journal has failed for good, or is closed: nothing is promised any more. */
export class JournalOverError extends Error {}

/** Whether nothing is left to do for a branch in this state. */
export function isOver(state: BranchState): state is BranchEnd {
  return state === 'readOnly' || state === 'committed' || state === 'aborted'
}

/** What a branch that has ended votes when it is asked again. */
export const VOTE_OF = { readOnly: 'readOnly', committed: 'commit', aborted: 'abort' } as const satisfies Record<
  BranchEnd,
  Vote
>
