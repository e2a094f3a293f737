import { type BranchId, type Clock, type ClusterId, type Txid, toError } from '../base/index.ts'
import type { Evidence, Resource, SettleResult } from '../resources/index.ts'
import { type BranchRecord, type Decision, databaseOf } from '../txn/index.ts'
import type { InDoubtDesk } from './in-doubt-desk.ts'
import type { InDoubtBranch } from './in-doubt-view.ts'
import {
  SettleBusyError,
  SettleNotPreparedError,
  SettleNotRecordedError,
  SettleUnfinishedError,
  SettleUnseenError,
} from './settle-errors.ts'
import { evidenceText, resourceIn } from './settle-evidence.ts'
import { lost, type SettleLog, type SettleLogParts } from './settle-log.ts'
import { assertMeant, type KnownDecision, type Meant } from './settle-rules.ts'
import type { ForceAnswer, SettleAnswer } from './settle-view.ts'
import { within } from './within.ts'

/** An operator's order for one branch. */
export interface Force {
  readonly txid: Txid
  readonly branch: BranchId
  readonly action: Decision
  readonly mean: Meant
  readonly by: string
  readonly reason: string
  /** How long a database, and then the log, may take for an answer. */
  readonly waitMs: number
}

interface BranchForcerParts {
  readonly coordinator: SettleLogParts['coordinator']
  readonly book: SettleLog
  readonly inDoubt: Pick<InDoubtDesk, 'branchesOf'>
  readonly resources: readonly Resource<unknown>[]
  readonly clusterId: ClusterId
  readonly node: number
  readonly clock: Clock
}

/**
 * Ends branches as operators order (DESIGN §11).
 *
 * 1. P2: no decision changes. A branch of an unknown transaction is ended after its abort was decided (P5).
 * 2. The order is in the log before the database hears of it, with who, why and what was known.
 * 3. Against the decision, or without one, nothing is done unless the operator says that just this is meant.
 * 4. "Unknown gid" is never success: how the branch ended is told by evidence, or nobody can tell.
 * 5. One order a branch at a time.
 */
export class BranchForcer {
  readonly #parts: BranchForcerParts
  readonly #underWay = new Set<string>()

  constructor(parts: BranchForcerParts) {
    this.#parts = parts
  }

  /**
   * Ends one branch.
   *
   * @param from where the order came from, as far as the connection tells
   * @throws the errors of settle-errors.ts, NotLeaderError
   */
  async force(force: Force, from: string): Promise<ForceAnswer> {
    const key = `${force.txid}/${force.branch}`
    if (this.#underWay.has(key))
      throw new SettleUnfinishedError(
        'another order for this branch is being carried out; look at it, then repeat this',
      )
    this.#underWay.add(key)
    try {
      return await this.#force(force, from)
    } finally {
      this.#underWay.delete(key)
    }
  }

  async #force(force: Force, from: string): Promise<ForceAnswer> {
    const { txid, branch, action, mean, waitMs } = force
    const { coordinator, inDoubt, clusterId, node, book } = this.#parts
    book.assertLeading()
    const [looked, unasked] = await Promise.all([inDoubt.branchesOf(txid, waitMs), book.assertReleases()])
    // A service ends its branches itself (P4): nobody forces it.
    const branches = looked.branches.filter(({ resource }) => this.#isDatabase(resource))
    const unseen = looked.unseen.filter(({ resource }) => this.#isDatabase(resource))
    const found = branches.find((each) => each.branch === branch)
    assertMeant(book.known(txid), action, mean)
    if (found === undefined) {
      if (unseen.length > 0) throw unseenError(branch, unseen)
      await this.#closeOrder(force)
    } else {
      // P5: nobody can commit it from now on, whatever becomes of the branch.
      if (isPresumed(book.known(txid))) await this.#decideAbort(txid)
      // The decision may have come meanwhile.
      assertMeant(book.known(txid), action, mean)
      await this.#order(force, found, branches, from)
      await this.#carryOut(force, found)
    }
    const settlement = book.lastOf(txid, branch)
    if (settlement === undefined) throw lost()
    return { cluster: clusterId, node, settlement, decision: coordinator.knowledge(txid), unasked }
  }

  #isDatabase(name: string): boolean {
    return this.#parts.resources.some((each) => each.name === name)
  }

  #decideAbort(txid: Txid): Promise<void> {
    const { coordinator, clusterId } = this.#parts
    return new Promise((resolve, reject) => {
      coordinator.inquire({ clusterId, txid, settle: true }, (reply) => {
        if (reply.kind === 'outcome') resolve()
        else reject(new SettleNotRecordedError(`${txid} was not decided (${reply.message}). The branch is as it was.`))
      })
    })
  }

  async #order(force: Force, found: InDoubtBranch, prepared: readonly InDoubtBranch[], from: string): Promise<void> {
    const { coordinator, node, clock, book } = this.#parts
    const { txid, branch, action, mean, by, reason } = force
    const { decision, guarded } = book.known(txid)
    const view = coordinator.transaction(txid)
    const evidence = evidenceText({ node, mean, decision, guarded, view, found, prepared })
    const order = { kind: 'settle', txid, branch, action, evidence } as const
    await book.record({ ...order, by: `${by} (${from})`, reason, atMs: clock.wallMs() })
  }

  async #carryOut({ txid, branch, action, waitMs }: Force, found: InDoubtBranch): Promise<void> {
    const resource = this.#parts.resources.find(({ name }) => name === found.resource)!
    const result = await this.#callDatabase(resource, txid, branch, action, waitMs)
    if (result.kind === 'busy')
      throw new SettleBusyError(
        `the session that prepared branch ${branch} is still connected to ${resource.name}, and only it can end the branch now. End its application, or KILL CONNECTION (concordat in-doubt says which), then repeat this. The order is in the log; the branch is as it was.`,
      )
    if (result.kind === 'done') return await this.#close(txid, branch, action === 'commit' ? 'committed' : 'aborted')
    // Somebody ended it in this moment: its own application, or the resolver.
    await this.#close(txid, branch, await this.#endOf(resource, txid, branch, waitMs))
  }

  async #callDatabase(
    { name, inDoubt }: Resource<unknown>,
    txid: Txid,
    branch: BranchId,
    action: Decision,
    ms: number,
  ): Promise<SettleResult> {
    const { clusterId, clock } = this.#parts
    const identity = { cluster: clusterId, txid, branch }
    try {
      return await within(clock, ms, name, action === 'commit' ? inDoubt.commit(identity) : inDoubt.abort(identity))
    } catch (thrown) {
      throw unfinished(name, thrown)
    }
  }

  async #endOf(resource: Resource<unknown>, txid: Txid, branch: BranchId, ms: number): Promise<Evidence> {
    try {
      return await this.#parts.book.evidenceOf(resource, txid, branch, ms)
    } catch (thrown) {
      throw unfinished(resource.name, thrown)
    }
  }

  /** The branch is not there any more. An earlier order for it may wait for its end, or have it: then this is a repeat. */
  async #closeOrder({ txid, branch, action, waitMs }: Force): Promise<void> {
    const { coordinator, resources, book } = this.#parts
    const known = coordinator.transaction(txid)?.branches.find((each) => each.branch === branch)
    const last = book.lastOf(txid, branch)
    const waits = last !== undefined && last.standing === 'ordered' && !last.acknowledged
    if (!waits) {
      if (last?.action === action) return
      throw notPrepared(txid, branch, known)
    }
    const database = known === undefined ? resourceIn(last.evidence) : databaseOf(known)
    const resource = resources.find(({ name }) => name === database)
    await this.#close(txid, branch, resource === undefined ? 'none' : await this.#endOf(resource, txid, branch, waitMs))
  }

  /** In this order: `completed` must not stand in the log without how the branch ended. */
  async #close(txid: Txid, branch: BranchId, found: 'committed' | 'aborted' | 'none'): Promise<void> {
    await this.#parts.book.record({ kind: 'settled', txid, branch, found })
    this.#parts.coordinator.ack(txid, [branch])
  }
}

/** P5: nobody has heard of it, and no lost part of the log may have its decision. */
function isPresumed({ decision, guarded }: KnownDecision): boolean {
  return decision.kind === 'unknown' && !guarded
}

function unfinished(resource: string, thrown: unknown): SettleUnfinishedError {
  return new SettleUnfinishedError(
    `${resource} did not carry it out, or its answer is lost (${toError(thrown).message}). The order is in the log; repeat it to learn how the branch ended, or to end it.`,
    { cause: thrown },
  )
}

function unseenError(branch: BranchId, unseen: SettleAnswer['unseen']): SettleUnseenError {
  const why = unseen.map(({ resource, error }) => `${resource}: ${error}`).join('; ')
  return new SettleUnseenError(
    `branch ${branch} is prepared in none of the databases that could be looked at, and not all could (${why}). Nothing was done.`,
  )
}

function notPrepared(txid: Txid, branch: BranchId, known: BranchRecord | undefined): SettleNotPreparedError {
  const what =
    known !== undefined && databaseOf(known) === undefined
      ? `branch ${branch} of ${txid} is one of ${known.participant}, which ends it by itself; there is no database to do it in`
      : `branch ${branch} of ${txid} is prepared in none of the configured databases; it has ended, or its database is not configured`
  return new SettleNotPreparedError(`${what}. Nothing was done.`)
}
