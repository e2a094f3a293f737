import { assert, type Clock, type ConcordatError, type Timer, type Txid, WaitForGraph } from '../../base/index.ts'
import { type HeldLock, type LockEffect, LockManager, type LockMode, type LockSize, type Span } from '../locks/index.ts'
import { KvDeadlockError, KvLockTimeoutError } from './errors.ts'

export interface LockDeskOptions {
  readonly clock: Clock
  /** How long a request waits, at most. */
  readonly timeoutMs: number
  /** A transaction lost its locks because of a deadlock or a timeout; its waiting requests hear of it right afterwards. */
  readonly onVictim: (txid: Txid, error: ConcordatError) => void
}

/** A request that waits. */
export interface LockWaitView {
  readonly txid: Txid
  /** Its number: no two requests have the same. */
  readonly wait: number
  readonly blockers: readonly Txid[]
}

interface Wait {
  readonly owner: Txid
  readonly sinceMs: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  readonly timer: Timer
}

/** The lock table with its waits: promises instead of effects, deadlocks found in the moment in which they arise. */
export class LockDesk {
  readonly #options: LockDeskOptions
  readonly #locks = new LockManager()
  readonly #graph = new WaitForGraph()
  readonly #waits = new Map<number, Wait>()
  /** The requests of a transaction that waits. */
  readonly #requestsOf = new Map<Txid, Set<number>>()
  #requests = 0

  constructor(options: LockDeskOptions) {
    this.#options = options
  }

  /** Transactions that hold or want a lock. */
  get owners(): number {
    return this.#locks.owners
  }

  /** Resolves when the lock is had. @throws KvDeadlockError, KvLockTimeoutError; then the transaction has no lock any more */
  take(owner: Txid, span: Span, mode: LockMode): Promise<void> {
    const id = this.#requests++
    const [first, ...more] = this.#locks.request(id, owner, span, mode)
    assert(first?.request === id, 'the first effect is about the request')
    if (first.kind === 'granted') {
      this.#carryOut(more)
      return Promise.resolve()
    }
    const waiting = new Promise<void>((resolve, reject) => {
      const timer = this.#options.clock.after(this.#options.timeoutMs, () => this.#timeOut(owner))
      this.#waits.set(id, { owner, sinceMs: this.#options.clock.monotonicMs(), resolve, reject, timer })
      const requests = this.#requestsOf.get(owner)
      if (requests === undefined) this.#requestsOf.set(owner, new Set([id]))
      else requests.add(id)
    })
    this.#carryOut([first, ...more])
    return waiting
  }

  /** The transaction has ended, or gives up: who waits for it goes on, and what it still waits for fails with `error`. */
  release(owner: Txid, error: ConcordatError): void {
    this.#carryOut(this.#remove(owner, error))
  }

  /** See LockManager.restore. */
  restore(owner: Txid, lock: HeldLock): Txid | undefined {
    return this.#locks.restore(owner, lock)
  }

  locksOf(owner: Txid): HeldLock[] {
    return this.#locks.locksOf(owner)
  }

  /** See LockManager. */
  sizeOf(owner: Txid): LockSize {
    return this.#locks.sizeOf(owner)
  }

  /** What all transactions have locked. */
  get size(): LockSize {
    return this.#locks.size
  }

  waitersFor(owner: Txid): Txid[] {
    return this.#locks.waitersFor(owner)
  }

  /** The requests that wait since `beforeMs` (monotonic) or longer, in the order in which they came, and for whom. */
  waitsSince(beforeMs: number): LockWaitView[] {
    const old = [...this.#waits].filter(([, { sinceMs }]) => sinceMs <= beforeMs)
    return old.map(([wait, { owner }]) => ({ txid: owner, wait, blockers: this.#graph.blockersOf(owner) }))
  }

  #carryOut(effects: readonly LockEffect[]): void {
    // A victim's end has effects of its own: they queue up behind.
    const queue = [...effects]
    for (const effect of queue) {
      const wait = this.#waits.get(effect.request)
      // Its transaction has ended in between.
      if (wait === undefined) continue
      if (effect.kind === 'granted') {
        this.#forget(effect.request, wait)
        wait.resolve()
        continue
      }
      let deadlock = this.#graph.add(String(effect.request), effect.owner, effect.by)
      while (deadlock !== undefined) {
        queue.push(...this.#kill(deadlock.victim, new KvDeadlockError(deadlock.victim, deadlock.circle)))
        deadlock = this.#graph.deadlockOf(effect.owner)
      }
    }
  }

  #timeOut(owner: Txid): void {
    const error = new KvLockTimeoutError(owner, this.#options.timeoutMs, this.#graph.blockersOf(owner))
    this.#carryOut(this.#kill(owner, error))
  }

  #kill(victim: Txid, error: ConcordatError): LockEffect[] {
    this.#options.onVictim(victim, error)
    return this.#remove(victim, error)
  }

  #remove(owner: Txid, error: ConcordatError): LockEffect[] {
    for (const id of this.#requestsOf.get(owner) ?? []) {
      const wait = this.#waits.get(id)
      assert(wait !== undefined, 'a request that waits is known by its number')
      this.#forget(id, wait)
      wait.reject(error)
    }
    this.#graph.remove(owner)
    return this.#locks.release(owner)
  }

  #forget(id: number, wait: Wait): void {
    this.#options.clock.cancel(wait.timer)
    this.#waits.delete(id)
    const requests = this.#requestsOf.get(wait.owner)
    requests?.delete(id)
    if (requests?.size === 0) this.#requestsOf.delete(wait.owner)
    this.#graph.end(String(id))
  }
}
