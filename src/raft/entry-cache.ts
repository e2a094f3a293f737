import { assert } from '../base/index.ts'
import { entryBytes, offset } from './positions.ts'
import { type Entry, EntryKind, type LogIndex, NO_INDEX, NO_TERM } from './types.ts'

/** Takes the place of evicted entries, so that their bytes are free at once and not only when the array is trimmed. */
const EVICTED: Entry = { term: NO_TERM, index: NO_INDEX, kind: EntryKind.noop, data: new Uint8Array(0) }

/** Evicted places are cut off the array when there are so many of them, and more than live ones. */
const EVICTED_PLACES_MAX = 1024

/**
 * The newest entries of the log, in memory: firstIndex … the log's last index, without a gap.
 *
 * Invariants, checked by validate():
 * 1. The entries are consecutive and begin at firstIndex.
 * 2. `bytes` is what they count together.
 */
export class EntryCache {
  #places: Entry[] = []
  /** The position of firstIndex among the places; those before it are evicted. */
  #head = 0
  #firstIndex: LogIndex
  #bytes = 0

  /** @param firstIndex the index that the first appended entry will have */
  constructor(firstIndex: LogIndex) {
    this.#firstIndex = firstIndex
  }

  /** The lowest index in memory; the one after the log's last when the cache is empty. */
  get firstIndex(): LogIndex {
    return this.#firstIndex
  }

  /** What the cached entries count, by `entryBytes`. */
  get bytes(): number {
    return this.#bytes
  }

  /** Where the next entry goes. */
  get endIndex(): LogIndex {
    return offset(this.#firstIndex, this.#places.length - this.#head)
  }

  append(entry: Entry): void {
    assert(entry.index === this.endIndex, 'cached entries are consecutive')
    this.#places.push(entry)
    this.#bytes += entryBytes(entry)
  }

  /** Entries `from` … `to`, both cached. */
  slice(from: LogIndex, to: LogIndex): Entry[] {
    assert(from >= this.#firstIndex && to < this.endIndex, 'only cached entries can be taken from the cache')
    return this.#places.slice(this.#position(from), this.#position(to) + 1)
  }

  /** The last index up to `to` that fits `bytesMax` when sent from `from` on; `from` itself always does. */
  fitting(from: LogIndex, to: LogIndex, bytesMax: number): LogIndex {
    assert(from >= this.#firstIndex && to < this.endIndex, 'only cached entries can be measured')
    let position = this.#position(from)
    let bytes = entryBytes(this.#places[position]!)
    const end = this.#position(to)
    while (position < end) {
      bytes += entryBytes(this.#places[position + 1]!)
      if (bytes > bytesMax) break
      position++
    }
    return offset(from, position - this.#position(from))
  }

  /** Drops `index` and everything behind it. When even firstIndex goes, the next entry will be `index`. */
  truncateFrom(index: LogIndex): void {
    while (this.endIndex > index && this.#places.length > this.#head) this.#bytes -= entryBytes(this.#places.pop()!)
    if (this.#firstIndex > index) this.#firstIndex = index
  }

  /** Drops the oldest entries while more than `bytesMax` are cached, but none behind `through`. */
  evict(through: LogIndex, bytesMax: number): void {
    while (this.#bytes > bytesMax && this.#firstIndex <= through && this.#head < this.#places.length) {
      this.#bytes -= entryBytes(this.#places[this.#head]!)
      this.#places[this.#head] = EVICTED
      this.#head++
      this.#firstIndex = offset(this.#firstIndex, 1)
    }
    // Trimming only when most places are evicted makes it O(1) for each entry in the long run.
    if (this.#head > EVICTED_PLACES_MAX && this.#head * 2 > this.#places.length) {
      this.#places = this.#places.slice(this.#head)
      this.#head = 0
    }
  }

  /** @throws InvariantError when an invariant of this type does not hold */
  validate(): void {
    let bytes = 0
    for (let position = this.#head; position < this.#places.length; position++) {
      const entry = this.#places[position]!
      assert(this.#position(entry.index) === position, 'cached entries are consecutive')
      bytes += entryBytes(entry)
    }
    assert(bytes === this.#bytes, 'the bytes of the cache are counted right')
  }

  #position(index: LogIndex): number {
    return index - this.#firstIndex + this.#head
  }
}
