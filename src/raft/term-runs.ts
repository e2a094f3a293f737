import { assert } from '../base/index.ts'
import { offset } from './positions.ts'
import type { LogIndex, Term, TermRun } from './types.ts'

/**
 * The term of every entry of the log, as runs of equal terms. Terms never decrease along a log (§5.3), so a log of
 * millions of entries has as many runs as it had leaders: consistency checks and backtracking never touch the disk.
 *
 * Invariants, checked by validate():
 * 1. The first run, if any, begins right after the base.
 * 2. First indexes and terms both ascend strictly.
 */
export class TermRuns {
  readonly #runs: TermRun[]
  #baseIndex: LogIndex
  #baseTerm: Term

  constructor(baseIndex: LogIndex, baseTerm: Term, runs: readonly TermRun[]) {
    this.#baseIndex = baseIndex
    this.#baseTerm = baseTerm
    this.#runs = [...runs]
    this.validate()
  }

  /** The term at `index`, which must lie between the base and the last entry. */
  termAt(index: LogIndex): Term {
    if (index === this.#baseIndex) return this.#baseTerm
    const runs = this.#runs
    // Nearly every question is about the newest term.
    const last = runs[runs.length - 1]
    if (last !== undefined && index >= last.firstIndex) return last.term
    const at = this.#lastRunWhere((run) => run.firstIndex <= index)
    assert(at >= 0, 'the term of an entry below the log was asked for: its follower needs a snapshot')
    return runs[at]!.term
  }

  /** Notes an entry of `term` at `index`, the one after the last. */
  append(index: LogIndex, term: Term): void {
    const last = this.#runs[this.#runs.length - 1]
    if (last !== undefined && last.term === term) return
    assert(last === undefined ? term >= this.#baseTerm : term > last.term, 'terms never decrease along a log')
    this.#runs.push({ term, firstIndex: index })
  }

  /** Forgets `index` and everything behind it. */
  truncateFrom(index: LogIndex): void {
    const runs = this.#runs
    while (runs.length > 0 && runs[runs.length - 1]!.firstIndex >= index) runs.pop()
  }

  /** Forgets everything up to `through`, which becomes the base. `lastIndex` is the end of the log. */
  compactTo(through: LogIndex, lastIndex: LogIndex): void {
    const term = this.termAt(through)
    const runs = this.#runs
    // The run that goes on behind `through` keeps that part, if there is one.
    const goesOn = this.#lastRunWhere((run) => run.firstIndex <= offset(through, 1))
    if (through === lastIndex || goesOn < 0) runs.length = 0
    else runs.splice(0, goesOn + 1, { term: runs[goesOn]!.term, firstIndex: offset(through, 1) })
    this.#baseIndex = through
    this.#baseTerm = term
  }

  /**
   * The highest index at or below `index` whose term is `term` or less; the base when there is none.
   * One question of this kind on each side skips a whole run of conflicting terms (§5.3, end).
   */
  highestWithin(index: LogIndex, term: Term): LogIndex {
    const runs = this.#runs
    const at = this.#lastRunWhere((run) => run.firstIndex <= index && run.term <= term)
    if (at < 0) return this.#baseIndex
    const behind = runs[at + 1]
    return behind === undefined || behind.firstIndex > index ? index : offset(behind.firstIndex, -1)
  }

  /** @throws InvariantError when an invariant of this type does not hold */
  validate(): void {
    let term = this.#baseTerm
    let firstIndex = this.#baseIndex
    for (const [at, run] of this.#runs.entries()) {
      assert(at > 0 || run.firstIndex === offset(this.#baseIndex, 1), 'the first run begins right after the base')
      assert(run.firstIndex > firstIndex, 'runs ascend by index')
      // The base may have been the last entry of its term, or lie in the midst of it.
      assert(run.term > term || (at === 0 && run.term === term), 'runs ascend by term')
      term = run.term
      firstIndex = run.firstIndex
    }
  }

  /** The term of the last run, or that of the base. */
  get lastTerm(): Term {
    return this.#runs[this.#runs.length - 1]?.term ?? this.#baseTerm
  }

  /** The number of runs. */
  get count(): number {
    return this.#runs.length
  }

  /** The position of the last run for which `holds`, which must be true for a prefix of the runs; -1 for none. */
  #lastRunWhere(holds: (run: TermRun) => boolean): number {
    let low = 0
    let high = this.#runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (holds(this.#runs[middle]!)) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
