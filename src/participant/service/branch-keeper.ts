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
import { BranchOverError, ParticipantBusyError, WrongTicketError } from './errors.ts'
import { HandlerCalls } from './handler-calls.ts'
import type { ServiceHandlers } from './handlers.ts'
import { type BranchState, isOver, type Journal, type JournalEntry } from './journal.ts'
import { type BranchKey, branchKey } from './keys.ts'
import type { KeeperOptions } from './options.ts'

/** What a keeper needs. */
export interface KeeperParts {
  readonly name: string
  readonly clusterId: ClusterId
  readonly handlers: ServiceHandlers
  readonly journal: Journal
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
  readonly #working = new Set<Promise<void>>()
  #isClosing = false

  constructor(parts: KeeperParts) {
    const { options, journal } = parts
    this.#parts = parts
    this.#calls = new HandlerCalls(parts)
    this.table = new BranchTable(options.endedMax)
    for (const entry of journal.found) this.#recover(entry)
    hit('service.start.journal-read')
  }

  /**
   * Does the work of a call for a branch, once it is on disk that this instance holds it: then it finds out what became of
   * it. PREPARE and decisions wait until the work has come to its end; otherwise what it sets aside would be left behind.
   */
  async work<T>(ticket: BranchTicket, work: (key: BranchKey) => Promise<T> | T): Promise<T> {
    const open = this.#join(ticket)
    open.working += 1
    try {
      await open.joined
      hit('service.joined.durable', open.key.txid)
      if (open.decision !== undefined) throw over(open.key)
      return await work(open.key)
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
    if (!isNoted) await this.#note(open.key, 'refused').catch(() => undefined)
  }

  /** PREPARE. Says nothing when another instance holds the branch: `reply` is called by the one that does. */
  prepare(txid: Txid, branch: BranchId, reply: (vote: Vote) => void): void {
    const { gid } = branchKey(this.#parts.clusterId, txid, branch)
    const end = this.table.endOf(gid)
    if (end !== undefined) return reply(VOTE_OF[end])
    const open = this.table.open(gid)
    if (open === undefined || this.#isClosing) return
    if (open.vote !== undefined) return reply(open.vote)
    open.reply = reply
    this.#goOn(open)
  }

  /** GLOBAL-COMMIT or GLOBAL-ABORT, told or asked for. */
  decide(txid: Txid, branch: BranchId, decision: Decision): void {
    const key = branchKey(this.#parts.clusterId, txid, branch)
    const end = this.table.endOf(key.gid)
    if (end !== undefined) return this.#repeat(key, end, decision)
    if (this.#isClosing) return
    const open = this.table.open(key.gid) ?? this.#adopt(key)
    if (open === undefined || open.decision !== undefined) return
    open.decision = decision
    this.#goOn(open)
  }

  /** Takes nothing new, and waits for the handlers that are at work. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#calls.stop()
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
    const branch = new OpenBranch(key, 'joined')
    const nowMs = clock.monotonicMs()
    branch.dueMs = nowMs + ticket.timeoutMs + options.joinedSlackMs
    branch.askMs = nowMs + options.joinedAskMs
    hit('service.joined.before-write', key.txid)
    branch.joined = this.#note(key, 'joined')
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

  #recover({ txid, branch, state }: JournalEntry): void {
    const { clusterId, clock, options } = this.#parts
    const key = branchKey(clusterId, txid, branch)
    if (isOver(state)) return this.table.end(key.gid, state as BranchEnd)
    const open = new OpenBranch(key, state === 'joined' ? 'joined' : 'voted')
    if (state === 'prepared') open.vote = 'commit'
    if (state === 'refused') open.vote = 'abort'
    const nowMs = clock.monotonicMs()
    open.dueMs = nowMs + options.joinedTimeoutMs + options.joinedSlackMs
    // In doubt since before the crash: asked at once.
    open.askMs = nowMs
    this.table.add(open)
  }

  /** A branch that another instance held: it is gone, or it does not answer. */
  #adopt(key: BranchKey): OpenBranch | undefined {
    // The coordinators tell it again.
    if (this.table.openCount >= this.#parts.options.openMax) return undefined
    const open = new OpenBranch(key, 'ending')
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
    hit('service.prepare.before-call', txid)
    const vote = open.isSpoilt ? 'abort' : await this.#calls.prepare(open.key)
    hit('service.prepare.called', txid)
    // Decided without this vote: nothing is promised any more.
    if (open.decision === undefined) {
      await this.#note(open.key, STATE_OF[vote])
      hit('service.vote.durable', txid)
      open.vote = vote
      open.askMs = clock.monotonicMs() + options.askMs
      open.asks = 0
      open.reply?.(vote)
      open.reply = undefined
      hit('service.vote.sent', txid)
    }
    open.phase = 'voted'
    if (open.vote === 'readOnly') this.table.end(open.key.gid, 'readOnly')
    else this.#goOn(open)
  }

  async #carryOut({ key }: OpenBranch, decision: Decision): Promise<void> {
    hit('service.outcome.before-call', key.txid)
    // Otherwise it stays open in the journal: after the next start the coordinators are asked, and it goes on.
    if (!(await this.#calls.outcome(key, decision))) return
    hit('service.outcome.called', key.txid)
    const end = decision === 'commit' ? 'committed' : 'aborted'
    await this.#note(key, end)
    hit('service.ended.durable', key.txid)
    this.table.end(key.gid, end)
    this.#parts.ack(key.txid, [key.branch])
    hit('service.ack.sent', key.txid)
  }

  #note({ txid, branch }: BranchKey, state: BranchState): Promise<void> {
    return this.#parts.journal.note({ txid, branch, state })
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

const VOTE_OF = { readOnly: 'readOnly', committed: 'commit', aborted: 'abort' } as const satisfies Record<
  BranchEnd,
  Vote
>
const STATE_OF = { readOnly: 'readOnly', commit: 'prepared', abort: 'refused' } as const satisfies Record<
  Vote,
  BranchState
>

function wrongTicket({ participant, cluster }: BranchTicket, name: string, clusterId: ClusterId): WrongTicketError {
  return new WrongTicketError(
    `the call is for ${participant} of cluster ${cluster}, and this is ${name} of ${clusterId}; nothing was done; check where the application sends it`,
  )
}

function over({ txid, branch }: BranchKey): BranchOverError {
  return new BranchOverError(
    `branch ${branch} of transaction ${txid} takes no more work: its transaction is ending or over; answer the caller with an error`,
  )
}

function busy(name: string): ParticipantBusyError {
  return new ParticipantBusyError(
    `this instance of ${name} takes no new branches now: too many are open, its disk is nearly full, or it is closing; nothing was done; let another instance answer, or try again`,
  )
}
