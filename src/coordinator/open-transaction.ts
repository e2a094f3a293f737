import type { Txid } from '../base/index.ts'
import type { BranchRecord } from '../txn/index.ts'
import type { Proposer } from './proposal-queue.ts'
import type { Reply } from './requests.ts'
import type { VoteRound } from './vote-round.ts'

/** How a caller gets its answer: called once, from inside the coordinator, so it must be quick. */
export type ReplyTo = (reply: Reply) => void

/** What a transaction's open requests do when the log does not take their record. */
export type Dropped = (open: OpenTransaction, reason: 'backPressure' | 'diskFull') => void

/** A transaction that this leader is about to decide, with everybody who waits for it. There is one a txid. */
export class OpenTransaction implements Proposer {
  readonly txid: Txid
  /** What its commit request named; undefined when it is being aborted, which is right for any branches. */
  readonly branches: readonly BranchRecord[] | undefined
  readonly arrivedMs: number
  /** The log took its first record: it may take effect from now on. */
  proposed = false
  /** Only while PREPARE has to gather votes. */
  round: VoteRound | undefined = undefined
  readonly #dropped: Dropped
  #replies: ReplyTo[] = []

  constructor(txid: Txid, branches: readonly BranchRecord[] | undefined, arrivedMs: number, dropped: Dropped) {
    this.txid = txid
    this.branches = branches
    this.arrivedMs = arrivedMs
    this.#dropped = dropped
  }

  /** Callers that wait. */
  get waiting(): number {
    return this.#replies.length
  }

  wait(reply: ReplyTo): void {
    this.#replies.push(reply)
  }

  /** Hands out everybody who waits, once. */
  takeReplies(): readonly ReplyTo[] {
    const replies = this.#replies
    this.#replies = []
    return replies
  }

  accepted(): void {
    this.proposed = true
    // DESIGN §4: PREPARE goes out in the moment in which the record is proposed; it needs no waiting.
    this.round?.start()
  }

  dropped(reason: 'backPressure' | 'diskFull'): void {
    this.#dropped(this, reason)
  }
}
