import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { type BranchId, type ClusterId, makeTxid, type Txid } from '../../src/base/index.ts'
import type { RemoteCoordinators } from '../../src/client/index.ts'
import type { Reply } from '../../src/coordinator/index.ts'
import type { BranchRecord } from '../../src/txn/index.ts'
import type { Fleet } from './fleet.support.ts'

/** A txid made now, or at another time. */
export function newTxid(unixMs: number = Date.now()): Txid {
  return makeTxid(unixMs, randomBytes(10))
}

/** A branch whose client voted commit, of a database that no coordinator is configured for. */
export function votedBranch(branch: number, participant = `database-${branch}`): BranchRecord {
  return { branch: branch as BranchId, kind: 'local', participant, vote: 'commit', evidence: undefined }
}

/** Two branches with their votes: all that a coordinator needs for a decision. */
export const BOTH: readonly BranchRecord[] = [votedBranch(0), votedBranch(1)]

export function asCluster(text: string): ClusterId {
  return text as ClusterId
}

/** Decisions asked for without databases, hundreds at a time, and every answer that came. */
export class Decisions {
  /** The last answer of each transaction; absent until there is one. */
  readonly answers = new Map<Txid, Reply>()
  readonly #fleet: Fleet
  #running: Promise<void>[] = []
  #stopping = false
  #sequence = 0

  constructor(fleet: Fleet) {
    this.#fleet = fleet
  }

  get committed(): readonly Txid[] {
    return this.#answered('committed')
  }

  get aborted(): readonly Txid[] {
    return this.#answered('aborted')
  }

  /** Asks over and over until `stop`. A tenth of the transactions is aborted by request. */
  start(port: RemoteCoordinators, concurrency: number, timeoutMs = 10_000): void {
    this.#stopping = false
    this.#running = Array.from({ length: concurrency }, async () => {
      while (!this.#stopping) await this.decide(port, timeoutMs)
    })
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#running)
  }

  async decide(port: RemoteCoordinators, timeoutMs: number): Promise<Reply> {
    const txid = newTxid()
    const request = { clusterId: asCluster(this.#fleet.cluster), txid, branches: BOTH }
    const isAbort = ++this.#sequence % 10 === 0
    const reply = isAbort
      ? await port.abort({ ...request, participant: undefined }, timeoutMs)
      : await port.commit({ ...request, timeoutMs })
    this.answers.set(txid, reply)
    if (reply.kind === 'outcome') port.ack(txid, [0 as BranchId, 1 as BranchId])
    return reply
  }

  /** The present leader gives the same answers: P2 and P3. Those that were refused, it knows nothing of, or has aborted. */
  async holdAtLeader(port: RemoteCoordinators): Promise<void> {
    const clusterId = asCluster(this.#fleet.cluster)
    const wrong: string[] = []
    await Promise.all(
      [...this.answers].map(async ([txid, told]) => {
        const now = await port.inquire({ clusterId, txid, settle: false }, 20_000)
        if (!fits(told, now)) wrong.push(`${txid} was told ${describe(told)}, and now it is ${describe(now)}`)
      }),
    )
    expect(wrong).toEqual([])
  }

  #answered(kind: 'committed' | 'aborted'): readonly Txid[] {
    return [...this.answers].flatMap(([txid, reply]) =>
      reply.kind === 'outcome' && reply.outcome.kind === kind ? [txid] : [],
    )
  }
}

function fits(told: Reply, now: Reply): boolean {
  if (now.kind !== 'outcome') return false
  if (told.kind === 'outcome') return told.outcome.kind === now.outcome.kind
  // Nobody was promised anything; but "nothing was done" must be true.
  return told.code === 'OUTCOME_PENDING' || now.outcome.kind === 'unknown'
}

function describe(reply: Reply): string {
  return reply.kind === 'outcome' ? reply.outcome.kind : `${reply.code} (${reply.message})`
}
