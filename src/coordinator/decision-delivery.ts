import { type BranchId, type Clock, hit, type Prng, type Txid } from '../base/index.ts'
import type { BranchRecord, Decision, Outcome } from '../txn/index.ts'
import type { CoordinatorOptions } from './options.ts'
import type { ParticipantPort } from './participant-port.ts'
import { resendDelayMs } from './resend-delay.ts'
import type { Alarm, TimingWheel } from './timing-wheel.ts'

/** A decided transaction of which some branches have not acknowledged the decision. */
export interface Undelivered {
  readonly txid: Txid
  readonly decision: Decision
  /** When this leader learned the decision; monotonic. */
  readonly sinceMs: number
  /** The branches that are still to acknowledge. */
  readonly branches: readonly BranchRecord[]
}

export interface DecisionDeliveryParts {
  readonly clock: Clock
  readonly wheel: TimingWheel
  readonly participants: ParticipantPort
  readonly prng: Prng
  readonly options: CoordinatorOptions
  /** The last branch acknowledged. */
  readonly delivered: (txid: Txid) => void
}

/**
 * GLOBAL-COMMIT and GLOBAL-ABORT until each branch acknowledges. Participants in other processes are told, again and
 * again with back-off; a local branch is settled by its application, or by the resolver when that one is dead.
 */
export class DecisionDelivery {
  readonly #parts: DecisionDeliveryParts
  /** In the order of the decisions, so the oldest come first. */
  readonly #undelivered = new Map<Txid, Delivery>()

  constructor(parts: DecisionDeliveryParts) {
    this.#parts = parts
  }

  /** Transactions with a branch that has not acknowledged. */
  get size(): number {
    return this.#undelivered.size
  }

  /** Tells these branches, of which there is at least one, now and until each acknowledges. */
  start(txid: Txid, outcome: Outcome, branches: readonly BranchRecord[]): void {
    const decision = outcome.kind === 'committed' ? 'commit' : 'abort'
    const delivery = new Delivery(this.#parts, txid, decision, branches)
    this.#undelivered.set(txid, delivery)
    delivery.start()
  }

  /** These branches carried the decision out. Repeats, unknown ones and those of another participant than `from` change nothing. */
  ack(txid: Txid, branches: readonly BranchId[], from?: string): void {
    const delivery = this.#undelivered.get(txid)
    if (delivery === undefined) return
    hit('coordinator.ack.before-count', txid)
    this.#count(delivery, branches, from)
    hit('coordinator.ack.counted', txid)
  }

  #count(delivery: Delivery, branches: readonly BranchId[], from: string | undefined): void {
    const { txid } = delivery
    delivery.acknowledge(branches, from)
    if (delivery.branches.length > 0) return
    this.#undelivered.delete(txid)
    this.#parts.delivered(txid)
  }

  /** A participant asks or votes late: tells it at once what was decided. */
  resend(txid: Txid, branch: BranchId): void {
    this.#undelivered.get(txid)?.send(branch)
  }

  /** Nothing is left to tell: the ledger counts the transaction as completed. */
  forget(txid: Txid): void {
    this.#undelivered.get(txid)?.stop()
    this.#undelivered.delete(txid)
  }

  /** The leadership is gone: the next leader tells them. */
  clear(): void {
    for (const delivery of this.#undelivered.values()) delivery.stop()
    this.#undelivered.clear()
  }

  /** What is undelivered, the oldest first. */
  list(): Iterable<Undelivered> {
    return this.#undelivered.values()
  }

  get(txid: Txid): Undelivered | undefined {
    return this.#undelivered.get(txid)
  }
}

class Delivery implements Undelivered, Alarm {
  readonly txid: Txid
  readonly decision: Decision
  readonly sinceMs: number
  branches: readonly BranchRecord[]
  dueTick: number | undefined = undefined
  readonly #parts: DecisionDeliveryParts
  #attempts = 0

  constructor(parts: DecisionDeliveryParts, txid: Txid, decision: Decision, branches: readonly BranchRecord[]) {
    this.#parts = parts
    this.txid = txid
    this.decision = decision
    this.branches = branches
    this.sinceMs = parts.clock.monotonicMs()
  }

  start(): void {
    if (this.branches.some(isRemote)) this.ring()
  }

  ring(): void {
    const { wheel, prng, options } = this.#parts
    wheel.set(this, resendDelayMs(this.#attempts++, prng, options))
    for (const record of this.branches) this.#tell(record)
  }

  send(branch: BranchId): void {
    for (const record of this.branches) if (record.branch === branch) this.#tell(record)
  }

  acknowledge(branches: readonly BranchId[], from: string | undefined): void {
    const isMeant = ({ branch, participant }: BranchRecord): boolean =>
      branches.includes(branch) && (from === undefined || participant === from)
    this.branches = this.branches.filter((record) => !isMeant(record))
    if (!this.branches.some(isRemote)) this.stop()
  }

  stop(): void {
    this.#parts.wheel.cancel(this)
  }

  #tell({ kind, participant, branch }: BranchRecord): void {
    if (kind === 'local') return
    const { txid, decision } = this
    hit('coordinator.decision.before-send', txid)
    this.#parts.participants.send(participant, { kind: 'decision', txid, branch, decision })
    hit('coordinator.decision.sent', txid)
  }
}

function isRemote({ kind }: BranchRecord): boolean {
  return kind !== 'local'
}
