import { assert, type Clock, type Timer } from '../../../base/index.ts'
import type { Cell } from './table.ts'
import type { StoreTransaction } from './transaction.ts'

/** Why a row's lock was not given. */
export class LockError extends Error {
  readonly reason: 'deadlock' | 'timeout' | 'noWait' | 'killed'

  constructor(reason: LockError['reason']) {
    super(`no lock: ${reason}`)
    this.reason = reason
  }
}

/** How a database finds deadlocks, and how long it waits. */
export interface LockPolicy {
  /**
   * `waiter`: who has waited for `deadlockMs` looks for a circle and is its victim (PostgreSQL).
   * `lightest`: the wait that closes a circle finds it at once; whoever changed least is the victim (InnoDB).
   */
  readonly victim: 'waiter' | 'lightest'
  readonly deadlockMs: number
  /** A wait that is longer fails; undefined: it lasts for as long as it takes. */
  readonly timeoutMs: number | undefined
}

interface Wait {
  readonly cell: Cell
  readonly resolve: () => void
  readonly reject: (error: LockError) => void
  readonly timers: Timer[]
}

/** Who waits for which row, in one run of a server. A crash forgets every wait. */
export class Locks {
  readonly #clock: Clock
  readonly #policy: LockPolicy
  readonly #waits = new Map<StoreTransaction, Wait>()

  constructor(clock: Clock, policy: LockPolicy) {
    this.#clock = clock
    this.#policy = policy
  }

  /**
   * Takes a row's lock. Undefined: had at once; else a promise for it.
   *
   * @throws LockError by the promise, or at once with `noWait`
   */
  take(tx: StoreTransaction, cell: Cell, noWait: boolean): Promise<void> | undefined {
    assert(!tx.isOver && !tx.isPrepared, 'only a running transaction takes locks')
    if (cell.holder === tx) return undefined
    if (cell.holder === undefined) {
      hold(tx, cell)
      return undefined
    }
    if (noWait) throw new LockError('noWait')
    return this.#wait(tx, cell)
  }

  /** Frees every lock taken since the first `kept` ones; the longest waiting of each row has it next. */
  release(tx: StoreTransaction, kept = 0): void {
    while (tx.locked.length > kept) {
      const cell = tx.locked.pop()!
      assert(cell.holder === tx, 'only the holder frees a lock')
      assert(!cell.hasPending, 'a row is free only when its change is kept or taken back')
      cell.holder = undefined
      const next = cell.waiters[0]
      if (next === undefined) cell.table.tidy(cell)
      else this.#grant(next)
    }
  }

  /** Ends a wait from outside: the session was killed. */
  cancel(tx: StoreTransaction, reason: LockError['reason']): void {
    const wait = this.#waits.get(tx)
    if (wait === undefined) return
    this.#forget(tx, wait)
    wait.reject(new LockError(reason))
  }

  /** The server is gone: nobody waits any more, and nobody hears of it. */
  crash(): void {
    for (const [tx, wait] of this.#waits) this.#forget(tx, wait)
  }

  #wait(tx: StoreTransaction, cell: Cell): Promise<void> {
    cell.waiters.push(tx)
    tx.waitsFor = cell
    const { victim, deadlockMs, timeoutMs } = this.#policy
    return new Promise<void>((resolve, reject) => {
      const timers: Timer[] = []
      this.#waits.set(tx, { cell, resolve, reject, timers })
      if (timeoutMs !== undefined) timers.push(this.#clock.after(timeoutMs, () => this.cancel(tx, 'timeout')))
      if (victim === 'lightest') this.#breakCircle(tx)
      else timers.push(this.#clock.after(deadlockMs, () => this.#checkWaiter(tx)))
    })
  }

  #checkWaiter(tx: StoreTransaction): void {
    if (circleOf(tx).length > 0) this.cancel(tx, 'deadlock')
  }

  #breakCircle(tx: StoreTransaction): void {
    // InnoDB weighs rows changed and locks held; between equals it is the one that closed the circle.
    for (let circle = circleOf(tx); circle.length > 0; circle = circleOf(tx)) {
      let victim = tx
      for (const other of circle) if (weightOf(other) < weightOf(victim)) victim = other
      this.cancel(victim, 'deadlock')
      if (victim === tx) return
    }
  }

  #grant(tx: StoreTransaction): void {
    const wait = this.#waits.get(tx)
    assert(wait !== undefined, 'who stands in a queue waits')
    this.#forget(tx, wait)
    hold(tx, wait.cell)
    wait.resolve()
  }

  #forget(tx: StoreTransaction, { cell, timers }: Wait): void {
    this.#waits.delete(tx)
    tx.waitsFor = undefined
    cell.waiters.splice(cell.waiters.indexOf(tx), 1)
    for (const timer of timers) this.#clock.cancel(timer)
  }
}

function hold(tx: StoreTransaction, cell: Cell): void {
  cell.holder = tx
  tx.hasTouched = true
  tx.locked.push(cell)
}

function weightOf(tx: StoreTransaction): number {
  return tx.undos.length + tx.locked.length
}

/** Those who wait for each other in a circle with `start`; empty when there is none. */
function circleOf(start: StoreTransaction): readonly StoreTransaction[] {
  const path: StoreTransaction[] = []
  const seen = new Set<StoreTransaction>()
  const reaches = (tx: StoreTransaction): boolean => {
    for (const blocker of blockersOf(tx)) {
      if (blocker === start) return true
      if (seen.has(blocker)) continue
      seen.add(blocker)
      path.push(blocker)
      if (reaches(blocker)) return true
      path.pop()
    }
    return false
  }
  return reaches(start) ? [start, ...path] : []
}

/** The holder, and who stands before it in the queue. */
function blockersOf(tx: StoreTransaction): StoreTransaction[] {
  const cell = tx.waitsFor
  if (cell?.holder === undefined) return []
  return [cell.holder, ...cell.waiters.slice(0, cell.waiters.indexOf(tx))]
}
