import { z } from 'zod'
import { type Clock, type ClusterId, type Txid, toError, txidTimeMs } from '../base/index.ts'
import type { Coordinator, Resolver } from '../coordinator/index.ts'
import { type DecisionLog, NotLeaderError } from '../replica/index.ts'
import {
  type BranchInDoubt,
  type InDoubtReport,
  NOTHING_BLOCKED,
  type Resource,
  type ResourceKind,
} from '../resources/index.ts'
import { databaseOf } from '../txn/index.ts'
import { heuristicsOf } from './heuristics.ts'
import type { InDoubtAnswer, InDoubtBranch, InDoubtResource } from './in-doubt-view.ts'
import { within } from './within.ts'

const question = z.strictObject({
  own: z.boolean().default(false),
  limit: z.int().min(1).max(1_000).default(50),
  waitMs: z.int().min(1).max(60_000).default(2_000),
})

/** What is looked into: databases, and services that are called at a URL. */
export type Inspected = Pick<Resource<unknown>, 'name' | 'inDoubt' | 'inspection'> & {
  readonly kind: ResourceKind | 'service'
}

interface InDoubtDeskParts {
  readonly coordinator: Pick<Coordinator, 'status' | 'knowledge' | 'transaction' | 'guard' | 'list' | 'unacknowledged'>
  readonly log: Pick<DecisionLog, 'readBarrier'>
  readonly resolver: Pick<Resolver, 'status'>
  readonly resources: readonly Inspected[]
  readonly clusterId: ClusterId
  readonly node: number
  readonly clock: Clock
}

/** What is prepared of one transaction. */
export interface TransactionInDoubt {
  readonly branches: readonly InDoubtBranch[]
  readonly unseen: readonly { readonly resource: string; readonly error: string }[]
}

/** What came of looking at one database. */
interface Looked {
  readonly resource: Inspected
  readonly report: InDoubtReport | undefined
  readonly error: string | undefined
}

const NOTHING: InDoubtReport = {
  branches: [],
  unattributed: NOTHING_BLOCKED,
  foreign: { here: 0, elsewhere: 0 },
  slots: undefined,
  notes: [],
}

/** Answers what is in doubt and what it blocks. It looks into everything that is configured and changes nothing. */
export class InDoubtDesk {
  readonly #parts: InDoubtDeskParts
  /** One look into a database at a time: its sessions are few, and the resolver needs them. Who asks meanwhile gets the same. */
  readonly #looking = new Map<Inspected, Promise<InDoubtReport>>()

  constructor(parts: InDoubtDeskParts) {
    this.#parts = parts
  }

  /** Undefined: the method is no such question. @throws z.ZodError for a question that can't be read */
  answer(method: string, parameters: unknown): Promise<InDoubtAnswer> | undefined {
    return method === 'in-doubt' ? this.#look(question.parse(parameters)) : undefined
  }

  /** The leader's resolver works, so the leader can tell why a branch is still there; `own` asks any coordinator. */
  async #look({ own, limit, waitMs }: z.output<typeof question>): Promise<InDoubtAnswer> {
    const { coordinator, clusterId, node } = this.#parts
    const { leading, leader } = coordinator.status()
    if (!own && !leading) throw new NotLeaderError(leader)
    const { looked, current, branches } = await this.#lookEverywhere(own, waitMs)
    return {
      cluster: clusterId,
      node,
      current,
      guard: coordinator.guard ?? null,
      branches: branches.slice(0, limit),
      branchCount: branches.length,
      resources: looked.map((each) => this.#describe(each, branches)),
      attention: {
        transactions: heuristicsOf(coordinator).slice(0, limit),
        // What was known when they were ordered is for whoever asks about one: `settle`.
        settlements: coordinator.unacknowledged.slice(0, limit).map((each) => ({ ...each, evidence: '' })),
      },
    }
  }

  /**
   * The prepared branches of one transaction; decisions are of now. `unseen` are the databases that could not be looked at.
   *
   * @throws Error when no majority answers within `waitMs`
   */
  async branchesOf(txid: Txid, waitMs: number): Promise<TransactionInDoubt> {
    const { looked, branches } = await this.#lookEverywhere(false, waitMs)
    return {
      branches: branches.filter((each) => each.txid === txid),
      unseen: looked.flatMap(({ resource, error }) =>
        error === undefined ? [] : [{ resource: resource.name, error }],
      ),
    }
  }

  async #lookEverywhere(own: boolean, waitMs: number) {
    const looked = await Promise.all(this.#parts.resources.map((resource) => this.#lookInto(resource, waitMs)))
    // After the databases were looked at: what they call prepared was prepared before, so a decision can't be missed.
    const current = await this.#isCurrent(own, waitMs)
    return { looked, current, branches: this.#branchesOf(looked) }
  }

  async #lookInto(resource: Inspected, waitMs: number): Promise<Looked> {
    try {
      return {
        resource,
        report: await within(this.#parts.clock, waitMs, 'it', this.#shared(resource)),
        error: undefined,
      }
    } catch (thrown) {
      return { resource, report: undefined, error: toError(thrown).message }
    }
  }

  #shared(resource: Inspected): Promise<InDoubtReport> {
    const running = this.#looking.get(resource)
    if (running !== undefined) return running
    const report = this.#report(resource).finally(() => this.#looking.delete(resource))
    this.#looking.set(resource, report)
    return report
  }

  async #report({ inspection, inDoubt }: Inspected): Promise<InDoubtReport> {
    const { clusterId } = this.#parts
    if (inspection !== undefined) return await inspection.inDoubt(clusterId)
    const branches = await inDoubt.list(clusterId)
    return {
      ...NOTHING,
      branches: branches.map((each) => ({ ...each, ...NOTHING_BLOCKED, owner: undefined, vacuum: undefined })),
    }
  }

  /** Without a leader the barrier never comes; whoever asked for this coordinator's own view gets it all the same. */
  async #isCurrent(own: boolean, waitMs: number): Promise<boolean> {
    try {
      await within(this.#parts.clock, waitMs, 'a majority of the coordinators', this.#parts.log.readBarrier())
      return true
    } catch (error) {
      if (!own) throw error
      return false
    }
  }

  /** A server that is configured under two names lists a branch twice: it belongs to the name that its client gave. */
  #branchesOf(looked: readonly Looked[]): readonly InDoubtBranch[] {
    const found = new Map<string, InDoubtBranch>()
    for (const { resource, report } of looked) {
      for (const branch of report?.branches ?? []) {
        const isNamed = this.#databaseOf(branch) === resource.name
        if (isNamed || !found.has(branch.gid)) found.set(branch.gid, this.#toView(resource.name, branch))
      }
    }
    return [...found.values()].sort((a, b) => b.ageMs - a.ageMs)
  }

  #databaseOf({ txid, branch }: BranchInDoubt): string | undefined {
    const known = this.#parts.coordinator.transaction(txid)
    const record = known?.branches.find((each) => each.branch === branch)
    return record === undefined ? undefined : databaseOf(record)
  }

  #toView(resource: string, { cluster: _, ageMs, ...branch }: BranchInDoubt): InDoubtBranch {
    const { coordinator, clock } = this.#parts
    const decision = coordinator.knowledge(branch.txid)
    const isOpen = decision.kind === 'unknown' || decision.kind === 'preparing'
    return {
      ...branch,
      resource,
      ageMs: Math.round(Math.max(0, ageMs ?? clock.wallMs() - txidTimeMs(branch.txid))),
      ageIsBound: ageMs === undefined,
      decision,
      guarded: isOpen && txidTimeMs(branch.txid) < (coordinator.guard?.beforeMs ?? 0),
    }
  }

  #describe({ resource: { name, kind }, report = NOTHING, error }: Looked, branches: readonly InDoubtBranch[]) {
    const { slots, foreign, unattributed, notes } = report
    const inDoubt = branches.filter(({ resource }) => resource === name).length
    const resolverError = this.#parts.resolver.status().resources.find((each) => each.name === name)?.error
    return { name, kind, inDoubt, slots, foreign, unattributed, notes, error, resolverError } satisfies InDoubtResource
  }
}
