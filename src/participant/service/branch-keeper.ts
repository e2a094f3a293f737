import {
  type BranchId,
  type BranchTicket,
  type Clock,
  type ClusterId,
  hit,
  sleep,
  type Txid,
  toError,
} from '../../base/index.ts'
import type { Logger } from '../../client/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import { type BranchEnd, BranchTable, OpenBranch } from './branch-table.ts'
import { HandlerCalls } from './handler-calls.ts'
import type { ServiceHandlers } from './handlers.ts'
import { type Journal, type Lease, VOTE_OF } from './journal.ts'
import { type BranchKey, branchKey } from './keys.ts'
import type { KeeperOptions } from './options.ts'
import { busy, over, wrongTicket } from './refusals.ts'
import { SharedBranches } from './shared-branches.ts'

/** What a keeper needs. */
export interface KeeperParts {
  readonly name: string
  readonly clusterId: ClusterId
  readonly handlers: ServiceHandlers<unknown>
  readonly journal: Journal<unknown>
  /**
   * With a shared journal any instance can vote for a branch. Where PREPARE goes to all of them, it is left to the one that
   * did the work unless it comes again (false); where it goes to one, that one votes at once (true).
   */
  readonly isAskedAlone: boolean
  /** Tells the coordinators that a decision was carried out. */
  readonly ack: (txid: Txid, branches: readonly BranchId[]) => void
  readonly clock: Clock
  readonly seed: number
  readonly logger: Logger
  readonly options: KeeperOptions
}

/**
 * What one instance does with its branches: joins them, votes, and carries decisions out.
 *
 * 1. P4: a vote is sent only after it is on disk, and never changes.
 * 2. `commit` and `abort` are called only for what the coordinators decided, never by this instance's own judgement: another
 *    instance may have voted for the same branch (decision 0020).
 * 3. No two handlers work on one branch of this instance at a time.
 */
export class BranchKeeper {
  readonly table: BranchTable
  readonly #parts: KeeperParts
  readonly #calls: HandlerCalls
  readonly #shared: SharedBranches
  readonly #working = new Set<Promise<void>>()
  /** Branches of others whose vote was asked for once. */
  readonly #askedOnce = new Set<string>()
  #isClosing = false

  constructor(parts: KeeperParts) {
    this.#parts = parts
    this.#calls = new HandlerCalls(parts)
    this.table = new BranchTable(parts.options.endedMax)
    this.#shared = new SharedBranches({ ...parts, table: this.table })
    hit('service.start.journal-read')
  }

  /** Whether this instance can say something about the branch when it is asked for its vote. */
  mayVote(gid: string): boolean {
    const isHere = this.table.open(gid) !== undefined || this.table.endOf(gid) !== undefined
    return isHere || (this.#parts.journal.isShared && this.#parts.isAskedAlone)
  }

  /**
   * Does the work of a call for a branch, once it is on disk that this instance holds it: then it finds out what became of
   * it. PREPARE and decisions wait until the work has come to its end; otherwise what it sets aside would be left behind.
   */
  async work<T>(ticket: BranchTicket, work: (key: BranchKey, sql: unknown) => Promise<T> | T): Promise<T> {
    const { journal, options } = this.#parts
    const open = this.#join(ticket)
    const lease: Lease = { workMs: ticket.timeoutMs, dueInMs: ticket.timeoutMs + options.joinedSlackMs }
    open.working += 1
    try {
      await open.joined
      hit('service.joined.durable', open.key.txid)
      if (open.decision !== undefined) throw over(open.key)
      return await journal.work(open.key, lease, (sql) => work(open.key, sql))
    } catch (thrown) {
      await this.#spoil(open)
      throw thrown
    } finally {
      open.working -= 1
      this.#goOn(open)
    }
  }

  /** It can only abort, also after a restart: this is on disk before the caller hears of the error, and may go on in spite of it. */
  async #spoil(open: OpenBranch): Promise<void> {
    const isNoted = open.isSpoilt || open.decision !== undefined
    open.isSpoilt = true
    // A journal that fails is told to its owner, and the process ends.
    if (!isNoted) await this.#parts.journal.refuse?.(open.key).catch(() => undefined)
  }

  /**
   * PREPARE. Says nothing when another instance holds the branch: `reply` is called by the one that does.
   *
   * @param limitMs how long a vote is of use
   */
  prepare(txid: Txid, branch: BranchId, limitMs: number, reply: (vote: Vote) => void): void {
    const key = branchKey(this.#parts.clusterId, txid, branch)
    const end = this.table.endOf(key.gid)
    if (end !== undefined) return reply(VOTE_OF[end])
    if (this.#isClosing) return
    const open = this.table.open(key.gid) ?? this.#vouchFor(key)
    if (open === undefined) return
    if (open.vote !== undefined) return reply(open.vote)
    open.reply = reply
    open.isAsked = true
    open.voteMs = limitMs
    this.#goOn(open)
  }

  /** GLOBAL-COMMIT or GLOBAL-ABORT, told or asked for. See Inquirer for `isForgotten`. */
  decide(txid: Txid, branch: BranchId, decision: Decision, isForgotten = false): void {
    const key = branchKey(this.#parts.clusterId, txid, branch)
    const end = this.table.endOf(key.gid)
    if (end !== undefined) return this.#repeat(key, end, decision)
    if (this.#isClosing) return
    const open = this.table.open(key.gid) ?? this.#adopt(key)
    if (open === undefined || open.decision !== undefined) return
    open.decision = decision
    open.isForgotten = isForgotten
    this.#goOn(open)
  }

  /** Takes nothing new, and waits for the handlers that are at work. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#calls.stop()
    this.#shared.stop()
    const { clock, options } = this.#parts
    await Promise.race([this.#idle(), sleep(clock, options.closeMs)])
  }

  #join(ticket: BranchTicket): OpenBranch {
    const { clusterId, name, options, journal, clock } = this.#parts
    if (ticket.cluster !== clusterId || ticket.participant !== name) throw wrongTicket(ticket, name, clusterId)
    const key = branchKey(clusterId, ticket.txid, ticket.branch)
    const open = this.table.open(key.gid)
    if (open?.takesWork === false || this.table.endOf(key.gid) !== undefined) throw over(key)
    if (open !== undefined) return open
    if (this.#isClosing || journal.spaceLow || this.table.openCount >= options.openMax) throw busy(name)
    const nowMs = clock.monotonicMs()
    const branch = new OpenBranch(key, 'joined', nowMs)
    branch.dueMs = nowMs + ticket.timeoutMs + options.joinedSlackMs
    branch.askMs = nowMs + options.joinedAskMs
    hit('service.joined.before-write', key.txid)
    branch.joined = journal.join(key)
    this.table.add(branch)
    return branch
  }

  /** Does what a branch waits for, unless work or `prepare` is at it: they call this when they have come to their end. */
  #goOn(open: OpenBranch): void {
    if (open.working > 0 || open.phase === 'preparing' || open.isEnding) return
    if (open.decision !== undefined) {
      open.isEnding = true
      open.phase = 'ending'
      this.#track(this.#carryOut(open, open.decision))
    } else if (open.reply !== undefined && open.phase === 'joined') {
      open.phase = 'preparing'
      this.#track(this.#vote(open))
    }
  }

  async #idle(): Promise<void> {
    while (this.#working.size > 0) await Promise.all(this.#working)
  }

  /** A branch in the shared journal that is not in memory here: whether there is a row, and how far it came, is found out. */
  #vouchFor(key: BranchKey): OpenBranch | undefined {
    const { journal, isAskedAlone, options, clock } = this.#parts
    if (!journal.isShared || this.table.openCount >= options.openMax) return undefined
    if (!isAskedAlone && !this.#askedOnce.delete(key.gid)) {
      this.#askedOnce.add(key.gid)
      const [oldest] = this.#askedOnce
      if (this.#askedOnce.size > options.openMax && oldest !== undefined) this.#askedOnce.delete(oldest)
      return undefined
    }
    const nowMs = clock.monotonicMs()
    const open = new OpenBranch(key, 'joined', nowMs)
    open.dueMs = nowMs + options.joinedTimeoutMs + options.joinedSlackMs
    open.askMs = nowMs + options.joinedAskMs
    this.table.add(open)
    return open
  }

  /** A branch that another instance held: it is gone, or it does not answer. */
  #adopt(key: BranchKey): OpenBranch | undefined {
    // The coordinators tell it again.
    if (this.table.openCount >= this.#parts.options.openMax) return undefined
    const open = new OpenBranch(key, 'ending', this.#parts.clock.monotonicMs())
    this.table.add(open)
    return open
  }

  #repeat({ txid, branch, gid }: BranchKey, end: BranchEnd, decision: Decision): void {
    if (VOTE_OF[end] === decision || end === 'readOnly') return this.#parts.ack(txid, [branch])
    this.#parts.logger.error({ gid, end, decision }, 'a decision contradicts an earlier one; it was not carried out')
  }

  async #vote(open: OpenBranch): Promise<void> {
    const { clock, options } = this.#parts
    const { txid } = open.key
    const isWanted = (): boolean => open.decision === undefined
    const asked = open.reply
    hit('service.prepare.before-call', txid)
    const verdict = await this.#calls.vote(open.key, open.voteMs, open.isSpoilt, isWanted)
    if (verdict !== undefined && isWanted()) {
      hit('service.vote.durable', txid)
      open.vote = verdict.vote
      open.askMs = clock.monotonicMs() + options.askMs
      open.asks = 0
      open.reply?.(verdict.vote)
      hit('service.vote.sent', txid)
    }
    // Who asked meanwhile, when there was no vote for the first, is not forgotten.
    if (verdict !== undefined || open.reply === asked) open.reply = undefined
    if (verdict?.end !== undefined) return this.#ended(open, verdict.end)
    // Without a vote nothing is promised: it may be asked for again, and so may the outcome.
    open.phase = verdict === undefined && isWanted() ? 'joined' : 'voted'
    this.#goOn(open)
  }

  async #carryOut(open: OpenBranch, decision: Decision): Promise<void> {
    const { key } = open
    hit('service.outcome.before-call', key.txid)
    const end = await this.#calls.outcome(key, decision)
    // It stays open in the journal: after the next start the coordinators are asked, and it goes on.
    if (end === undefined) return
    if (end === 'lost') {
      this.table.drop(key.gid)
      this.#parts.logger.error({ gid: key.gid }, LOST)
      return
    }
    hit('service.ended.durable', key.txid)
    this.#ended(open, end)
    hit('service.ack.sent', key.txid)
  }

  #ended({ key, decision, isForgotten }: OpenBranch, end: BranchEnd): void {
    this.table.end(key.gid, end)
    if (isForgotten) this.#parts.ack(key.txid, [key.branch])
    else if (decision !== undefined) this.#repeat(key, end, decision)
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((thrown: unknown) => {
        // The journal is closed or has failed, which its owner hears by itself.
        this.#parts.logger.error({ err: toError(thrown) }, 'a branch could not be written down')
      })
      .then(() => {
        this.#working.delete(tracked)
      })
    this.#working.add(tracked)
  }
}

const LOST =
  'a decision to commit came for a branch whose promise is not in the journal, though it can not have been forgotten; ' +
  'nothing was done or acknowledged. Was the journal’s database restored, or failed over to a replica that lacked it?'
