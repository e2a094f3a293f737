const KEPT = 256

/** How long the branches that were settled here had been in doubt: a count, and the latest few in milliseconds. */
export class RecentDoubts {
  #count = 0
  readonly #ms: number[] = []

  /** Branches settled since the start. */
  get count(): number {
    return this.#count
  }

  add(ms: number): void {
    this.#ms[this.#count % KEPT] = Math.round(ms)
    this.#count++
  }

  /** In no particular order. */
  recent(): readonly number[] {
    return [...this.#ms]
  }
}
