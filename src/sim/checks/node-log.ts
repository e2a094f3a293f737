import type { RecoveredState, SnapshotPosition } from '../../raft/index.ts'

/** The terms of one node's log, as the effects of its core tell. Starts anew with each run of the node. */
export class NodeLog {
  #baseIndex: number
  #baseTerm: number
  /** By index - baseIndex - 1. */
  #terms: number[] = []

  constructor({ baseIndex, baseTerm, termRuns, lastIndex }: RecoveredState) {
    this.#baseIndex = baseIndex
    this.#baseTerm = baseTerm
    for (const [i, { term, firstIndex }] of termRuns.entries()) {
      const end = termRuns[i + 1]?.firstIndex ?? lastIndex + 1
      for (let index: number = firstIndex; index < end; index++) this.#terms.push(term)
    }
  }

  get baseIndex(): number {
    return this.#baseIndex
  }

  /** Undefined: outside of the log. */
  termAt(index: number): number | undefined {
    if (index === this.#baseIndex) return this.#baseTerm
    return this.#terms[index - this.#baseIndex - 1]
  }

  /** Replaces this entry and all behind it (§5.3). */
  write(index: number, term: number): void {
    const at = index - this.#baseIndex - 1
    if (at < 0) return
    this.#terms.length = Math.min(this.#terms.length, at)
    this.#terms[at] = term
  }

  /** The log begins behind a snapshot; nothing of it is kept. */
  beginAt({ index, term }: SnapshotPosition): void {
    this.#terms = []
    this.#baseIndex = index
    this.#baseTerm = term
  }
}
