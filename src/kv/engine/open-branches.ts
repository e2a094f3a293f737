import { assert, type Clock, parseBranchId, type Txid } from '../../base/index.ts'
import type { Rule } from '../constraints/index.ts'
import { KvBranch } from './branch.ts'
import type { Data } from './data.ts'
import { KvBranchEndedError, KvLogMalformedError } from './errors.ts'
import { LockDesk } from './lock-desk.ts'
import type { PreparedRow } from './records.ts'

export interface OpenBranchesOptions {
  readonly data: Data
  readonly rules: readonly Rule[]
  readonly branchBytesMax: number
  readonly lockTimeoutMs: number
  readonly clock: Clock
}

/** The branches that work is done in, with their locks. Those that have voted commit are no longer here; their locks are. */
export class OpenBranches {
  readonly locks: LockDesk
  readonly #options: OpenBranchesOptions
  readonly #branches = new Map<Txid, KvBranch>()

  constructor(options: OpenBranchesOptions) {
    this.#options = options
    this.locks = new LockDesk({
      clock: options.clock,
      timeoutMs: options.lockTimeoutMs,
      onVictim: (txid, error) => {
        const branch = this.#branches.get(txid)
        assert(branch !== undefined, 'P4: who has voted waits for nobody, so it is never a victim')
        branch.end('was rolled back', error)
      },
    })
  }

  /**
   * At a start: those in doubt have their locks again. Before anything else is admitted.
   * @throws KvLogMalformedError when they exclude each other
   */
  takeBack(rows: Iterable<PreparedRow>): void {
    for (const { txid, locks } of rows) {
      for (const lock of locks) {
        const holder = this.locks.restore(txid, lock)
        if (holder === undefined) continue
        throw new KvLogMalformedError(`${txid} and ${holder} are both in doubt, and hold locks that exclude each other`)
      }
    }
  }

  get(txid: Txid): KvBranch | undefined {
    return this.#branches.get(txid)
  }

  open(txid: Txid, branchId: number): KvBranch {
    const { data, rules, branchBytesMax } = this.#options
    const branch = new KvBranch(txid, parseBranchId(branchId), {
      data,
      rules,
      branchBytesMax,
      lock: (span, mode) => this.locks.take(txid, span, mode),
      poison: (cause) => {
        // It stays here, poisoned, so that its PREPARE is told why.
        branch.end('was rolled back', cause)
        this.locks.release(txid, new KvBranchEndedError(txid, 'was rolled back', { cause }))
      },
    })
    this.#branches.set(txid, branch)
    return branch
  }

  /** It has voted commit: it takes no more work, and keeps its locks. */
  hold(txid: Txid): void {
    this.#branches.get(txid)?.end('has voted')
    this.#branches.delete(txid)
  }

  /** Ends an open branch, if there is one: its locks go, and what it waits for fails. */
  drop(txid: Txid, what: string): void {
    const branch = this.#branches.get(txid)
    if (branch === undefined) return
    branch.end(what)
    this.#branches.delete(txid)
    this.release(txid, what)
  }

  dropAll(what: string): void {
    for (const txid of [...this.#branches.keys()]) this.drop(txid, what)
  }

  /** The locks of a branch that had voted. */
  release(txid: Txid, what: string): void {
    this.locks.release(txid, new KvBranchEndedError(txid, what))
  }
}
