import { z } from 'zod'
import {
  type BranchId,
  type Clock,
  type ClusterId,
  ConcordatError,
  parseBranchId,
  parseTxid,
  type Txid,
  toError,
  txidTimeMs,
} from '../base/index.ts'
import type { Coordinator, OperatorRecord } from '../coordinator/index.ts'
import { type DecisionLog, NotLeaderError } from '../replica/index.ts'
import type { Resource, SettleResult } from '../resources/index.ts'
import type { Decision, Settlement } from '../txn/index.ts'
import { checkedBy } from './config.ts'
import type { InDoubtDesk } from './in-doubt-desk.ts'
import type { InDoubtBranch } from './in-doubt-view.ts'
import {
  NothingToAcknowledgeError,
  SettleBusyError,
  SettleMixedVersionsError,
  SettleNotPreparedError,
  SettleNotRecordedError,
  SettleUnfinishedError,
  SettleUnseenError,
} from './settle-errors.ts'
import { evidenceText, resourceIn } from './settle-evidence.ts'
import { assertMeant, type KnownDecision, standingOf } from './settle-rules.ts'
import type { EndedBranch, ForceAnswer, SettleAnswer, SettlementsAnswer } from './settle-view.ts'
import { within } from './within.ts'

const txid = checkedBy(z.string(), parseTxid)
const branch = checkedBy(z.number(), parseBranchId)
const waitMs = z.int().min(1).max(60_000).default(2_000)
const words = (max: number) => z.string().trim().min(1, 'say it').max(max)
const who = { by: words(200), reason: words(500) }

const showQuestion = z.strictObject({ txid, cluster: z.string().optional(), waitMs })
const forceQuestion = z.strictObject({
  txid,
  branch,
  action: z.enum(['commit', 'abort']),
  /** `againstDecision` and `withoutDecision` say that just this is meant. */
  mean: z.enum(['asDecided', 'againstDecision', 'withoutDecision']).default('asDecided'),
  ...who,
  waitMs,
})
const acknowledgeQuestion = z.strictObject({ txid, ...who, waitMs })

type Force = z.output<typeof forceQuestion>

interface SettleDeskParts {
  readonly coordinator: Pick<
    Coordinator,
    'status' | 'knowledge' | 'transaction' | 'guard' | 'inquire' | 'ack' | 'record' | 'settlements' | 'unacknowledged'
  >
  readonly log: Pick<DecisionLog, 'readBarrier'>
  readonly inDoubt: Pick<InDoubtDesk, 'branchesOf'>
  readonly resources: readonly Resource<unknown>[]
  readonly clusterId: ClusterId
  readonly node: number
  readonly clock: Clock
  /** Whether each other coordinator knows these records; undefined: it does not answer. */
  readonly releases: () => Promise<readonly { readonly address: string; readonly knows: boolean | undefined }[]>
}

/**
 * Ends branches by hand (DESIGN §11): shows what is known, writes the order into the replicated log, carries it out in the
 * database, and writes down how it ended.
 *
 * 1. P2: no decision changes. A branch of an unknown transaction is ended after its abort was decided (P5).
 * 2. The order is in the log before the database hears of it, with who, why and what was known.
 * 3. Against the decision, or without one, nothing is done unless the operator says that just this is meant.
 */
export class SettleDesk {
  readonly #parts: SettleDeskParts

  constructor(parts: SettleDeskParts) {
    this.#parts = parts
  }

  /** Undefined: the method is no such question. @throws z.ZodError for a question that can't be read */
  answer(
    method: string,
    question: unknown,
    from: string,
  ): Promise<SettleAnswer | ForceAnswer | SettlementsAnswer> | undefined {
    switch (method) {
      case 'settle':
        return this.#show(showQuestion.parse(question))
      case 'settle.force':
        return this.#force(forceQuestion.parse(question), from)
      case 'settle.acknowledge':
        return this.#acknowledge(acknowledgeQuestion.parse(question), from)
      case 'settle.list':
        return this.#list()
      default:
        return undefined
    }
  }

  async #list(): Promise<SettlementsAnswer> {
    this.#assertLeading()
    await this.#parts.log.readBarrier()
    return { settlements: this.#parts.coordinator.settlements }
  }

  async #show({ txid, cluster, waitMs }: z.output<typeof showQuestion>): Promise<SettleAnswer> {
    const { coordinator, clusterId, node, inDoubt } = this.#parts
    this.#assertLeading()
    if (cluster !== undefined && cluster !== clusterId) throw new WrongClusterError(cluster, clusterId)
    const { branches, unseen } = await inDoubt.branchesOf(txid, waitMs)
    const transaction = coordinator.transaction(txid) ?? null
    const known = this.#known(txid)
    return {
      cluster: clusterId,
      node,
      txid,
      decision: known.decision,
      guarded: known.guarded,
      transaction,
      prepared: branches,
      ended: await this.#endedOf(txid, branches, waitMs),
      unseen,
      forcing: { commit: standingOf(known, 'commit'), abort: standingOf(known, 'abort') },
      settlements: coordinator.settlements.filter((each) => each.txid === txid),
    }
  }

  async #force(force: Force, from: string): Promise<ForceAnswer> {
    const { txid, branch, action, mean, waitMs } = force
    const { coordinator, inDoubt, clusterId, node } = this.#parts
    this.#assertLeading()
    const [{ branches, unseen }, unasked] = await Promise.all([
      inDoubt.branchesOf(txid, waitMs),
      this.#assertReleases(),
    ])
    const found = branches.find((each) => each.branch === branch)
    assertMeant(this.#known(txid), action, mean)
    if (found === undefined) {
      if (unseen.length > 0) throw unseenError(branch, unseen)
      await this.#closeOrder(force)
    } else {
      // P5: nobody can commit it from now on, whatever becomes of the branch.
      if (coordinator.knowledge(txid).kind === 'unknown' && !this.#isGuarded(txid)) await this.#decideAbort(txid)
      // The decision may have come meanwhile.
      assertMeant(this.#known(txid), action, mean)
      await this.#order(force, found, branches, from)
      await this.#carryOut(force, found)
    }
    const settlement = this.#lastOf(txid, branch)
    if (settlement === undefined) throw lost()
    return { cluster: clusterId, node, settlement, decision: coordinator.knowledge(txid), unasked }
  }

  async #acknowledge(question: z.output<typeof acknowledgeQuestion>, from: string): Promise<SettlementsAnswer> {
    const { txid, by, reason } = question
    const { coordinator, log, clock } = this.#parts
    this.#assertLeading()
    await log.readBarrier()
    const findings = coordinator.transaction(txid)?.heuristics ?? []
    if (findings.length === 0 && !coordinator.unacknowledged.some((each) => each.txid === txid))
      throw new NothingToAcknowledgeError(
        `nothing of ${txid} waits for an acknowledgement: look at concordat in-doubt, or concordat list --state heuristic. Nothing was done.`,
      )
    await this.#assertReleases()
    await this.#record({ kind: 'acknowledged', txid, by: `${by} (${from})`, reason, atMs: clock.wallMs() })
    return { settlements: coordinator.settlements.filter((each) => each.txid === txid) }
  }

  /** A follower can't; it says who leads. */
  #assertLeading(): void {
    const { leading, leader } = this.#parts.coordinator.status()
    if (!leading) throw new NotLeaderError(leader)
  }

  #known(txid: Txid): KnownDecision {
    return { txid, decision: this.#parts.coordinator.knowledge(txid), guarded: this.#isGuarded(txid) }
  }

  #isGuarded(txid: Txid): boolean {
    const { coordinator } = this.#parts
    const { kind } = coordinator.knowledge(txid)
    return (kind === 'unknown' || kind === 'preparing') && txidTimeMs(txid) < (coordinator.guard?.beforeMs ?? 0)
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
    const { coordinator, node, clock } = this.#parts
    const { txid, branch, action, mean, by, reason } = force
    const decision = coordinator.knowledge(txid)
    const view = coordinator.transaction(txid)
    const evidence = evidenceText({ node, mean, decision, view, found, prepared, guarded: this.#isGuarded(txid) })
    const order = { kind: 'settle', txid, branch, action, evidence } as const
    await this.#record({ ...order, by: `${by} (${from})`, reason, atMs: clock.wallMs() })
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
    await this.#close(txid, branch, await this.#evidenceOf(resource, txid, branch, waitMs))
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
      throw new SettleUnfinishedError(
        `${name} did not carry it out, or its answer is lost (${toError(thrown).message}). The order is in the log; repeat it to learn how the branch ended, or to end it.`,
        { cause: thrown },
      )
    }
  }

  /** The branch is not there any more. An earlier order for it may wait for its end, or have it: then this is a repeat. */
  async #closeOrder({ txid, branch, action, waitMs }: Force): Promise<void> {
    const { coordinator, resources } = this.#parts
    const known = coordinator.transaction(txid)?.branches.find((each) => each.branch === branch)
    const last = this.#lastOf(txid, branch)
    const waits = last !== undefined && last.standing === 'ordered' && !last.acknowledged
    if (!waits) {
      if (last?.action === action) return
      throw notPrepared(txid, branch, known)
    }
    const resource = resources.find(({ name }) => name === (known?.participant ?? resourceIn(last.evidence)))
    await this.#close(
      txid,
      branch,
      resource === undefined ? 'none' : await this.#evidenceOf(resource, txid, branch, waitMs),
    )
  }

  /** In this order: `completed` must not stand in the log without how the branch ended. */
  async #close(txid: Txid, branch: BranchId, found: 'committed' | 'aborted' | 'none'): Promise<void> {
    await this.#record({ kind: 'settled', txid, branch, found })
    this.#parts.coordinator.ack(txid, [branch])
  }

  async #evidenceOf(
    { name, inDoubt }: Resource<unknown>,
    txid: Txid,
    branch: BranchId,
    ms: number,
  ): Promise<'committed' | 'aborted' | 'none'> {
    const { clusterId, coordinator, clock } = this.#parts
    const token = coordinator.transaction(txid)?.branches.find((each) => each.branch === branch)?.evidence
    try {
      return await within(clock, ms, name, inDoubt.evidence({ cluster: clusterId, txid, branch }, token))
    } catch {
      return 'none'
    }
  }

  /** Branches that are not prepared any more, and what their databases can prove. */
  async #endedOf(txid: Txid, prepared: readonly InDoubtBranch[], ms: number): Promise<readonly EndedBranch[]> {
    const { coordinator, resources } = this.#parts
    const gone = (coordinator.transaction(txid)?.branches ?? []).filter(
      ({ kind, vote, branch }) =>
        kind === 'local' && vote !== 'readOnly' && prepared.every((each) => each.branch !== branch),
    )
    const asked = gone.map(async ({ branch, participant }): Promise<EndedBranch[]> => {
      const resource = resources.find(({ name }) => name === participant)
      if (resource === undefined) return []
      return [{ branch, resource: participant, evidence: await this.#evidenceOf(resource, txid, branch, ms) }]
    })
    return (await Promise.all(asked)).flat()
  }

  /** A coordinator that does not know these records stops when it meets one; a majority of such would end the fleet. */
  async #assertReleases(): Promise<readonly string[]> {
    const releases = await this.#parts.releases()
    const old = releases.filter(({ knows }) => knows === false).map(({ address }) => address)
    if (old.length > 0)
      throw new SettleMixedVersionsError(
        `the coordinators at ${old.join(', ')} run a release before 0.3, which would stop at the record of this; upgrade them first. Nothing was done.`,
      )
    return releases.filter(({ knows }) => knows === undefined).map(({ address }) => address)
  }

  #lastOf(txid: Txid, branch: BranchId): Settlement | undefined {
    return this.#parts.coordinator.settlements.findLast(
      (each) => each.txid === txid && each.branch === branch && each.action !== 'acknowledge',
    )
  }

  async #record(record: OperatorRecord): Promise<void> {
    const recorded = await new Promise<boolean>((resolve) => this.#parts.coordinator.record(record, resolve))
    if (!recorded) throw lost()
  }
}

/** The gid belongs to another cluster. */
class WrongClusterError extends ConcordatError {
  readonly code = 'WRONG_CLUSTER'

  constructor(theirs: string, ours: ClusterId) {
    super(`that branch belongs to cluster ${theirs}, and this is ${ours}; ask its coordinators`)
  }
}

function lost(): SettleNotRecordedError {
  return new SettleNotRecordedError(
    'the leadership was lost meanwhile; look at concordat settle for what is in the log, and repeat it',
  )
}

function unseenError(branch: BranchId, unseen: SettleAnswer['unseen']): SettleUnseenError {
  const why = unseen.map(({ resource, error }) => `${resource}: ${error}`).join('; ')
  return new SettleUnseenError(
    `branch ${branch} is prepared in none of the databases that could be looked at, and not all could (${why}). Nothing was done.`,
  )
}

function notPrepared(
  txid: Txid,
  branch: BranchId,
  known: { readonly kind: string; readonly participant: string } | undefined,
): SettleNotPreparedError {
  const what =
    known !== undefined && known.kind !== 'local'
      ? `branch ${branch} of ${txid} is one of ${known.participant}, which ends it by itself; there is no database to do it in`
      : `branch ${branch} of ${txid} is prepared in none of the configured databases; it has ended, or its database is not configured`
  return new SettleNotPreparedError(`${what}. Nothing was done.`)
}
