import type { Clock, Timer } from '../../base/index.ts'
import { NestedTransactionOpenError } from '../errors.ts'

/** How long a statement waits for another one's nested transaction to end, milliseconds. */
export const NESTED_WAIT_MS = 5_000

/** So many statements of one branch may wait. */
const WAITING_MAX = 1_000

interface Waiting {
  readonly nests: boolean
  readonly lease: object
  readonly go: () => void
}

/**
 * Who may send statements in a branch that many share. While one has a nested transaction open (a savepoint) the others
 * wait: what they did meanwhile would be undone with it, and they would never hear of it.
 *
 * 1. At most one lease owns the branch.
 * 2. Who waits goes in the order of coming.
 * 3. One statement is under way at a time. Drivers would queue them as well, but pg will stop to.
 */
export class BranchTurns {
  readonly #clock: Clock
  readonly #resource: string
  readonly #waiting: Waiting[] = []
  #owner: object | undefined
  #savepoints = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(resource: string, clock: Clock) {
    this.#resource = resource
    this.#clock = clock
  }

  /** A savepoint's name that was not used in this branch yet. */
  nextName(): string {
    this.#savepoints += 1
    return `concordat_${this.#savepoints}`
  }

  /** Whether `lease` may send at once. */
  isFreeFor(lease: object): boolean {
    return this.#owner === lease || (this.#owner === undefined && this.#waiting.length === 0)
  }

  /**
   * Waits until `lease` may send. Where it may at once there is nothing to wait for: the order of statements stays theirs.
   *
   * @param nests it then owns the branch, until `leave`
   * @throws NestedTransactionOpenError after `NESTED_WAIT_MS`
   */
  enter(lease: object, nests: boolean): Promise<void> | undefined {
    if (!this.isFreeFor(lease)) return this.#wait(lease, nests)
    if (nests) this.#owner = lease
    return undefined
  }

  /** Sends when every statement before has ended, well or not. */
  inOrder<T>(send: () => T | PromiseLike<T>): Promise<T> {
    const result = this.#last.then(send)
    this.#last = result.catch(() => {})
    return result
  }

  /** `lease`'s nested transaction has ended. */
  leave(lease: object): void {
    if (this.#owner !== lease) return
    this.#owner = undefined
    for (const waiting of [...this.#waiting]) {
      // Once somebody owns the branch, only what it sent behind its own BEGIN goes on.
      if (this.#owner !== undefined && this.#owner !== waiting.lease) continue
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
      if (waiting.nests) this.#owner = waiting.lease
      waiting.go()
    }
  }

  #wait(lease: object, nests: boolean): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX) return Promise.reject(new NestedTransactionOpenError(this.#resource, 0))
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined
      const waiting: Waiting = {
        nests,
        lease,
        go: () => {
          if (timer !== undefined) this.#clock.cancel(timer)
          resolve()
        },
      }
      this.#waiting.push(waiting)
      timer = this.#clock.after(NESTED_WAIT_MS, () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        reject(new NestedTransactionOpenError(this.#resource, NESTED_WAIT_MS))
      })
    })
  }
}
