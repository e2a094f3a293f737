import { assert } from '../base/index.ts'
import type { LogIndex } from '../raft/index.ts'
import type { Position } from '../wal/index.ts'

/** Rows of one chunk: growing by chunks never copies, and never needs twice the room. */
const CHUNK_ROWS = 16_384

interface Chunk {
  readonly firstIndexes: Float64Array
  readonly positions: Float64Array
}

/**
 * Where each entry lies in the durable log: one row of 16 bytes for each record of entries, so a million entries
 * that were written one by one take 16 MB, and batched ones far less.
 *
 * 1. First indexes ascend strictly: a record holds the entries from its first index up to the next row's.
 * 2. A record whose end was overwritten (Raft §5.3) keeps its row; what it holds beyond is cut off by rule 1.
 */
export class EntryIndex {
  readonly #chunks: Chunk[] = []
  #rows = 0

  /** Records known. */
  get rows(): number {
    return this.#rows
  }

  /** Notes that a record at `position` begins with entry `firstIndex`. Rows at or behind that index are forgotten. */
  put(firstIndex: LogIndex, position: Position): void {
    this.#truncateFrom(firstIndex)
    const row = this.#rows
    if (row === this.#chunks.length * CHUNK_ROWS) {
      this.#chunks.push({
        firstIndexes: new Float64Array(CHUNK_ROWS),
        positions: new Float64Array(CHUNK_ROWS),
      })
    }
    const chunk = this.#chunkOf(row)
    chunk.firstIndexes[row % CHUNK_ROWS] = firstIndex
    chunk.positions[row % CHUNK_ROWS] = position
    this.#rows = row + 1
  }

  /** The row of the record that holds `index`, or -1 when the log begins after it. */
  rowOf(index: LogIndex): number {
    let low = 0
    let high = this.#rows
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.firstIndexAt(middle) <= index) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  firstIndexAt(row: number): LogIndex {
    assert(row >= 0 && row < this.#rows, 'a row of the entry index exists')
    return this.#chunkOf(row).firstIndexes[row % CHUNK_ROWS] as LogIndex
  }

  positionAt(row: number): Position {
    assert(row >= 0 && row < this.#rows, 'a row of the entry index exists')
    return this.#chunkOf(row).positions[row % CHUNK_ROWS] as Position
  }

  #chunkOf(row: number): Chunk {
    return this.#chunks[Math.floor(row / CHUNK_ROWS)]!
  }

  #truncateFrom(index: LogIndex): void {
    while (this.#rows > 0 && this.firstIndexAt(this.#rows - 1) >= index) this.#rows--
    const needed = Math.ceil(this.#rows / CHUNK_ROWS)
    // One empty chunk is kept: a truncation at a chunk's border must not allocate again and again.
    if (this.#chunks.length > needed + 1) this.#chunks.length = needed + 1
  }
}
