import { assert } from '../base/index.ts'
import { type LogIndex, NO_INDEX } from '../raft/index.ts'
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
 * 1. First indexes and positions ascend strictly: a record holds the entries from its first index up to the next row's.
 * 2. A record whose end was overwritten (Raft §5.3) keeps its row; what it holds beyond is cut off by rule 1.
 * 3. A row keeps its number when rows before it are dropped.
 */
export class EntryIndex {
  #chunks: Chunk[] = []
  /** How many chunks were dropped before the first one. */
  #droppedChunks = 0
  #firstRow = 0
  #endRow = 0

  /** The number of the first row. */
  get firstRow(): number {
    return this.#firstRow
  }

  /** The number behind the last row. */
  get endRow(): number {
    return this.#endRow
  }

  /** Notes that a record at `position` begins with entry `firstIndex`. Rows at or behind that index are forgotten. */
  put(firstIndex: LogIndex, position: Position): void {
    this.#truncateFrom(firstIndex)
    const row = this.#endRow
    if (row === (this.#droppedChunks + this.#chunks.length) * CHUNK_ROWS) {
      this.#chunks.push({
        firstIndexes: new Float64Array(CHUNK_ROWS),
        positions: new Float64Array(CHUNK_ROWS),
      })
    }
    const chunk = this.#chunkOf(row)
    chunk.firstIndexes[row % CHUNK_ROWS] = firstIndex
    chunk.positions[row % CHUNK_ROWS] = position
    this.#endRow = row + 1
  }

  /** The row of the record that holds `index`, or undefined when the rows begin after it. */
  rowOf(index: LogIndex): number | undefined {
    const behind = this.#firstRowWhere((row) => this.firstIndexAt(row) > index)
    return behind === this.#firstRow ? undefined : behind - 1
  }

  /** The first row whose record lies at or behind `position`; `endRow` when there is none. */
  rowFrom(position: Position): number {
    return this.#firstRowWhere((row) => this.positionAt(row) >= position)
  }

  firstIndexAt(row: number): LogIndex {
    return this.#chunkOf(row).firstIndexes[row % CHUNK_ROWS] as LogIndex
  }

  positionAt(row: number): Position {
    return this.#chunkOf(row).positions[row % CHUNK_ROWS] as Position
  }

  /** Forgets the rows before `row`. */
  dropBefore(row: number): void {
    assert(row >= this.#firstRow && row <= this.#endRow, 'a row of the entry index exists')
    this.#firstRow = row
    const dropped = Math.floor(row / CHUNK_ROWS) - this.#droppedChunks
    this.#chunks = this.#chunks.slice(dropped)
    this.#droppedChunks += dropped
  }

  /** Forgets all rows. */
  clear(): void {
    this.#truncateFrom(NO_INDEX)
  }

  #chunkOf(row: number): Chunk {
    const chunk = this.#chunks[Math.floor(row / CHUNK_ROWS) - this.#droppedChunks]
    assert(row >= this.#firstRow && chunk !== undefined, 'a row of the entry index exists')
    return chunk
  }

  /** `holds` is false for some first rows and true for all behind them. */
  #firstRowWhere(holds: (row: number) => boolean): number {
    let low = this.#firstRow
    let high = this.#endRow
    while (low < high) {
      const middle = (low + high) >>> 1
      if (holds(middle)) high = middle
      else low = middle + 1
    }
    return low
  }

  #truncateFrom(index: LogIndex): void {
    while (this.#endRow > this.#firstRow && this.firstIndexAt(this.#endRow - 1) >= index) this.#endRow--
    const needed = Math.ceil(this.#endRow / CHUNK_ROWS) - this.#droppedChunks
    // One empty chunk is kept: a truncation at a chunk's border must not allocate again and again.
    if (this.#chunks.length > needed + 1) this.#chunks.length = needed + 1
  }
}
