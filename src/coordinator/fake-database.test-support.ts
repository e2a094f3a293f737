import { type BranchId, type ClusterId, type Gid, makeGid, type Txid } from '../base/index.ts'
import type { BranchIdentity, Evidence, InDoubtPort, PreparedBranch, SettleResult } from '../resources/index.ts'
import { ResourceUnavailableError } from '../resources/index.ts'
import { CLUSTER } from './coordinator.test-support.ts'

/** A database of which a test says what it lists, answers and proves. */
export class FakeDatabase implements InDoubtPort {
  readonly prepared = new Map<Gid, PreparedBranch>()
  readonly evidenceOf = new Map<Gid, Evidence>()
  /** Everything that was done to branches, as `commit gid`. */
  readonly done: string[] = []
  readonly tokens: (string | undefined)[] = []
  readonly forgotten: number[] = []
  scans = 0
  /** Branches that were being ended at the same time, at most. */
  atOnceMax = 0
  #atOnce = 0
  down = false
  hangs = false
  /** Branches that somebody still holds. */
  readonly busy = new Set<Gid>()

  /** @param age `unknown`: a database that keeps no time */
  prepare(txid: Txid, branch: number, age: number | 'unknown' = 60_000): Gid {
    const ageMs = age === 'unknown' ? undefined : age
    const gid = makeGid(CLUSTER, txid, branch as BranchId)
    this.prepared.set(gid, { gid, cluster: CLUSTER, txid, branch: branch as BranchId, ageMs })
    return gid
  }

  async list(cluster: ClusterId): Promise<readonly PreparedBranch[]> {
    this.scans++
    await this.#answer()
    return [...this.prepared.values()].filter((branch) => branch.cluster === cluster)
  }

  commit(identity: BranchIdentity): Promise<SettleResult> {
    return this.#end('commit', identity)
  }

  abort(identity: BranchIdentity): Promise<SettleResult> {
    return this.#end('abort', identity)
  }

  async evidence(identity: BranchIdentity, token: string | undefined): Promise<Evidence> {
    await this.#answer()
    this.tokens.push(token)
    return this.evidenceOf.get(gidOf(identity)) ?? 'none'
  }

  async forgetEvidence(_cluster: ClusterId, beforeMs: number): Promise<void> {
    this.forgotten.push(beforeMs)
  }

  async close(): Promise<void> {}

  async #end(verb: 'commit' | 'abort', identity: BranchIdentity): Promise<SettleResult> {
    this.atOnceMax = Math.max(this.atOnceMax, ++this.#atOnce)
    await this.#answer()
    await Promise.resolve()
    this.#atOnce--
    const gid = gidOf(identity)
    if (this.busy.has(gid)) return { kind: 'busy' }
    if (!this.prepared.delete(gid)) return { kind: 'unknownGid' }
    this.done.push(`${verb} ${gid}`)
    this.evidenceOf.set(gid, verb === 'commit' ? 'committed' : 'aborted')
    return { kind: 'done' }
  }

  async #answer(): Promise<void> {
    if (this.hangs) await new Promise(() => {})
    if (this.down) throw new ResourceUnavailableError('fake', 'it is down')
  }
}

function gidOf({ cluster, txid, branch }: BranchIdentity): Gid {
  return makeGid(cluster, txid, branch)
}
