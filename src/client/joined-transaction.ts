import {
  type BranchId,
  type CallReport,
  type CallTicket,
  formatCallReport,
  type ReportedBranch,
  type Txid,
  toError,
} from '../base/index.ts'
import { calledWithin } from '../resources/index.ts'
import type { Decision, Vote } from '../txn/index.ts'
import { ActiveTransaction } from './active-transaction.ts'
import { Ambient } from './ambient.ts'
import { prepare } from './committer.ts'
import type { Deadline } from './deadlines.ts'
import type { Enlistment } from './enlistment.ts'
import type { JoinedResource, JoinedWork } from './joined-work.ts'
import type { Settlement } from './settler.ts'
import type { Transaction } from './transaction.ts'

/** What one share needs. */
export interface JoinedParts {
  readonly ticket: CallTicket
  readonly work: JoinedWork
  /** By the database's name; undefined: this process can't join there. */
  readonly resource: (name: string) => JoinedResource | undefined
  /** How long after the transaction's time its vote may still be asked for, milliseconds. */
  readonly slackMs: number
}

/** So long a branch whose decision is known is kept here, though its database did not let it be finished. */
const KEEP_MS = 60_000

/**
 * One call's share of somebody else's transaction: `working` while its handler runs, then `joined` (reported, waiting for
 * PREPARE and the decision) or `failed`.
 *
 * Invariants:
 * 1. A branch is prepared only when a coordinator asks for its vote, and it asks only for what the commit request names.
 *    So a call whose report got lost, or that a proxy made twice, is never prepared, and can't commit.
 * 2. What is not prepared is rolled back when the handler fails, when the transaction was decided without it, and when its
 *    time is over: without a vote nothing was promised (P4).
 */
export class JoinedTransaction implements Deadline {
  readonly tx: Transaction
  readonly ticket: CallTicket
  /** When a branch that is not prepared is given up; monotonic. */
  readonly dueMs: number
  readonly #tx: ActiveTransaction
  readonly #ambient: Ambient
  readonly #parts: JoinedParts
  readonly #votes = new Map<BranchId, Promise<Vote>>()
  readonly #decisions = new Map<BranchId, Decision>()
  #decidedMs = Number.POSITIVE_INFINITY
  #phase: 'working' | 'joined' | 'failed' = 'working'

  constructor(parts: JoinedParts) {
    const { ticket, work, slackMs } = parts
    const { clock, deadlines } = work
    this.#parts = parts
    this.ticket = ticket
    this.#tx = new ActiveTransaction({
      txid: ticket.txid,
      timeoutMs: Math.max(1, ticket.timeoutMs),
      signal: undefined,
      clock,
      deadlines,
      clusterId: () => ticket.cluster,
      numbers: ticket.numbers,
    })
    this.tx = this.#tx
    this.#ambient = new Ambient(this.#tx)
    this.dueMs = this.#tx.dueMs + slackMs
    deadlines.add(this)
  }

  get txid(): Txid {
    return this.ticket.txid
  }

  get phase(): 'working' | 'joined' | 'failed' {
    return this.#phase
  }

  /** Its branches in databases of this process. */
  get branches(): readonly Enlistment[] {
    return this.#tx.enlistments
  }

  /** Whether nothing is left to do for it here. What its databases do not let it finish is the coordinators' resolver's. */
  isSpent(nowMs: number): boolean {
    if (this.#phase === 'working') return false
    return nowMs - this.#decidedMs > KEEP_MS || this.branches.every(({ phase }) => phase === 'ended')
  }

  /** Calls the handler, or what leads to it: plain calls of databases in it run in the transaction, as in `transaction()`. */
  call<T>(handler: () => T): T {
    return calledWithin(this.#ambient, handler)
  }

  /**
   * The handler has ended: from now on no branch joins. What it did counts when it succeeded, awaited everything, and every
   * call of its own was reported; else it is rolled back.
   *
   * @returns the report for the answer
   */
  seal(succeeded: boolean): string {
    if (this.#phase === 'working') {
      const objection = succeeded ? this.#objection() : undefined
      this.#ambient.close()
      this.#tx.end()
      this.#tx.dispose()
      this.#phase = succeeded && objection === undefined ? 'joined' : 'failed'
      const { txid, work } = { txid: this.txid, work: this.#parts.work }
      if (objection !== undefined) work.logger.warn({ txid, err: objection }, 'a joined call can not take part')
      if (this.#phase === 'failed') this.#rollBack()
    }
    return formatCallReport(this.#report())
  }

  /** A coordinator asks for the vote of one of its branches; a repeat gets the same. */
  vote(branch: BranchId): Promise<Vote> {
    const known = this.#votes.get(branch)
    if (known !== undefined) return known
    const enlistment = this.#find(branch)
    const isWhole = this.#phase === 'joined' && enlistment?.phase === 'open'
    const vote = isWhole ? this.#prepare(enlistment) : Promise.resolve('abort' as const)
    this.#votes.set(branch, vote)
    return vote
  }

  /** What PREPARE returned to tell the outcome later. */
  evidence(branch: BranchId): string | undefined {
    return this.#find(branch)?.evidence
  }

  /** Whether the coordinators are to be asked about a branch: it waits for PREPARE, or for the decision after its vote. */
  waitsFor(branch: BranchId): 'joined' | 'voted' | undefined {
    const phase = this.#phase === 'joined' && !this.#decisions.has(branch) ? this.#find(branch)?.phase : undefined
    if (phase === 'open') return 'joined'
    return phase === 'prepared' || phase === 'unknown' ? 'voted' : undefined
  }

  /** Carries out what was decided about a branch, and acknowledges it. What can't be done now goes on in the background. */
  async decide(branch: BranchId, decision: Decision): Promise<void> {
    const enlistment = this.#find(branch)
    if (enlistment === undefined || this.#phase === 'working') return
    await this.#votes.get(branch)
    if (enlistment.phase === 'open') this.giveUp(`the transaction was decided (${decision}) without its vote`)
    const resource = this.#parts.resource(enlistment.resource.name)
    if (enlistment.phase !== 'ended') {
      this.#decisions.set(branch, decision)
      this.#decidedMs = this.#parts.work.clock.monotonicMs()
      // It acknowledges what it finished.
      await resource?.settler.finish(this.#settlement(enlistment), decision)
    } else if (decision === 'abort' || this.#decisions.get(branch) === 'commit') {
      // Told again. A commit of what ended without a vote is of what nobody promised, and not acknowledged.
      resource?.ack(this.txid, [branch])
    }
  }

  /** Its time, and some more, is over. Called once; see `dueMs`. */
  expire(): void {
    if (this.#phase === 'working') this.seal(false)
    else this.giveUp('its time is over')
  }

  /** Rolls back what is not prepared: the transaction was decided without it, or nobody will ask any more. */
  giveUp(why: string): void {
    const unasked = this.#tx.enlistments.filter(({ phase }) => phase === 'open')
    if (unasked.length === 0) return
    const { logger } = this.#parts.work
    logger.warn(
      { txid: this.txid, branches: unasked.map(({ branchId }) => branchId), why },
      'a joined call was not asked for its vote and is rolled back',
    )
    this.#rollBack()
  }

  /** The process goes: prepared branches are left to the coordinators' resolver. */
  leave(): void {
    if (this.#phase === 'working') {
      this.#tx.closed()
      this.seal(false)
    }
    this.giveUp('this process closes')
    for (const enlistment of this.branches)
      this.#parts.resource(enlistment.resource.name)?.settler.handOver([enlistment])
  }

  #objection(): Error | undefined {
    const { doom, calls, enlistments, stores } = this.#tx
    if (doom !== undefined) return doom
    if (this.#ambient.unawaited !== undefined) return notAwaited(this.#ambient.unawaited)
    for (const { resource, branch } of enlistments) {
      if (this.#parts.resource(resource.name) === undefined) {
        return new Error(`"${resource.name}" is not among the resources that were given to joining()`)
      }
      if (branch === undefined || branch.isBusy === true) return notAwaited(resource.name)
      if (branch.poisonedBy !== undefined) return branch.poisonedBy
    }
    for (const { name, branch } of stores) {
      if (branch === undefined || branch.isBusy) return notAwaited(name)
      if (branch.poisonedBy !== undefined) return branch.poisonedBy
      branch.end('has ended')
    }
    return calls?.unreported()
  }

  #report(): CallReport {
    const { txid, ticket } = this
    const { enlistments, services, stores } = this.#tx
    const elsewhere = services.filter((record) => stores.every((store) => store.record !== record)).map(reported)
    if (this.#phase === 'failed') return { txid, call: ticket.call, state: 'failed', branches: elsewhere }
    const own = enlistments.map(({ branchId, resource }) => ({
      branch: branchId,
      kind: 'service' as const,
      participant: this.#parts.resource(resource.name)?.participant ?? '',
    }))
    return { txid, call: ticket.call, state: 'joined', branches: [...own, ...services.map(reported)] }
  }

  async #prepare(enlistment: Enlistment): Promise<Vote> {
    const branch = await enlistment.opening
    if (branch.isBusy === true) {
      this.#rollBack()
      return 'abort'
    }
    const result = await prepare(enlistment)
    const { name } = enlistment.resource
    if (result.kind === 'abort' || result.kind === 'unknown') {
      this.#parts.work.logger.warn(
        { txid: this.txid, resource: name, err: result.cause },
        'a joined branch can not commit',
      )
    }
    return result.kind === 'unknown' ? 'abort' : result.kind
  }

  /** Whatever is not prepared. */
  #rollBack(): void {
    const open = this.#tx.enlistments.filter(({ phase }) => phase === 'open')
    for (const enlistment of open) enlistment.phase = 'ended'
    const ends = open.map(async ({ opening, resource }) => {
      const branch = await opening.catch(() => undefined)
      // When its session is lost, its database rolls it back by itself.
      await branch?.abort().catch((thrown: unknown) => {
        this.#parts.work.logger.debug(
          { resource: resource.name, err: toError(thrown) },
          'rollback failed with its session',
        )
      })
    })
    // Key-value participants that are reported are told by the coordinators; others only from here.
    if (this.#phase === 'failed') ends.push(...this.#tx.stores.map(async (store) => void (await store.drop())))
    const { background } = this.#parts.work
    background.track(Promise.all(ends))
  }

  #settlement(enlistment: Enlistment): Settlement {
    const { cluster: clusterId, txid } = this.ticket
    return { clusterId, txid, enlistments: [enlistment], services: [], stores: [], mayBeJoined: false }
  }

  #find(branch: BranchId): Enlistment | undefined {
    return this.#tx.enlistments.find(({ branchId }) => branchId === branch)
  }
}

function reported({
  branch,
  kind,
  participant,
}: {
  branch: BranchId
  kind: string
  participant: string
}): ReportedBranch {
  return { branch, kind: kind === 'kv' ? 'kv' : 'service', participant }
}

function notAwaited(name: string): Error {
  return new Error(`a statement was still running in "${name}" when the answer was sent; await every statement`)
}
