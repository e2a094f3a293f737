import { assert } from '../../base/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import type { BranchKey } from './keys.ts'

/** How a branch ended. */
export type BranchEnd = 'readOnly' | 'committed' | 'aborted'

/**
 * A branch that has not ended here: `joined` → `preparing` → `voted` → `ending`. Any but `ending` may be decided, and goes
 * to `ending`; a branch that another instance held begins there.
 */
export class OpenBranch {
  readonly key: BranchKey
  phase: 'joined' | 'preparing' | 'voted' | 'ending'
  /** Durable once `voted`: the same vote comes back however often it is asked for. */
  vote: Vote | undefined
  /** What the coordinators decided; while work or `prepare` is under way it waits here. */
  decision: Decision | undefined
  /** Calls that are at work for it. */
  working = 0
  /** Work for it failed: it votes abort (DESIGN §9). */
  isSpoilt = false
  /** Its decision is being carried out. */
  isEnding = false
  /** Its join is on disk. */
  joined: Promise<void> = Promise.resolve()
  /** Sends the vote to whoever asked last. */
  reply: ((vote: Vote) => void) | undefined
  /** Its vote was asked for: it takes no more work. */
  isAsked = false
  /** How long whoever asked waits for it, milliseconds. */
  voteMs = 0
  /** The coordinators have forgotten the transaction, so its abort is no more than what is left to do. */
  isForgotten = false
  /** When it was opened here; monotonic. */
  readonly sinceMs: number
  /** Until then a branch without a vote waits for PREPARE; afterwards the question for its outcome settles it. Monotonic. */
  dueMs = 0
  /** When the coordinators are asked next; monotonic. */
  askMs = 0
  asks = 0

  constructor(key: BranchKey, phase: OpenBranch['phase'], sinceMs: number) {
    this.key = key
    this.phase = phase
    this.sinceMs = sinceMs
  }

  /** Whether nothing is under way for it: whatever becomes of it, somebody else begins that. */
  get isIdle(): boolean {
    const isWaiting = this.phase === 'joined' || this.phase === 'voted'
    return isWaiting && this.working === 0 && this.reply === undefined && this.decision === undefined
  }

  /** Whether a call may still do work for it: nobody has asked for its vote, and nobody has decided. */
  get takesWork(): boolean {
    return this.phase === 'joined' && !this.isAsked && this.decision === undefined
  }
}

/**
 * The branches of one instance.
 *
 * Invariants:
 * 1. a branch is open or ended, never both;
 * 2. what ended never opens again while it is remembered: a late call, PREPARE or decision is answered from memory.
 */
export class BranchTable {
  readonly #open = new Map<string, OpenBranch>()
  /** In the order of their end. */
  readonly #ended = new Map<string, BranchEnd>()
  readonly #endedMax: number

  constructor(endedMax: number) {
    this.#endedMax = endedMax
  }

  get openCount(): number {
    return this.#open.size
  }

  open(gid: string): OpenBranch | undefined {
    return this.#open.get(gid)
  }

  endOf(gid: string): BranchEnd | undefined {
    return this.#ended.get(gid)
  }

  /** All that have not ended. */
  all(): Iterable<OpenBranch> {
    return this.#open.values()
  }

  add(branch: OpenBranch): void {
    const { gid } = branch.key
    assert(!this.#open.has(gid) && !this.#ended.has(gid), 'a branch opens once')
    this.#open.set(gid, branch)
  }

  /** It is open no longer here, and nobody here knows how it ended. */
  drop(gid: string): void {
    this.#open.delete(gid)
  }

  /** It is over; the oldest that is remembered makes room. */
  end(gid: string, end: BranchEnd): void {
    this.#open.delete(gid)
    this.#ended.set(gid, end)
    const [oldest] = this.#ended.keys()
    if (this.#ended.size > this.#endedMax && oldest !== undefined) this.#ended.delete(oldest)
  }
}
