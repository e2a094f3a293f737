import { type Gid, makeGid } from '../base/index.ts'
import type { Branch, BranchIdentity, Evidence, PrepareResult, Resource, SettleResult } from '../resources/index.ts'

/** A database that can be told to behave as no real one does on demand. Only for stories that need exactly that. */
export class MemoryResource implements Resource<MemoryBranch> {
  readonly name: string
  readonly kind = 'postgres'
  readonly branches: MemoryBranch[] = []
  begin = async (identity: BranchIdentity): Promise<MemoryBranch> => {
    const branch = new MemoryBranch(makeGid(identity.cluster, identity.txid, identity.branch))
    this.branches.push(branch)
    this.prepareBranch(branch)
    return branch
  }
  /** Changes each new branch. */
  prepareBranch: (branch: MemoryBranch) => void = () => {}
  found: Evidence = 'none'
  readonly inDoubt = {
    list: async () => [],
    commit: async (): Promise<SettleResult> => ({ kind: 'done' }),
    abort: async (): Promise<SettleResult> => ({ kind: 'done' }),
    evidence: async () => this.found,
    forgetEvidence: async () => {},
    close: async () => {},
  }

  constructor(name: string) {
    this.name = name
  }

  async check(): Promise<[]> {
    return []
  }
}

export class MemoryBranch implements Branch<MemoryBranch> {
  readonly gid: Gid
  readonly log: string[] = []
  poisonedBy: Error | undefined
  onPrepare: () => PrepareResult | Promise<PrepareResult> = () => ({ kind: 'commit', evidence: 'e' })
  onCommitOnePhase: () => void | Promise<void> = () => {}
  /** Answers of commit and abort, one after the other; then `done`. */
  settles: (SettleResult | Error)[] = []

  constructor(gid: Gid) {
    this.gid = gid
  }

  get session(): this {
    return this
  }

  async prepare(): Promise<PrepareResult> {
    this.log.push('prepare')
    return this.onPrepare()
  }

  async commitOnePhase(): Promise<void> {
    this.log.push('commitOnePhase')
    await this.onCommitOnePhase()
  }

  async commit(): Promise<SettleResult> {
    return this.#settle('commit')
  }

  async abort(): Promise<SettleResult> {
    return this.#settle('abort')
  }

  async handOver(): Promise<void> {
    this.log.push('handOver')
  }

  #settle(word: string): SettleResult {
    this.log.push(word)
    const answer = this.settles.shift() ?? { kind: 'done' }
    if (answer instanceof Error) throw answer
    return answer
  }
}
