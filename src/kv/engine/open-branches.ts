import { assert, type Clock, parseBranchId, type Txid } from '../../base/index.ts'
import type { Rule } from '../constraints/index.ts'
import { KvBranch } from './branch.ts'
import type { Data } from './data.ts'
import { KvBranchEndedError, KvBusyError, KvLogMalformedError } from './errors.ts'
import { LockDesk } from './lock-desk.ts'
import type { PreparedRow } from './records.ts'
import { effectBytes } from './row-size.ts'

/** What a lock takes in memory beside its span, about: measured 0.7 KiB. */
const LOCK_MEMORY_BYTES = 1024

export interface OpenBranchesOptions {
  readonly data: Data
  readonly rules: readonly Rule[]
  readonly branchBytesMax: number
  readonly openBytesMax: number
  readonly lockTimeoutMs: number
  readonly clock: Clock
}

/** The branches that work is done in, with their locks. Those that have voted commit are no longer here; their locks are. */
export class OpenBranches {
  readonly locks: LockDesk
  readonly #options: OpenBranchesOptions
  readonly #branches = new Map<Txid, KvBranch>()
  /** Bytes of what they write, also of those that have voted, until their end. */
  readonly #written = new Map<Txid, number>()
  #writtenBytes = 0

  constructor(options: OpenBranchesOptions) {
    this.#options = options
    this.locks = new LockDesk({
      clock: options.clock,
      timeoutMs: options.lockTimeoutMs,
      onVictim: (txid, error) => {
        const branch = this.#branches.get(txid)
        assert(branch !== undefined, 'P4: who has voted waits for nobody, so it is never a victim')
        branch.end('was rolled back', error)
        this.#wrote(txid, 0)
      },
    })
  }

  /** Memory that all transactions take with writes and locks, about. */
  get bytes(): number {
    const { locks, bytes } = this.locks.size
    return this.#writtenBytes + bytes + locks * LOCK_MEMORY_BYTES
  }

  /**
   * At a start: those in doubt have their locks again. Before anything else is admitted.
   * @throws KvLogMalformedError when they exclude each other
   */
  takeBack(rows: Iterable<PreparedRow>): void {
    for (const { txid, locks, effects } of rows) {
      this.#wrote(
        txid,
        effects.reduce((sum, { key, value }) => sum + effectBytes(key, value?.length), 0),
      )
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
      lock: (span, mode) => {
        this.#checkRoom()
        return this.locks.take(txid, span, mode)
      },
      lockSize: () => this.locks.sizeOf(txid),
      wrote: (bytes) => this.#wrote(txid, bytes),
      poison: (cause) => {
        // It stays here, poisoned, so that its PREPARE is told why.
        branch.end('was rolled back', cause)
        this.#wrote(txid, 0)
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
    this.#wrote(txid, 0)
    this.locks.release(txid, new KvBranchEndedError(txid, what))
  }

  #checkRoom(): void {
    const { openBytesMax } = this.#options
    if (this.bytes > openBytesMax) throw new KvBusyError(`its transactions take ${openBytesMax} bytes of memory`)
  }

  /** What a transaction writes comes to so many bytes now. */
  #wrote(txid: Txid, bytes: number): void {
    this.#writtenBytes += bytes - (this.#written.get(txid) ?? 0)
    if (bytes === 0) this.#written.delete(txid)
    else this.#written.set(txid, bytes)
  }
}
