import { assert } from '../base/index.ts'
import { higher, lower, offset } from './positions.ts'
import { type LogIndex, NO_INDEX, type Term, type WriteId } from './types.ts'

interface PendingWrite {
  readonly writeId: WriteId
  readonly term: Term
  /** The prefix of the PRESENT log that is durable once this write is. Shrinks when the log is cut. */
  lastIndex: LogIndex
}

/**
 * Knows which prefix of the log is on disk.
 *
 * Writes complete in the order in which they were asked for, so a completion also speaks for all earlier ones.
 * An index alone would not do to match them: an entry written at index 7, cut off, and written anew at 7 by another
 * leader would be taken for durable when the FIRST write completes (ABA). So each write has a number of its own, and
 * cutting the log also cuts what the pending writes will prove.
 *
 * Invariants, checked by validate():
 * 1. Pending writes ascend by id and were all asked for after the last completed one.
 * 2. Neither durableIndex nor any pending write reaches behind the log's last entry.
 */
export class Durability {
  #durableIndex: LogIndex
  #lastWriteId = 0 as WriteId
  #completedWriteId = 0 as WriteId
  #pending: PendingWrite[] = []

  /** @param durableIndex the last entry found on disk at start-up */
  constructor(durableIndex: LogIndex) {
    this.#durableIndex = durableIndex
  }

  /** The end of the prefix of the present log that is on disk. */
  get durableIndex(): LogIndex {
    return this.#durableIndex
  }

  /** The id that the next write will have. */
  get nextWriteId(): WriteId {
    return (this.#lastWriteId + 1) as WriteId
  }

  /** True when this write and all earlier ones are on disk. */
  isCompleted(writeId: WriteId): boolean {
    return writeId <= this.#completedWriteId
  }

  /** Notes a write. `lastIndex` is the log's end with it, or NO_INDEX for a write without entries. */
  begin(term: Term, lastIndex: LogIndex): WriteId {
    this.#lastWriteId = this.nextWriteId
    this.#pending.push({ writeId: this.#lastWriteId, term, lastIndex })
    return this.#lastWriteId
  }

  /** The log lost `index` and everything behind it: no earlier write can prove more than what is left. */
  cutFrom(index: LogIndex): void {
    const left = offset(index, -1)
    this.#durableIndex = lower(this.#durableIndex, left)
    for (const write of this.#pending) write.lastIndex = lower(write.lastIndex, left)
  }

  /**
   * A durable snapshot covers everything up to `index`, whether the entries themselves were written or not: a restarted
   * node begins its log there when it finds less.
   */
  coverTo(index: LogIndex): void {
    this.#durableIndex = higher(this.#durableIndex, index)
  }

  /**
   * The whole log was discarded and begins anew after a durable snapshot at `index`. Writes of the old log may still be
   * reported, and prove nothing about what will be written behind the snapshot (ABA again).
   */
  beginAfter(index: LogIndex): void {
    this.#durableIndex = index
    for (const write of this.#pending) write.lastIndex = lower(write.lastIndex, index)
  }

  /** A write is durable. False when it is not one that we wait for (a duplicate, or of another term): nothing changes. */
  complete(writeId: WriteId, term: Term): boolean {
    const at = this.#pending.findIndex((write) => write.writeId === writeId)
    if (at < 0 || this.#pending[at]!.term !== term) return false
    for (const write of this.#pending.splice(0, at + 1))
      this.#durableIndex = higher(this.#durableIndex, write.lastIndex)
    this.#completedWriteId = writeId
    return true
  }

  /** @throws InvariantError when an invariant of this type does not hold */
  validate(lastIndex: LogIndex): void {
    assert(this.#durableIndex <= lastIndex, 'nothing behind the last entry is durable')
    let previous: number = this.#completedWriteId
    for (const write of this.#pending) {
      assert(write.writeId > previous && write.writeId <= this.#lastWriteId, 'pending writes ascend')
      assert(write.lastIndex <= lastIndex, 'no pending write reaches behind the last entry')
      assert(write.lastIndex >= NO_INDEX, 'an index is never negative')
      previous = write.writeId
    }
  }
}
