import type { Clock, Timer, Txid } from '../base/index.ts'
import type { CoordinatorPort, Verdict } from '../coordinator/index.ts'
import { WAITS_MAX, type WaitingBranch, type WaitingTransaction } from '../transport/index.ts'
import type { ActiveTransaction } from './active-transaction.ts'

/** What a watch needs. */
export interface WaitWatchParts {
  readonly port: Pick<CoordinatorPort, 'waiting'>
  readonly clock: Clock
  /** The transactions of this process, the oldest first. */
  readonly running: ReadonlyMap<Txid, ActiveTransaction>
}

/** How often it looks, and how often a transaction that waits is told anew. */
const SWEEP_MS = 100
/** A statement that was under way in so many looks, one after the other, has waited: 200 to 300 ms. */
const SWEEPS = 3
/** Branches in one report, and bytes of their names, at most: it must fit in a frame. */
const BRANCHES_MAX = 10_000
const NAMES_BYTES_MAX = 1024 * 1024

/** A statement that was under way when it was looked at, and in how many looks. */
interface Seen {
  readonly statement: number
  readonly sweeps: number
}

/**
 * Tells the coordinators which transactions wait, with the sessions of all their branches. Only who waits can be in a circle, so
 * whoever is in one has been told with everything that is needed to see it.
 *
 * Statements pay nothing for it: somebody looks now and then at what is under way.
 */
export class WaitWatch {
  readonly #parts: WaitWatchParts
  readonly #seen = new WeakMap<object, Seen>()
  #timer: Timer | undefined
  /** Something was told that is to be taken back. */
  #hasTold = false

  constructor(parts: WaitWatchParts) {
    this.#parts = parts
  }

  /** A transaction has begun. It looks until none runs any more. */
  start(): void {
    this.#timer ??= this.#parts.clock.every(SWEEP_MS, () => this.#sweep())
  }

  #sweep(): void {
    this.#tell([...this.#waiting()])
    if (this.#parts.running.size > 0 || this.#timer === undefined) return
    this.#parts.clock.cancel(this.#timer)
    this.#timer = undefined
  }

  #tell(transactions: readonly WaitingTransaction[]): void {
    if (transactions.length === 0 && !this.#hasTold) return
    this.#hasTold = transactions.length > 0
    this.#parts.port.waiting?.(transactions, (verdict) => this.#carryOut(verdict))
  }

  #carryOut(verdict: Verdict): void {
    const isDying = this.#parts.running.get(verdict.txid)?.condemned(verdict) === true
    // At once: its statements are ended when the coordinators know that it dies.
    if (isDying) this.#tell([...this.#waiting(false)])
  }

  /** @param isLook whether this counts as a look at what is under way */
  *#waiting(isLook = true): Generator<WaitingTransaction> {
    let transactions = 0
    let branchCount = 0
    let bytes = 0
    for (const tx of this.#parts.running.values()) {
      const branches = this.#branchesOf(tx, isLook)
      if (!branches.some(({ statement }) => statement > 0)) continue
      transactions += 1
      branchCount += branches.length
      for (const { participant, session } of branches) bytes += Buffer.byteLength(participant) + session.length
      if (transactions > WAITS_MAX || branchCount > BRANCHES_MAX || bytes > NAMES_BYTES_MAX) return
      yield { txid: tx.txid, isDying: tx.isDying, branches }
    }
  }

  #branchesOf(tx: ActiveTransaction, isLook: boolean): readonly WaitingBranch[] {
    const branches: WaitingBranch[] = []
    for (const { branchId, participant, session, underWay, branch } of tx.working()) {
      const before = this.#seen.get(branch)
      const sweeps = underWay !== undefined && before?.statement === underWay ? before.sweeps + (isLook ? 1 : 0) : 1
      if (underWay !== undefined && isLook) this.#seen.set(branch, { statement: underWay, sweeps })
      const statement = sweeps >= SWEEPS ? (underWay ?? 0) : 0
      // Before anybody is told that the statement may be ended.
      if (tx.isDying && statement > 0) branch.closeAtEnd?.()
      branches.push({ branch: branchId, participant, session, statement })
    }
    return branches
  }
}
