import {
  type BranchId,
  type Clock,
  hit,
  InvariantError,
  type NodeId,
  type Prng,
  type Timer,
  type Txid,
  txidTimeMs,
  unreachable,
} from '../base/index.ts'
import type { DecisionLog } from '../replica/index.ts'
import type { BranchRecord, Knowledge, Ledger, LedgerCommand, LedgerEffect, Outcome, Vote } from '../txn/index.ts'
import { CompletedBatch } from './completed-batch.ts'
import { DecisionDelivery } from './decision-delivery.ts'
import { type Dropped, OpenTransaction, type ReplyTo } from './open-transaction.ts'
import type { CoordinatorOptions } from './options.ts'
import type { ParticipantPort } from './participant-port.ts'
import { ProposalQueue, type Schedule } from './proposal-queue.ts'
import { guardedRefusal, ledgerRefusal, refusal } from './refusals.ts'
import { checkAbortBranches, checkCommitBranches, nameSameBranches, shortName } from './request-checks.ts'
import type { AbortRequest, CommitRequest, InquireRequest, Refusal, Reply } from './requests.ts'
import { TimingWheel } from './timing-wheel.ts'
import { type Verdict, VoteRound, type VoteRoundParts } from './vote-round.ts'

export interface LeadershipParts {
  readonly term: number
  readonly log: DecisionLog
  readonly ledger: Ledger
  readonly clock: Clock
  readonly prng: Prng
  readonly options: CoordinatorOptions
  readonly participants: ParticipantPort
  readonly schedule: Schedule
  /** Hands a reply to its caller. */
  readonly answer: (reply: ReplyTo, answer: Reply) => void
  readonly decided: (txid: Txid, outcome: Outcome, durationMs: number | undefined) => void
  /** The log says that this node does not lead. */
  readonly notLeader: (leader: NodeId | undefined) => void
  /** Nothing is open any more. */
  readonly idle: () => void
}

/**
 * What one leader does in one term: everything volatile that a coordinator has. It ends with the term; the next leader
 * makes a new one from the ledger (`Ledger.pending`).
 *
 * Invariants:
 * 1. P3: an outcome is told only from the ledger, so only after its record was applied.
 * 2. A txid has at most one `OpenTransaction`, and that one at most one decision record under way.
 * 3. A transaction that the ledger calls `preparing` is open, so its votes are being gathered.
 */
export class Leadership {
  readonly #parts: LeadershipParts
  readonly #open = new Map<Txid, OpenTransaction>()
  readonly #wheel: TimingWheel
  readonly #queue: ProposalQueue
  readonly #roundParts: VoteRoundParts
  readonly #completed: CompletedBatch
  readonly #watermark: Timer
  #spaceLow = false
  #over = false
  /** The newest txid's time less this node's monotonic time: what the clients' clocks say. */
  #clientsOffsetMs: number | undefined
  /** Set while the coordinator drains: new transactions are refused. */
  draining = false
  readonly delivery: DecisionDelivery

  constructor(parts: LeadershipParts) {
    const { clock, options, log, schedule, notLeader, participants, prng } = parts
    this.#parts = parts
    this.#wheel = new TimingWheel(clock, options.tickMs)
    this.#queue = new ProposalQueue({ log, clock, schedule, options, notLeader })
    this.#completed = new CompletedBatch(this.#wheel, options, (txids) => this.propose({ kind: 'completed', txids }))
    const shared = { wheel: this.#wheel, participants, prng, options }
    this.#roundParts = { ...shared, decided: (txid, verdict) => this.#verdict(txid, verdict) }
    this.delivery = new DecisionDelivery({ ...shared, clock, delivered: (txid) => this.#completed.add(txid) })
    this.#watermark = clock.every(options.watermarkPeriodMs, () => this.#housekeeping())
  }

  get term(): number {
    return this.#parts.term
  }

  /** Transactions without a decision yet. */
  get openCount(): number {
    return this.#open.size
  }

  /** Records that the log has not taken yet. */
  get queuedCount(): number {
    return this.#queue.length
  }

  /** P6: continues what the ledger has open, and tells every decision again, at once. */
  begin(): void {
    this.#spaceLow = this.#parts.log.status().spaceLow
    hit('coordinator.leading.before-continue')
    for (const effect of this.#parts.ledger.pending()) {
      // An old decision: nobody here waits for it, and it was counted when it was made.
      if (effect.kind === 'decided') this.delivery.start(effect.txid, effect.outcome, effect.branches)
      else this.carryOut(effect)
    }
    hit('coordinator.leading.continued')
  }

  /**
   * The term is over. Whoever waits hears whether the request may still take effect (OUTCOME_PENDING) or was never
   * handed to the log (NOT_LEADER).
   */
  end(leader: NodeId | undefined): void {
    this.#over = true
    const offered = this.#queue.flushing
    this.#parts.clock.cancel(this.#watermark)
    this.#queue.clear()
    this.#completed.clear()
    this.delivery.clear()
    this.#wheel.clear()
    const open = [...this.#open.values()]
    this.#open.clear()
    for (const transaction of open) {
      transaction.round?.stop()
      const code = transaction.proposed || offered ? 'OUTCOME_PENDING' : 'NOT_LEADER'
      this.#answerAll(transaction, refusal(code, leader))
    }
  }

  /** The answer, when there is one at once; otherwise `reply` is called later. So are `abort` and `inquire`. */
  commit(request: CommitRequest, reply: ReplyTo): Reply | undefined {
    const { txid, branches } = request
    hit('coordinator.request.received', txid)
    const malformed = checkCommitBranches(branches)
    if (malformed !== undefined) return malformed
    if (this.#parts.ledger.isGuarded(txid)) return guardedRefusal()
    const open = this.#open.get(txid)
    if (open !== undefined) return join(open, branches, reply)

    const known = this.#parts.ledger.knowledge(txid)
    switch (known.kind) {
      case 'aborted':
        return { kind: 'outcome', outcome: known }
      case 'forgotten':
        return refusal('TXN_TOO_OLD')
      case 'committed':
        // A repeat. Only the ledger can compare its branches with those of a finished transaction.
        this.#queue.add({
          command: { kind: 'commit', txid, branches },
          proposer: this.#newOpen(txid, branches, reply),
          reserve: true,
        })
        return undefined
      case 'preparing':
        throw new InvariantError('a transaction whose votes are being gathered is open')
      case 'unknown':
        return this.#commitNew(request, reply)
      default:
        return unreachable(known)
    }
  }

  abort(request: AbortRequest, reply: ReplyTo): Reply | undefined {
    const { txid, branches } = request
    const malformed = checkAbortBranches(branches)
    if (malformed !== undefined) return malformed
    if (this.#parts.ledger.isGuarded(txid)) return guardedRefusal()
    const participant = shortName(request.participant)
    const open = this.#open.get(txid)
    if (open !== undefined) {
      open.wait(reply)
      open.round?.abort('requested', participant)
      return undefined
    }
    const known = this.#parts.ledger.knowledge(txid)
    if (known.kind !== 'unknown') return { kind: 'outcome', outcome: known }
    return this.#abortUnknown({ kind: 'aborted', txid, reason: 'requested', participant, branches }, reply)
  }

  inquire({ txid, settle }: InquireRequest, reply: ReplyTo): Reply | undefined {
    hit('coordinator.inquiry.received', txid)
    if (this.#parts.ledger.isGuarded(txid)) return guardedRefusal()
    const open = this.#open.get(txid)
    if (open?.round?.open) {
      // Linearizable: another leader may have decided it meanwhile, and somebody may have heard so.
      this.#readLinearizably(txid, reply)
      return undefined
    }
    if (open !== undefined) {
      open.wait(reply)
      return undefined
    }
    const known = this.#parts.ledger.knowledge(txid)
    if (known.kind !== 'unknown') return { kind: 'outcome', outcome: known }
    // P5: the tombstone is written before anybody hears "aborted", so nobody can commit it later.
    const tombstone = { kind: 'aborted', txid, reason: 'presumed', participant: undefined, branches: [] } as const
    if (settle) return this.#abortUnknown(tombstone, reply)
    this.#readLinearizably(txid, reply)
    return undefined
  }

  /** A participant's answer to PREPARE. */
  vote(txid: Txid, branch: BranchId, vote: Vote, evidence: string | undefined, from?: string): void {
    const open = this.#open.get(txid)
    if (open?.round !== undefined) open.round.vote(branch, vote, evidence, from)
    else this.delivery.resend(txid, branch)
  }

  /** A participant is gone for good. Deciding now, rather than at the deadline, frees the other branches' locks. */
  participantGone(name: string): void {
    for (const { round } of [...this.#open.values()]) round?.gone(name)
  }

  /** Branches carried the decision out. */
  ack(txid: Txid, branches: readonly BranchId[], from?: string): void {
    this.delivery.ack(txid, branches, from)
  }

  /** Writes a record that no caller waits for. */
  propose(command: LedgerCommand): void {
    if (!this.#over) this.#queue.add({ command, proposer: undefined, reserve: true })
  }

  /** When the oldest transaction that is not finished was made, by its txid; undefined when all are. */
  oldestTxidMs(): number | undefined {
    let oldestMs: number | undefined
    for (const transactions of [this.#open.values(), this.delivery.list()]) {
      for (const { txid } of transactions) oldestMs = Math.min(oldestMs ?? Number.POSITIVE_INFINITY, txidTimeMs(txid))
    }
    return oldestMs
  }

  /** The log applied something: there may be room again. */
  applied(): void {
    this.#queue.unstall()
  }

  /** Does what an applied record asks of the leader. */
  carryOut(effect: LedgerEffect): void {
    switch (effect.kind) {
      case 'askVotes':
        this.#askVotes(effect.txid, effect.timeoutMs, effect.branches)
        break
      case 'decided':
        this.#decided(effect.txid, effect.outcome, effect.branches)
        break
      case 'alreadyDecided':
        this.#close(effect.txid, { kind: 'outcome', outcome: effect.outcome })
        break
      case 'refused':
        this.#close(effect.txid, ledgerRefusal(effect.reason))
        break
      case 'completed':
        this.delivery.forget(effect.txid)
        break
      default:
        unreachable(effect)
    }
  }

  #commitNew({ txid, branches, timeoutMs }: CommitRequest, reply: ReplyTo): Refusal | undefined {
    const refused = this.#overload() ?? this.#undelivered() ?? this.#closedToNew() ?? this.#tooNew(txid)
    if (refused !== undefined) return refused
    const proposer = this.#newOpen(txid, branches, reply)
    const boundedMs = boundTimeout(timeoutMs, this.#parts.options.timeoutMaxMs)
    this.#queue.add({ command: this.#firstRecord(proposer, boundedMs, branches), proposer, reserve: false })
    return undefined
  }

  /** The record that begins a transaction: the decision itself whenever nothing has to be asked first. */
  #firstRecord(open: OpenTransaction, timeoutMs: number, branches: readonly BranchRecord[]): LedgerCommand {
    const { txid } = open
    const silent = branches.filter(({ vote }) => vote === undefined)
    if (silent.length === 0) return { kind: 'commit', txid, branches }
    const stranger = silent.find(({ participant }) => !this.#parts.participants.knows(participant))
    if (stranger !== undefined) {
      // Its vote can never come. Deciding now, rather than at the deadline, frees the other branches' locks.
      return { kind: 'aborted', txid, reason: 'unreachable', participant: stranger.participant, branches }
    }
    open.round = new VoteRound(this.#roundParts, txid, timeoutMs, branches)
    return { kind: 'prepared', txid, timeoutMs, branches }
  }

  #abortUnknown(command: Extract<LedgerCommand, { kind: 'aborted' }>, reply: ReplyTo): Refusal | undefined {
    // However much is undelivered: that is one database's trouble, and this frees locks in others.
    const refused = this.#overload()
    if (refused !== undefined) return refused
    // It may use the reserve: branches that are prepared hold their locks until somebody writes this.
    this.#queue.add({ command, proposer: this.#newOpen(command.txid, undefined, reply), reserve: true })
    return undefined
  }

  #newOpen(txid: Txid, branches: readonly BranchRecord[] | undefined, reply: ReplyTo | undefined): OpenTransaction {
    const nowMs = this.#parts.clock.monotonicMs()
    this.#clientsOffsetMs = Math.max(this.#clientsOffsetMs ?? Number.NEGATIVE_INFINITY, txidTimeMs(txid) - nowMs)
    const open = new OpenTransaction(txid, branches, nowMs, this.#dropped)
    if (reply !== undefined) open.wait(reply)
    this.#open.set(txid, open)
    return open
  }

  readonly #dropped: Dropped = (open, reason) => {
    this.#open.delete(open.txid)
    open.round?.stop()
    if (reason === 'diskFull') this.#spaceLow = true
    this.#answerAll(open, refusal(reason === 'diskFull' ? 'DISK_FULL' : 'OVERLOADED'))
    this.#checkIdle()
  }

  /** An open round is there already when this leader proposed the record; it is not when an earlier one did. */
  #askVotes(txid: Txid, timeoutMs: number, branches: readonly BranchRecord[]): void {
    if (this.#open.has(txid)) return
    const open = this.#newOpen(txid, branches, undefined)
    // The time that is left is not in the log, so the recorded one starts anew (no replica reads a clock).
    open.round = new VoteRound(this.#roundParts, txid, timeoutMs, branches)
    open.accepted()
  }

  #verdict(txid: Txid, verdict: Verdict): void {
    // `prepared` names the branches and comes before either record in the log. A commit repeats them with their votes,
    // so that a later leader leaves the readers in peace and the resolver has the evidence.
    if (verdict.kind === 'commit') this.propose({ kind: 'commit', txid, branches: verdict.branches })
    else this.propose({ kind: 'aborted', txid, reason: verdict.reason, participant: verdict.participant, branches: [] })
  }

  #decided(txid: Txid, outcome: Outcome, branches: readonly BranchRecord[]): void {
    const open = this.#open.get(txid)
    const durationMs = open?.waiting ? this.#parts.clock.monotonicMs() - open.arrivedMs : undefined
    // Without branches to tell, the ledger has completed it by itself.
    if (branches.length > 0) this.delivery.start(txid, outcome, branches)
    this.#parts.decided(txid, outcome, durationMs)
    this.#close(txid, { kind: 'outcome', outcome })
  }

  #close(txid: Txid, answer: Reply): void {
    const open = this.#open.get(txid)
    if (open === undefined) return
    this.#open.delete(txid)
    open.round?.stop()
    if (open.waiting) hit('coordinator.answer.before-send', txid)
    this.#answerAll(open, answer)
    this.#checkIdle()
  }

  #readLinearizably(txid: Txid, reply: ReplyTo): void {
    const { log, answer } = this.#parts
    log.readBarrier().then(
      () => answer(reply, { kind: 'outcome', outcome: this.#present(txid) }),
      () => answer(reply, refusal('NOT_LEADER', log.status().raft.leader)),
    )
  }

  /** What is known now. Votes are gathered from the moment in which `prepared` is proposed, so before the ledger has it. */
  #present(txid: Txid): Knowledge {
    const known = this.#parts.ledger.knowledge(txid)
    return known.kind === 'unknown' && this.#open.get(txid)?.round?.open === true ? { kind: 'preparing' } : known
  }

  #overload(): Refusal | undefined {
    return this.#open.size < this.#parts.options.openMax ? undefined : refusal('OVERLOADED')
  }

  #undelivered(): Refusal | undefined {
    return this.delivery.size < this.#parts.options.undeliveredMax ? undefined : refusal('OVERLOADED')
  }

  #closedToNew(): Refusal | undefined {
    if (this.draining) return refusal('SHUTTING_DOWN')
    return this.#spaceLow ? refusal('DISK_FULL') : undefined
  }

  /**
   * A txid from the future stays behind no watermark for as long as its clock is ahead, so its outcome could not be
   * forgotten. Only commits are refused: a branch that is prepared under such a txid holds locks until somebody may
   * write its abort. The watermark is time that the fleet agreed on; a leader whose own clock fell behind goes by it.
   */
  #tooNew(txid: Txid): Refusal | undefined {
    const { clock, ledger, options } = this.#parts
    const aheadMs = txidTimeMs(txid) - Math.max(clock.wallMs(), ledger.watermarkMs)
    if (aheadMs <= options.aheadMaxMs) return undefined
    const seconds = Math.round(aheadMs / 1_000)
    return refusal(
      'TXN_TOO_NEW',
      undefined,
      `the txid was made ${seconds} s ahead of this coordinator’s clock, so nothing was done; set the clocks of client and coordinators right, then begin a new transaction`,
    )
  }

  #housekeeping(): void {
    const { ledger, log, clock, options } = this.#parts
    this.#spaceLow = log.status().spaceLow
    // Nobody has begun anything: there is nothing to forget, and no clock to compare with.
    if (this.#clientsOffsetMs === undefined) return
    const { keepMs, keepCount, fenceMs } = options
    // Of two clocks the one that is behind: a leader's that jumped ahead would make every running transaction too old.
    const nowMs = Math.min(clock.wallMs(), this.#clientsOffsetMs + clock.monotonicMs())
    const beforeMs = ledger.suggestWatermark({ nowMs, keepMs, keepCount, fenceMs })
    if (beforeMs !== undefined && beforeMs > ledger.watermarkMs) this.propose({ kind: 'watermark', beforeMs })
  }

  #checkIdle(): void {
    if (this.#open.size === 0) this.#parts.idle()
  }

  #answerAll(open: OpenTransaction, answer: Reply): void {
    for (const reply of open.takeReplies()) {
      this.#parts.answer(reply, answer)
      if (answer.kind === 'outcome') hit('coordinator.answer.sent', open.txid)
    }
  }
}

/** One more who waits for a transaction that is being decided. */
function join(open: OpenTransaction, branches: readonly BranchRecord[], reply: ReplyTo): Refusal | undefined {
  if (open.branches !== undefined && !nameSameBranches(open.branches, branches)) return refusal('TXN_OTHER_BRANCHES')
  open.wait(reply)
  return undefined
}

/** A whole number of milliseconds within the allowed ones, whatever a client sent. */
function boundTimeout(timeoutMs: number, timeoutMaxMs: number): number {
  return Number.isFinite(timeoutMs) ? Math.ceil(Math.min(Math.max(timeoutMs, 0), timeoutMaxMs)) : timeoutMaxMs
}
