import type { Entry, LogIndex } from '../raft/index.ts'
import type { StoredRecord } from '../wal/index.ts'
import type { EntryIndex } from './entry-index.ts'
import { decodeEntries } from './records.ts'

/** One `load` under way: picks the wanted entries out of the records that pass by. */
export class EntryLoad {
  readonly entries: Entry[] = []
  readonly #index: EntryIndex
  readonly #from: LogIndex
  readonly #to: LogIndex
  #row: number
  #bytesLeft: number

  constructor(index: EntryIndex, row: number, from: LogIndex, to: LogIndex, bytesMax: number) {
    this.#index = index
    this.#row = row
    this.#from = from
    this.#to = to
    this.#bytesLeft = bytesMax
  }

  /** False: enough. */
  visit(record: StoredRecord): boolean {
    // The log was cut at either end while the disk was read.
    if (this.#row >= this.#index.endRow || this.#row < this.#index.firstRow) return false
    // Between the records that count lie others: hard states, peers, and entries that were overwritten later.
    if (record.position !== this.#index.positionAt(this.#row)) return true
    this.#row++
    const end = this.#row < this.#index.endRow ? this.#index.firstIndexAt(this.#row) - 1 : this.#to
    const last = Math.min(end, this.#to)
    decodeEntries(record.payload, (entry) => {
      if (entry.index >= this.#from && entry.index <= last) this.#take(entry)
    })
    return this.#bytesLeft > 0 && last < this.#to
  }

  #take(entry: Entry): void {
    if (this.#bytesLeft <= 0) return
    this.#bytesLeft -= entry.data.length
    this.entries.push(entry)
  }
}
