import { type BranchId, type Clock, hit, sleep, type Txid, toError } from '../../base/index.ts'
import type { Logger } from '../../client/index.ts'
import { type KvDesk, type KvParticipant, type KvSettled, refusalOfVote } from '../../kv/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import type { AskedBranch } from '../service/inquirer.ts'
import type { KeeperOptions } from '../service/options.ts'

/** What a keeper needs. */
export interface KvKeeperParts {
  readonly kv: KvParticipant
  readonly desk: KvDesk
  /** Tells the coordinators that a decision was carried out. */
  readonly ack: (txid: Txid, branches: readonly BranchId[]) => void
  readonly clock: Clock
  readonly logger: Logger
  readonly options: KeeperOptions
}

/**
 * What the coordinators ask of a key-value participant: votes, and decisions. Its log is its journal, so nothing is written
 * down here.
 *
 * Unlike a service's instance it is the only one of its name. So it need not keep silent about a branch that it does not
 * know: it votes abort at once, and a transaction that was at work here before a restart does not wait for its deadline.
 */
export class KvKeeper {
  /** Branches in doubt: what is asked about when no decision comes. */
  readonly table: { all(): Iterable<AskedBranch> }
  readonly #parts: KvKeeperParts
  readonly #inDoubt = new Map<Txid, AskedBranch>()
  readonly #working = new Set<Promise<void>>()
  #isClosing = false

  constructor(parts: KvKeeperParts) {
    this.#parts = parts
    this.table = { all: () => this.#inDoubt.values() }
    // In doubt since before the start: asked about at once.
    for (const { txid, branch } of parts.kv.inDoubt()) this.#doubt(txid, branch, 0)
  }

  /** Branches that wait for a decision. */
  get inDoubtCount(): number {
    return this.#inDoubt.size
  }

  /** PREPARE. `reply` is called when the vote is on disk. */
  prepare(txid: Txid, branch: BranchId, reply: (vote: Vote) => void): void {
    if (!this.#isClosing) this.#track(this.#vote(txid, branch, reply))
  }

  /** GLOBAL-COMMIT or GLOBAL-ABORT, told or asked for. */
  decide(txid: Txid, branch: BranchId, decision: Decision): void {
    if (!this.#isClosing) this.#track(this.#carryOut(txid, branch, decision))
  }

  /** Takes no more orders, and waits for what is under way. */
  async close(): Promise<void> {
    this.#isClosing = true
    const idle = async (): Promise<void> => {
      while (this.#working.size > 0) await Promise.all(this.#working)
    }
    await Promise.race([idle(), sleep(this.#parts.clock, this.#parts.options.closeMs)])
  }

  async #vote(txid: Txid, branch: BranchId, reply: (vote: Vote) => void): Promise<void> {
    const { kv, desk, options, logger } = this.#parts
    const held = desk.open(txid)?.branchId ?? this.#inDoubt.get(txid)?.key.branch
    if (held !== undefined && held !== branch) {
      logger.error({ txid, branch, held }, 'PREPARE for a branch that is not here; a transaction has one branch here')
      return reply('abort')
    }
    desk.refuseUnawaited(txid)
    const vote = await kv.prepare(txid)
    desk.over(txid)
    if (vote.kind === 'abort') {
      desk.note(txid, refusalOfVote(vote))
      logger.info({ txid, branch, reason: vote.reason }, 'a branch voted abort')
    }
    if (vote.kind === 'commit' && kv.evidence(txid) === 'none') this.#doubt(txid, branch, options.askMs)
    hit('kv.vote.before-send', txid)
    reply(vote.kind)
    hit('kv.vote.sent', txid)
  }

  async #carryOut(txid: Txid, branch: BranchId, decision: Decision): Promise<void> {
    const { kv, desk, ack, logger } = this.#parts
    if (decision === 'abort') desk.abort(txid, 'its transaction was aborted')
    const settled = await (decision === 'commit' ? kv.commit(txid) : kv.abort(txid))
    if (isEnd(settled)) {
      desk.over(txid)
      this.#inDoubt.delete(txid)
      hit('kv.ack.before-send', txid)
      ack(txid, [branch])
      return hit('kv.ack.sent', txid)
    }
    // One that was never asked for its vote is still at work, and nobody else would end it.
    desk.abort(txid, 'its transaction was decided without its vote')
    logger.error(
      { txid, branch, decision, known: settled.known },
      'a decision contradicts what is known here; it was not carried out',
    )
  }

  #doubt(txid: Txid, branch: BranchId, askMs: number): void {
    if (this.#inDoubt.has(txid)) return
    const nowMs = this.#parts.clock.monotonicMs()
    this.#inDoubt.set(txid, { key: { txid, branch }, phase: 'voted', askMs: nowMs + askMs, dueMs: nowMs, asks: 0 })
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((thrown: unknown) => {
        // Log or data failed, which their owner hears by itself, or this is the end.
        this.#parts.logger.error({ err: toError(thrown) }, 'an order of the coordinators could not be carried out')
      })
      .then(() => {
        this.#working.delete(tracked)
      })
    this.#working.add(tracked)
  }
}

/** Forgotten: a branch in doubt never is, so it has ended, and as the coordinators decided. */
function isEnd(settled: KvSettled): settled is Extract<KvSettled, { kind: 'done' }> {
  return settled.kind === 'done' || settled.known === 'forgotten'
}
