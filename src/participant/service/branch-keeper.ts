import {
  type BranchId,
  type BranchTicket,
  type Clock,
  type ClusterId,
  Prng,
  sleep,
  type Txid,
  toError,
} from '../../base/index.ts'
import type { Logger } from '../../client/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import { type BranchEnd, BranchTable, OpenBranch } from './branch-table.ts'
import { BranchOverError, ParticipantBusyError, WrongTicketError } from './errors.ts'
import type { ServiceHandlers } from './handlers.ts'
import { type BranchState, isOver, type Journal, type JournalEntry } from './journal.ts'
import { type BranchKey, branchKey } from './keys.ts'
import type { KeeperOptions } from './options.ts'
import { Turns } from './turns.ts'

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
  readonly #prng: Prng
  readonly #voting: Turns
  readonly #ending: Turns
  readonly #working = new Set<Promise<void>>()
  #isClosing = false

  constructor(parts: KeeperParts) {
    const { options, journal, seed } = parts
    this.#parts = parts
    this.#prng = new Prng(seed)
    this.#voting = new Turns(options.concurrency)
    this.#ending = new Turns(options.concurrency)
    this.table = new BranchTable(options.endedMax)
    for (const entry of journal.found) this.#recover(entry)
  }

  /** A call came for a branch; resolves when that is on disk, so that this instance finds out what became of it. */
  async join(ticket: BranchTicket): Promise<BranchKey> {
    const { clusterId, name, options, journal, clock } = this.#parts
    if (ticket.cluster !== clusterId || ticket.participant !== name) {
      throw new WrongTicketError(
        `the call is for ${ticket.participant} of cluster ${ticket.cluster}, and this is ${name} of ${clusterId}; nothing was done; check where the application sends it`,
      )
    }
    const key = branchKey(clusterId, ticket.txid, ticket.branch)
    this.#refuseOver(key)
    const open = this.table.open(key.gid)
    if (open === undefined) {
      if (this.#isClosing || journal.spaceLow || this.table.openCount >= options.openMax) throw busy(name)
      const branch = new OpenBranch(key, 'joined')
      const nowMs = clock.monotonicMs()
      branch.dueMs = nowMs + ticket.timeoutMs + options.joinedSlackMs
      branch.askMs = nowMs + options.joinedAskMs
      branch.joined = this.#note(key, 'joined')
      this.table.add(branch)
    }
    await this.table.open(key.gid)?.joined
    // While it was written down, its transaction may have ended.
    this.#refuseOver(key)
    return key
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
    if (open.phase !== 'joined') return
    open.phase = 'preparing'
    this.#track(this.#voting.run(() => this.#vote(open)))
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
    // Otherwise it is done when `prepare` has come to its end.
    if (open.phase !== 'preparing') this.#finish(open, decision)
  }

  /** Takes nothing new, and waits for the handlers that are at work. */
  async close(): Promise<void> {
    this.#isClosing = true
    const { clock, options } = this.#parts
    await Promise.race([this.#idle(), sleep(clock, options.closeMs)])
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
    const vote = await this.#askHandler(open)
    // Decided without this vote: nothing is promised any more.
    if (open.decision !== undefined) return this.#finish(open, open.decision)
    await this.#note(open.key, STATE_OF[vote])
    open.vote = vote
    open.phase = 'voted'
    open.askMs = clock.monotonicMs() + options.askMs
    open.asks = 0
    open.reply?.(vote)
    open.reply = undefined
    if (vote === 'readOnly') this.table.end(open.key.gid, 'readOnly')
    else if (open.decision !== undefined) this.#finish(open, open.decision)
  }

  async #askHandler({ key }: OpenBranch): Promise<Vote> {
    const { handlers, logger } = this.#parts
    try {
      const answer: unknown = await handlers.prepare(key)
      if (answer === undefined) return 'commit'
      if (answer === 'readOnly') return 'readOnly'
      // A promise must not be made by mistake: `return false` is no vote to commit.
      logger.error({ gid: key.gid, answer }, 'prepare may return nothing or "readOnly"; the branch votes abort')
    } catch (thrown) {
      logger.info({ gid: key.gid, err: toError(thrown) }, 'prepare failed; the branch votes abort')
    }
    return 'abort'
  }

  #finish(open: OpenBranch, decision: Decision): void {
    open.phase = 'ending'
    this.#track(this.#carryOut(open, decision))
  }

  async #carryOut({ key }: OpenBranch, decision: Decision): Promise<void> {
    for (let attempt = 0; !(await this.#ending.run(() => this.#tryOutcome(key, decision))); attempt++) {
      await sleep(this.#parts.clock, this.#retryMs(attempt))
      // It is open in the journal: after the next start the coordinators are asked and it goes on.
      if (this.#isClosing) return
    }
    const end = decision === 'commit' ? 'committed' : 'aborted'
    await this.#note(key, end)
    this.table.end(key.gid, end)
    this.#parts.ack(key.txid, [key.branch])
  }

  async #tryOutcome(key: BranchKey, decision: Decision): Promise<boolean> {
    const { handlers, logger } = this.#parts
    try {
      await handlers[decision](key)
      return true
    } catch (thrown) {
      logger.warn({ gid: key.gid, decision, err: toError(thrown) }, 'a decision could not be carried out yet')
      return false
    }
  }

  #retryMs(attempt: number): number {
    const { retryMinMs, retryMaxMs } = this.#parts.options
    const fullMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(attempt, 16))
    return fullMs / 2 + this.#prng.below(Math.ceil(fullMs / 2) + 1)
  }

  #refuseOver(key: BranchKey): void {
    const open = this.table.open(key.gid)
    const isOpen = open === undefined ? this.table.endOf(key.gid) === undefined : open.phase === 'joined'
    if (isOpen) return
    throw new BranchOverError(
      `branch ${key.branch} of transaction ${key.txid} takes no more work: its transaction is ending or over; answer the caller with an error`,
    )
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

function busy(name: string): ParticipantBusyError {
  return new ParticipantBusyError(
    `this instance of ${name} takes no new branches now: too many are open, its disk is nearly full, or it is closing; nothing was done; let another instance answer, or try again`,
  )
}
