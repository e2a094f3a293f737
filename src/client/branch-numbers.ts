import { BRANCHES_MAX, type BranchId } from '../base/index.ts'

/** A call gets at most so many numbers when its caller does not say how many. */
const SHARE_MAX = 8

/**
 * The branch numbers that one part of a transaction may give out. Whoever begins a transaction has all 64; a called
 * service has those that its caller gave away with the call. So no two branches have one number, however many calls run
 * at the same time, and nobody needs to be asked.
 */
export class BranchNumbers {
  /** Those from here to `#end` were never given out. */
  #next = 0
  #end: number
  readonly #others: BranchId[]

  /** @param numbers left out: all of them */
  constructor(numbers?: readonly BranchId[]) {
    this.#end = numbers === undefined ? BRANCHES_MAX : 0
    this.#others = [...(numbers ?? [])].reverse()
  }

  /** How many are left. */
  get left(): number {
    return this.#end - this.#next + this.#others.length
  }

  /** The next number for a branch of one's own; undefined when none is left. */
  take(): BranchId | undefined {
    if (this.#next < this.#end) return this.#next++ as BranchId
    return this.#others.pop()
  }

  /** Numbers to give away with a call: `count`, or a share that leaves most of them here. Undefined: there are not so many. */
  share(count = Math.min(SHARE_MAX, Math.ceil(this.left / 4))): BranchId[] | undefined {
    if (count > this.left || count === 0) return undefined
    return Array.from({ length: count }, () =>
      this.#next < this.#end ? (--this.#end as BranchId) : this.#others.pop()!,
    )
  }

  /** Numbers of a call that has ended and did not use them. */
  giveBack(numbers: readonly BranchId[]): void {
    this.#others.push(...numbers)
  }
}
