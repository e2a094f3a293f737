import { z } from 'zod'
import { type ClusterId, ConcordatError, parseBranchId, parseTxid, type Txid } from '../base/index.ts'
import type { DecisionLog } from '../replica/index.ts'
import type { Resource } from '../resources/index.ts'
import { databaseOf } from '../txn/index.ts'
import { BranchForcer } from './branch-forcer.ts'
import { checkedBy } from './config.ts'
import type { InDoubtDesk } from './in-doubt-desk.ts'
import type { InDoubtBranch } from './in-doubt-view.ts'
import { NothingToAcknowledgeError } from './settle-errors.ts'
import { SettleLog, type SettleLogParts } from './settle-log.ts'
import { standingOf } from './settle-rules.ts'
import type { EndedBranch, ForceAnswer, SettleAnswer, SettlementsAnswer } from './settle-view.ts'

const txid = checkedBy(z.string(), parseTxid)
const branch = checkedBy(z.number(), parseBranchId)
const waitMs = z.int().min(1).max(60_000).default(2_000)
/** It is printed at other operators' terminals: nothing in it may move their cursor. */
const words = (max: number) =>
  z
    .string()
    .trim()
    .min(1, 'say it')
    .max(max)
    .regex(/^\P{Cc}*$/u, 'control characters are not taken')
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
const listQuestion = z.strictObject({ limit: z.int().min(1).max(1_000).default(50) })
const acknowledgeQuestion = z.strictObject({ txid, ...who, waitMs })

interface SettleDeskParts extends SettleLogParts {
  readonly log: Pick<DecisionLog, 'readBarrier'>
  readonly inDoubt: Pick<InDoubtDesk, 'branchesOf'>
  readonly resources: readonly Resource<unknown>[]
  readonly node: number
}

/** Operators' questions about branches that are ended by hand: what is known, the order, the acknowledgement, the book. */
export class SettleDesk {
  readonly #parts: SettleDeskParts & { readonly book: SettleLog }
  readonly #forcer: BranchForcer

  constructor(parts: SettleDeskParts) {
    this.#parts = { ...parts, book: new SettleLog(parts) }
    this.#forcer = new BranchForcer(this.#parts)
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
        return this.#forcer.force(forceQuestion.parse(question), from)
      case 'settle.acknowledge':
        return this.#acknowledge(acknowledgeQuestion.parse(question), from)
      case 'settle.list':
        return this.#list(listQuestion.parse(question).limit)
      default:
        return undefined
    }
  }

  /** The latest. */
  async #list(limit: number): Promise<SettlementsAnswer> {
    const { book, log } = this.#parts
    book.assertLeading()
    await log.readBarrier()
    return { settlements: this.#parts.coordinator.settlements.slice(-limit) }
  }

  async #show({ txid, cluster, waitMs }: z.output<typeof showQuestion>): Promise<SettleAnswer> {
    const { coordinator, clusterId, node, inDoubt, book } = this.#parts
    book.assertLeading()
    if (cluster !== undefined && cluster !== clusterId) throw new WrongClusterError(cluster, clusterId)
    const { branches, unseen } = await inDoubt.branchesOf(txid, waitMs)
    const transaction = coordinator.transaction(txid) ?? null
    const known = book.known(txid)
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

  async #acknowledge(question: z.output<typeof acknowledgeQuestion>, from: string): Promise<SettlementsAnswer> {
    const { txid, by, reason } = question
    const { coordinator, log, clock, book } = this.#parts
    book.assertLeading()
    await log.readBarrier()
    const findings = coordinator.transaction(txid)?.heuristics ?? []
    if (findings.length === 0 && !coordinator.unacknowledged.some((each) => each.txid === txid))
      throw new NothingToAcknowledgeError(
        `nothing of ${txid} waits for an acknowledgement: look at concordat in-doubt, or concordat list --state heuristic. Nothing was done.`,
      )
    await book.assertReleases()
    await book.record({ kind: 'acknowledged', txid, by: `${by} (${from})`, reason, atMs: clock.wallMs() })
    return { settlements: coordinator.settlements.filter((each) => each.txid === txid) }
  }

  /** Branches that are not prepared any more, and what their databases can prove. */
  async #endedOf(txid: Txid, prepared: readonly InDoubtBranch[], ms: number): Promise<readonly EndedBranch[]> {
    const { coordinator, resources, book } = this.#parts
    const gone = (coordinator.transaction(txid)?.branches ?? []).filter(
      (record) =>
        databaseOf(record) !== undefined &&
        record.vote !== 'readOnly' &&
        prepared.every((each) => each.branch !== record.branch),
    )
    const asked = gone.map(async (record): Promise<EndedBranch[]> => {
      const { branch } = record
      const resource = resources.find(({ name }) => name === databaseOf(record))
      if (resource === undefined) return []
      // A database that is away can't prove anything now.
      const evidence = await book.evidenceOf(resource, txid, branch, ms).catch(() => 'none' as const)
      return [{ branch, resource: resource.name, evidence }]
    })
    return (await Promise.all(asked)).flat()
  }
}

/** The gid belongs to another cluster. */
class WrongClusterError extends ConcordatError {
  readonly code = 'WRONG_CLUSTER'

  constructor(theirs: string, ours: ClusterId) {
    super(`that branch belongs to cluster ${theirs}, and this is ${ours}; ask its coordinators`)
  }
}
