import { type BranchId, hit, type Prng, type Txid } from '../base/index.ts'
import type { AbortReason, BranchRecord, Vote } from '../txn/index.ts'
import type { CoordinatorOptions } from './options.ts'
import type { ParticipantPort } from './participant-port.ts'
import { resendDelayMs } from './resend-delay.ts'
import type { Alarm, TimingWheel } from './timing-wheel.ts'

/** What a round of votes came to. */
export type Verdict =
  /** Every vote is there and none says abort. The branches carry their votes and evidence. */
  | { readonly kind: 'commit'; readonly branches: readonly BranchRecord[] }
  | { readonly kind: 'abort'; readonly reason: AbortReason; readonly participant: string | undefined }

export interface VoteRoundParts {
  readonly wheel: TimingWheel
  readonly participants: ParticipantPort
  readonly prng: Prng
  readonly options: CoordinatorOptions
  /** Called at most once a round, and never after `stop`. */
  readonly decided: (txid: Txid, verdict: Verdict) => void
}

/**
 * Gathers the votes of one transaction: sends PREPARE until each branch has answered, and comes to one verdict.
 *
 * Invariants:
 * 1. the verdict is `commit` only when every branch has voted, and none `abort`;
 * 2. there is at most one verdict: what comes later (a vote, the deadline, a repeat) changes nothing.
 */
export class VoteRound {
  readonly #parts: VoteRoundParts
  readonly #txid: Txid
  readonly #timeoutMs: number
  readonly #branches: Map<BranchId, BranchRecord>
  readonly #missing: Map<BranchId, BranchRecord>
  #attempts = 0
  #started = false
  #over = false
  readonly #deadline: Alarm = { dueTick: undefined, ring: () => this.#expire() }
  readonly #resend: Alarm = { dueTick: undefined, ring: () => this.#send() }

  /** The time for the votes begins now; nothing is sent before `start`. */
  constructor(parts: VoteRoundParts, txid: Txid, timeoutMs: number, branches: readonly BranchRecord[]) {
    this.#parts = parts
    this.#txid = txid
    this.#timeoutMs = timeoutMs
    this.#branches = new Map(branches.map((record) => [record.branch, record]))
    this.#missing = new Map(branches.filter(({ vote }) => vote === undefined).map((record) => [record.branch, record]))
    parts.wheel.set(this.#deadline, timeoutMs)
  }

  /** False once there is a verdict. */
  get open(): boolean {
    return !this.#over
  }

  /** Sends PREPARE to every branch that has not voted, now and again with back-off. */
  start(): void {
    if (this.#over) return
    this.#started = true
    if (this.#missing.size === 0) this.#end({ kind: 'commit', branches: [...this.#branches.values()] })
    else this.#send()
  }

  /** A participant's answer to PREPARE; a repeat, an unknown branch or one of another participant than `from` changes nothing. */
  vote(branch: BranchId, vote: Vote, evidence: string | undefined, from?: string): void {
    const record = this.#missing.get(branch)
    if (from !== undefined && record?.participant !== from) return
    // Before the start the log may still refuse the transaction, so nothing may be decided; PREPARE will ask again.
    if (record === undefined || this.#over || !this.#started) return
    hit('coordinator.vote.before-count', this.#txid)
    this.#count(record, vote, evidence)
    hit('coordinator.vote.counted', this.#txid)
  }

  #count(record: BranchRecord, vote: Vote, evidence: string | undefined): void {
    const { branch } = record
    if (vote === 'abort') {
      this.abort('votedAbort', record.participant)
      return
    }
    this.#missing.delete(branch)
    this.#branches.set(branch, { ...record, vote, evidence })
    if (this.#missing.size === 0) this.#end({ kind: 'commit', branches: [...this.#branches.values()] })
  }

  /** This participant is gone for good: when its vote is missing it can't come any more. */
  gone(participant: string): void {
    for (const record of this.#missing.values()) {
      if (record.participant === participant) return this.abort('unreachable', participant)
    }
  }

  /** Ends the round with `abort` for a reason from outside. */
  abort(reason: AbortReason, participant: string | undefined): void {
    if (!this.#over) this.#end({ kind: 'abort', reason, participant })
  }

  /** Ends the round without a verdict: the leadership is gone. */
  stop(): void {
    this.#over = true
    this.#parts.wheel.cancel(this.#deadline)
    this.#parts.wheel.cancel(this.#resend)
  }

  #expire(): void {
    const [slow] = this.#missing.values()
    this.abort('deadline', slow?.participant)
  }

  #end(verdict: Verdict): void {
    this.stop()
    this.#parts.decided(this.#txid, verdict)
  }

  #send(): void {
    const { participants, wheel, prng, options } = this.#parts
    // Armed first: a participant inside this process may answer before `send` returns.
    wheel.set(this.#resend, resendDelayMs(this.#attempts++, prng, options))
    for (const { branch, participant } of [...this.#missing.values()]) {
      if (this.#over) return
      hit('coordinator.prepare.before-send', this.#txid)
      participants.send(participant, {
        kind: 'prepare',
        txid: this.#txid,
        branch,
        participant,
        timeoutMs: this.#timeoutMs,
      })
      hit('coordinator.prepare.sent', this.#txid)
    }
  }
}
