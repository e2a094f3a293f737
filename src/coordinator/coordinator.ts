import {
  assert,
  type BranchId,
  type Clock,
  type ClusterId,
  isArmed,
  type NodeId,
  Prng,
  type Txid,
} from '../base/index.ts'
import type { DecisionLog, StateRestore } from '../replica/index.ts'
import {
  decodeCommands,
  type Guard,
  type Knowledge,
  Ledger,
  type LedgerCommand,
  type LedgerEffect,
  type ListFilter,
  type Outcome,
  type Settlement,
  type TransactionView,
  type Vote,
} from '../txn/index.ts'
import type { CoordinatorStatus } from './coordinator-status.ts'
import type { Undelivered } from './decision-delivery.ts'
import { Leadership } from './leadership.ts'
import { type Logger, silentLogger } from './logger.ts'
import type { CoordinatorObserver } from './observer.ts'
import type { ReplyTo } from './open-transaction.ts'
import { type OperatorRecord, OperatorRecords } from './operator-records.ts'
import { COORDINATOR_DEFAULTS, type CoordinatorOptions } from './options.ts'
import { noParticipants, type ParticipantPort } from './participant-port.ts'
import type { Schedule } from './proposal-queue.ts'
import { hitRecord, type RecordMoment } from './record-points.ts'
import { refusal } from './refusals.ts'
import type { AbortRequest, CommitRequest, InquireRequest, Refusal, Reply } from './requests.ts'

export interface CoordinatorParts {
  /** Started and closed by the coordinator. */
  readonly log: DecisionLog
  readonly clusterId: ClusterId
  readonly clock: Clock
  /** Seeds the jitter of re-sends. */
  readonly seed: number
  readonly options?: Partial<CoordinatorOptions>
  readonly logger?: Logger
  /** How to reach participants in other processes; without it a commit that needs their votes is aborted as unreachable. */
  readonly participants?: ParticipantPort
  /**
   * Joins records into one log entry. `queueMicrotask` when left out: that joins what one read of a socket brought. The log joins
   * the entries of a whole turn anyway, and a second `setImmediate` would cost a lone caller another round of the event loop.
   */
  readonly schedule?: Schedule
  readonly observers?: readonly CoordinatorObserver[]
}

/**
 * The shell around the ledger: turns requests into log records, applies what the log commits, and, while it leads,
 * carries out the ledger's effects (DESIGN §4).
 *
 * Requests take a callback instead of returning a promise: at a hundred thousand decisions a second a promise for each
 * would cost more than the decision. A callback is called exactly once, possibly before the call returns.
 *
 * @example
 * const coordinator = new Coordinator({ log, clusterId, clock: systemClock, seed: 1 })
 * await coordinator.start()
 * coordinator.commit({ clusterId, txid, timeoutMs: 30_000, branches }, (reply) => console.log(reply))
 */
export class Coordinator {
  readonly clusterId: ClusterId
  readonly #parts: CoordinatorParts
  readonly #options: CoordinatorOptions
  readonly #logger: Logger
  readonly #prng: Prng
  readonly #ledger = new Ledger()
  readonly #observers: Set<CoordinatorObserver>
  #leadership: Leadership | undefined
  #leader: NodeId | undefined
  #draining = false
  #closed = false
  #idleWaiters: (() => void)[] = []
  #guardWaiters: ((lifted: boolean) => void)[] = []
  readonly #operatorRecords = new OperatorRecords()
  #effects: LedgerEffect[] = []

  constructor(parts: CoordinatorParts) {
    this.clusterId = parts.clusterId
    this.#parts = parts
    this.#options = { ...COORDINATOR_DEFAULTS, ...parts.options }
    this.#logger = parts.logger ?? silentLogger
    this.#prng = new Prng(parts.seed)
    this.#observers = new Set(parts.observers)
  }

  /** Starts the log; from then on this coordinator follows it, and leads when the log says so. */
  async start(): Promise<void> {
    await this.#parts.log.start({
      apply: (payload) => this.#apply(payload),
      leading: (term) => this.#lead(term),
      following: (leader) => this.#follow(leader),
      freeze: () => this.#ledger.freeze(),
      restore: () => this.#restore(),
    })
  }

  /**
   * Decides a transaction. With every vote there it is one log entry; otherwise the missing votes are gathered first.
   * Repeating it with the same txid and branches gives the same answer.
   */
  commit(request: CommitRequest, reply: ReplyTo): void {
    const now = this.#refuse(request.clusterId) ?? this.#leadership?.commit(request, reply)
    if (now !== undefined) this.#answer(reply, now)
  }

  /** Decides abort durably, unless the transaction is decided already: the answer tells. */
  abort(request: AbortRequest, reply: ReplyTo): void {
    const now = this.#refuse(request.clusterId) ?? this.#leadership?.abort(request, reply)
    if (now !== undefined) this.#answer(reply, now)
  }

  /** What became of a transaction? See InquireRequest.settle for what happens to an unknown one. */
  inquire(request: InquireRequest, reply: ReplyTo): void {
    const now = this.#refuse(request.clusterId) ?? this.#leadership?.inquire(request, reply)
    if (now !== undefined) this.#answer(reply, now)
  }

  /**
   * These branches carried out the decision. Ignored unless this coordinator leads: the sender repeats it.
   *
   * @param from the participant that says so; of a named one only its own branches count
   */
  ack(txid: Txid, branches: readonly BranchId[], from?: string): void {
    this.#leadership?.ack(txid, branches, from)
  }

  /**
   * A participant's vote. Ignored unless this coordinator leads: the next leader asks again.
   *
   * @param from the participant that says so; of a named one only the vote for its own branch counts
   */
  vote(txid: Txid, branch: BranchId, vote: Vote, evidence: string | undefined, from?: string): void {
    this.#leadership?.vote(txid, branch, vote, evidence, from)
  }

  /**
   * This participant is gone and will never return under its name, so nobody waits for its votes; what it left prepared is
   * looked for.
   */
  participantGone(name: string): void {
    this.#leadership?.participantGone(name)
    this.clientGone()
  }

  /** A hint: an application's connection closed, so it may have left prepared branches behind. */
  clientGone(): void {
    for (const observer of this.#observers) observer.clientGone?.()
  }

  /** Adds an observer; call the result to take it away. */
  observe(observer: CoordinatorObserver): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  get isLeading(): boolean {
    return this.#leadership !== undefined
  }

  /** What this node has applied. Outcomes are final; `preparing` and `unknown` may be out of date, so ask with `inquire`. */
  knowledge(txid: Txid): Knowledge {
    return this.#ledger.knowledge(txid)
  }

  /** Decided transactions of which branches have not acknowledged, the oldest first; empty unless this coordinator leads. */
  undelivered(): Iterable<Undelivered> {
    return this.#leadership?.delivery.list() ?? []
  }

  /**
   * Records that a branch ended otherwise than decided (or nobody can tell), and counts it as acknowledged: nothing more
   * can be done for it. It stays visible until an operator has seen it.
   */
  heuristic(txid: Txid, branch: BranchId, found: 'committed' | 'aborted' | 'none'): void {
    const leadership = this.#leadership
    if (leadership === undefined) return
    this.#logger.error({ txid, branch, found }, 'a branch did not end as decided')
    // In this order: `completed` must not stand in the log without the finding.
    leadership.propose({ kind: 'heuristic', txid, branch, found } satisfies LedgerCommand)
    leadership.ack(txid, [branch])
  }

  /**
   * Milliseconds since 1970 before which no transaction can need evidence from a database any more: everything older
   * than the watermark, unless something older is still open, or guarded.
   */
  evidenceBoundMs(): number {
    const { watermarkMs, guard } = this.#ledger
    const oldestMs = this.#leadership?.oldestTxidMs() ?? Number.POSITIVE_INFINITY
    return Math.min(watermarkMs, oldestMs, guard?.fromMs ?? Number.POSITIVE_INFINITY)
  }

  /** Which txids nobody decides anything about, because a part of the log is lost; undefined nearly always. */
  get guard(): Guard | undefined {
    return this.#ledger.guard
  }

  /**
   * An operator has settled what a lost part of the log left in doubt: unknown transactions are aborted ones again.
   * `done` hears whether it is in force; only a leader can do it.
   */
  liftGuard(reason: string, done: (lifted: boolean) => void): void {
    if (this.#ledger.guard === undefined) return done(true)
    const leadership = this.#leadership
    if (leadership === undefined) return done(false)
    this.#logger.warn({ ...this.#ledger.guard, reason }, 'an operator lifts the guard')
    this.#guardWaiters.push(done)
    leadership.propose({ kind: 'guard', beforeMs: 0, reason })
  }

  /**
   * Writes down what an operator orders, did or has seen. `done` hears true once the record is in the log and applied, and
   * false when this coordinator does not lead, or leads no more: then it may be applied or not. No decision changes.
   */
  record(record: OperatorRecord, done: (recorded: boolean) => void): void {
    const leadership = this.#leadership
    if (leadership === undefined) return done(false)
    this.#logger.warn({ ...record }, 'an operator’s record')
    this.#operatorRecords.await(record, done)
    leadership.propose(record)
  }

  /** What operators did by hand, the oldest first: all that waits to be acknowledged, and the latest of the rest. */
  get settlements(): readonly Settlement[] {
    return this.#ledger.settlements
  }

  /** Those of them that somebody should look at: not carried out, or not as decided. */
  get unacknowledged(): readonly Settlement[] {
    return this.#ledger.unacknowledged
  }

  /** Transactions as operators see them, the open ones first. What this node has applied; a follower lags a little. */
  list(filter: ListFilter): TransactionView[] {
    return this.#ledger.list(filter)
  }

  /** One transaction as operators see it; undefined when it is unknown or forgotten. */
  transaction(txid: Txid): TransactionView | undefined {
    return this.#ledger.transaction(txid)
  }

  status(): CoordinatorStatus {
    const leadership = this.#leadership
    const ledger = this.#ledger
    return {
      clusterId: this.clusterId,
      leading: leadership !== undefined,
      term: leadership?.term,
      leader: this.#leader,
      draining: this.#draining,
      openCount: leadership?.openCount ?? 0,
      queuedCount: leadership?.queuedCount ?? 0,
      preparingCount: ledger.preparingCount,
      undeliveredCount: ledger.decidedCount,
      finishedCount: ledger.finishedCount,
      heuristicCount: ledger.heuristicCount,
      unacknowledgedCount: ledger.unacknowledged.length,
      committedCount: ledger.committedCount,
      abortedCount: ledger.abortedCount,
      watermarkMs: ledger.watermarkMs,
      guard: ledger.guard,
      log: this.#parts.log.status(),
    }
  }

  /** Sixteen hex digits, equal on all coordinators that applied the same records. */
  digest(): string {
    return this.#ledger.digest()
  }

  /** Refuses new transactions from now on and resolves when the last open one has its decision (or the leadership ends). */
  async drain(): Promise<void> {
    this.#draining = true
    const leadership = this.#leadership
    if (leadership === undefined) return
    leadership.draining = true
    if (leadership.openCount === 0) return
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve))
  }

  /** Stops at once: whoever waits is refused (see Refusal). Closes the log. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stepDown(undefined)
    await this.#parts.log.close()
  }

  #refuse(clusterId: ClusterId): Refusal | undefined {
    if (clusterId !== this.clusterId) {
      const message = `the request is for cluster ${clusterId} and this is ${this.clusterId}, so nothing was done; check the client’s coordinators`
      return refusal('WRONG_CLUSTER', undefined, message)
    }
    if (this.#closed) return refusal('SHUTTING_DOWN', this.#leader)
    return this.#leadership === undefined ? refusal('NOT_LEADER', this.#leader) : undefined
  }

  #apply(payload: Uint8Array): void {
    const effects = this.#effects
    for (const command of decodeCommands(payload)) {
      if (isArmed()) this.#hit(command, 'before-apply')
      this.#ledger.apply(command, effects)
      if (effects.length > 0) this.#carryOut(effects)
      if (isArmed()) this.#hit(command, 'applied')
      this.#operatorRecords.applied(command)
    }
    if (this.#guardWaiters.length > 0 && this.#ledger.guard === undefined) this.#tellGuard(true)
    this.#leadership?.applied()
  }

  /** At the leader; what a follower applies has points of its own (`raft.apply`). */
  #hit(command: LedgerCommand, moment: RecordMoment): void {
    if (this.#leadership !== undefined) hitRecord(command, moment)
  }

  /**
   * Whatever a coordinator has beside the ledger belongs to its leadership, which is made anew from the ledger. So the
   * ledger may be replaced under a follower, and only there: a leader's callers wait for effects that a snapshot skips.
   */
  #restore(): StateRestore {
    assert(this.#leadership === undefined, 'a leader has applied everything, so it never begins to restore')
    const restore = this.#ledger.restore()
    return {
      add: (bytes) => restore.add(bytes),
      finish: () => {
        assert(this.#leadership === undefined, 'a node that is being restored does not lead')
        restore.finish()
        const { openCount, finishedCount, watermarkMs } = this.#ledger
        this.#logger.info({ openCount, finishedCount, watermarkMs }, 'the ledger was restored from a snapshot')
      },
    }
  }

  #carryOut(effects: LedgerEffect[]): void {
    // Followers ignore effects; a new leader recomputes them.
    for (const effect of effects) this.#leadership?.carryOut(effect)
    effects.length = 0
  }

  #lead(term: number): void {
    if (this.#closed) return
    this.#stepDown(undefined)
    const { log, clock, participants = noParticipants, schedule = queueMicrotask } = this.#parts
    const leadership = new Leadership({
      term,
      log,
      ledger: this.#ledger,
      clock,
      prng: this.#prng,
      options: this.#options,
      participants,
      schedule,
      answer: (reply, answer) => this.#answer(reply, answer),
      decided: (txid, outcome, durationMs) => this.#tellDecided(txid, outcome, durationMs),
      notLeader: (leader) => this.#follow(leader),
      idle: () => this.#idle(),
    })
    leadership.draining = this.#draining
    this.#leadership = leadership
    this.#leader = log.status().raft.leader
    this.#logger.info({ term }, 'leading: continuing what is open')
    leadership.begin()
    for (const observer of this.#observers) observer.leading?.(term)
  }

  #follow(leader: NodeId | undefined): void {
    this.#leader = leader
    this.#stepDown(leader)
    for (const observer of this.#observers) observer.following?.(leader)
  }

  #stepDown(leader: NodeId | undefined): void {
    const leadership = this.#leadership
    if (leadership === undefined) return
    this.#leadership = undefined
    this.#logger.info({ term: leadership.term, leader }, 'no longer leading')
    leadership.end(leader)
    this.#tellGuard(false)
    this.#operatorRecords.lost()
    this.#idle()
  }

  #tellGuard(lifted: boolean): void {
    const waiters = this.#guardWaiters
    this.#guardWaiters = []
    for (const done of waiters) done(lifted)
  }

  #idle(): void {
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const resolve of waiters) resolve()
  }

  #tellDecided(txid: Txid, outcome: Outcome, durationMs: number | undefined): void {
    for (const observer of this.#observers) observer.decided?.(txid, outcome, durationMs)
  }

  /** A caller's mistake must not keep others from their answers, nor stop the state machine. */
  #answer(reply: ReplyTo, answer: Reply): void {
    if (answer.kind === 'refused') for (const observer of this.#observers) observer.refused?.(answer.code)
    try {
      reply(answer)
    } catch (error) {
      this.#logger.error({ err: error }, 'a caller threw while it took its answer')
    }
  }
}
