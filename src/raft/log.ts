import { assert } from '../base/index.ts'
import { EntryCache } from './entry-cache.ts'
import { offset } from './positions.ts'
import { TermRuns } from './term-runs.ts'
import type { Entry, LogIndex, RecoveredState, SnapshotPosition, Term } from './types.ts'

/**
 * The replicated log as Raft sees it: all its terms, and the bytes of its newest entries. Older bytes are on disk.
 * It begins after `baseIndex`, which is 0 at first; compaction moves it on, up to where a snapshot covers the log (§7).
 *
 * Invariants, checked by validate():
 * 1. baseIndex <= lastIndex, and the cache ends at lastIndex.
 * 2. The terms of cached entries are those of the runs.
 */
export class Log {
  #baseIndex: LogIndex
  #terms: TermRuns
  #cache: EntryCache
  #lastIndex: LogIndex

  constructor(recovered: RecoveredState) {
    this.#baseIndex = recovered.baseIndex
    this.#lastIndex = recovered.lastIndex
    this.#terms = new TermRuns(recovered.baseIndex, recovered.baseTerm, recovered.termRuns)
    this.#cache = new EntryCache(offset(recovered.lastIndex, 1))
    assert(recovered.lastIndex >= recovered.baseIndex, 'a log ends at or behind its base')
    assert((this.#terms.count === 0) === (recovered.lastIndex === recovered.baseIndex), 'runs cover the whole log')
  }

  /** The log begins after this entry. */
  get baseIndex(): LogIndex {
    return this.#baseIndex
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex
  }

  get lastTerm(): Term {
    return this.#terms.lastTerm
  }

  /** Entries below this index have to be loaded from disk. */
  get cachedFrom(): LogIndex {
    return this.#cache.firstIndex
  }

  /** The term at `index`, from the base to the last entry. */
  termAt(index: LogIndex): Term {
    assert(index <= this.#lastIndex, 'no term is known behind the last entry')
    return this.#terms.termAt(index)
  }

  /** True when there is an entry (or the base) of this term at this index (§5.3, the consistency check). */
  matches(index: LogIndex, term: Term): boolean {
    return index >= this.#baseIndex && index <= this.#lastIndex && this.#terms.termAt(index) === term
  }

  /** §5.4.1: whether a log that ends with this entry is at least as up to date as this one. */
  isUpToDate(lastLogIndex: LogIndex, lastLogTerm: Term): boolean {
    return lastLogTerm > this.lastTerm || (lastLogTerm === this.lastTerm && lastLogIndex >= this.#lastIndex)
  }

  /** The highest index at or below `index` whose term is `term` or less (§5.3, end). */
  highestWithin(index: LogIndex, term: Term): LogIndex {
    return this.#terms.highestWithin(index < this.#lastIndex ? index : this.#lastIndex, term)
  }

  /** Adds consecutive entries behind the last one. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#cache.append(entry)
      this.#terms.append(entry.index, entry.term)
      this.#lastIndex = entry.index
    }
  }

  /** Removes `index` and everything behind it. Whoever calls this has checked that nothing committed goes. */
  truncateFrom(index: LogIndex): void {
    assert(index > this.#baseIndex && index <= this.#lastIndex, 'only entries of the log can be removed')
    this.#cache.truncateFrom(index)
    this.#terms.truncateFrom(index)
    this.#lastIndex = offset(index, -1)
  }

  /** Forgets the entries up to `through`: the log begins after it from here on. A snapshot covers them (§7). */
  compactTo(through: LogIndex): void {
    assert(through > this.#baseIndex && through <= this.#lastIndex, 'only a prefix of the log can be compacted')
    this.#terms.compactTo(through, this.#lastIndex)
    this.#cache.evict(through, -1)
    this.#baseIndex = through
  }

  /** Forgets everything: an installed snapshot takes the place of the whole log (Figure 13, rule 7). */
  beginAfter(snapshot: SnapshotPosition): void {
    this.#baseIndex = snapshot.index
    this.#lastIndex = snapshot.index
    this.#terms = new TermRuns(snapshot.index, snapshot.term, [])
    this.#cache = new EntryCache(offset(snapshot.index, 1))
  }

  /** Cached entries from `from`, at most to `to` and `bytesMax`, but at least one. */
  slice(from: LogIndex, to: LogIndex, bytesMax: number): Entry[] {
    return this.#cache.slice(from, this.#cache.fitting(from, to, bytesMax))
  }

  /** Cached entries `from` … `to`, whatever their size. */
  sliceAll(from: LogIndex, to: LogIndex): Entry[] {
    return this.#cache.slice(from, to)
  }

  /** Frees the bytes of old entries up to `through`, oldest first, until `bytesMax` holds. */
  evict(through: LogIndex, bytesMax: number): void {
    if (this.#cache.bytes > bytesMax) this.#cache.evict(through, bytesMax)
  }

  /** @throws InvariantError when an invariant of this type does not hold */
  validate(): void {
    this.#terms.validate()
    this.#cache.validate()
    assert(this.#baseIndex <= this.#lastIndex, 'a log ends at or behind its base')
    assert(this.#cache.firstIndex > this.#baseIndex, 'nothing below the log is cached')
    assert(this.#cache.endIndex === offset(this.#lastIndex, 1), 'the cache ends where the log ends')
    if (this.#cache.firstIndex > this.#lastIndex) return
    for (const entry of this.#cache.slice(this.#cache.firstIndex, this.#lastIndex)) {
      assert(this.#terms.termAt(entry.index) === entry.term, 'the terms of cached entries are those of the runs')
    }
  }
}
