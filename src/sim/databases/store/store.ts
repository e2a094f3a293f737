import { assert } from '../../../base/index.ts'
import type { Locks } from './locks.ts'
import { type Column, type Row, Table } from './table.ts'
import { StoreTransaction } from './transaction.ts'

/**
 * The rows of one database server. It stands for the server's disk too: what is committed or prepared survives a crash, and
 * `crash` takes back the rest.
 */
export class Store {
  readonly #tables = new Map<string, Table>()
  readonly #running = new Set<StoreTransaction>()
  #lastId: number
  #seq = 0
  #snapshots = 0

  /** @param firstId the number of the first transaction */
  constructor(firstId: number) {
    this.#lastId = firstId - 1
  }

  /** The number that the next transaction gets, at least. */
  get nextId(): number {
    return this.#lastId + 1
  }

  createTable(name: string, columns: readonly Column[], keyColumn: string | undefined): void {
    this.#tables.set(name, new Table(name, columns, keyColumn))
  }

  /** Puts committed rows into a table, without a statement. */
  load(name: string, rows: readonly Row[]): void {
    const table = this.#tables.get(name)
    assert(table !== undefined, 'rows are loaded into a table')
    for (const row of rows) table.placeFor(row).committed = { row, seq: this.#seq, previous: undefined }
  }

  table(name: string): Table | undefined {
    return this.#tables.get(name)
  }

  begin(): StoreTransaction {
    this.#lastId += 1
    const tx = new StoreTransaction(this.#lastId)
    this.#running.add(tx)
    return tx
  }

  /** From now on plain reads of `tx` see what is committed now. */
  takeSnapshot(tx: StoreTransaction): void {
    if (tx.snapshot !== undefined) return
    tx.snapshot = this.#seq
    this.#snapshots += 1
  }

  commit(tx: StoreTransaction, locks: Locks): void {
    this.#end(tx)
    this.#seq += 1
    for (const { cell } of tx.undos) {
      if (!cell.hasPending) continue
      const previous = this.#snapshots > 0 ? cell.committed : undefined
      cell.committed = { row: cell.pending, seq: this.#seq, previous }
      cell.hasPending = false
      cell.pending = undefined
    }
    locks.release(tx)
  }

  rollBack(tx: StoreTransaction, locks: Locks): void {
    this.#end(tx)
    tx.undoTo({ undos: 0, locks: 0 })
    locks.release(tx)
  }

  /** Everything that is neither committed nor prepared is gone. */
  crash(locks: Locks): void {
    locks.crash()
    for (const tx of this.#running) if (!tx.isPrepared) this.rollBack(tx, locks)
  }

  /** Committed rows of a table, in no order that means something. For checks: no statement is sent. */
  committedRows(name: string): Row[] {
    const rows: Row[] = []
    for (const { committed } of this.#tables.get(name)?.cells.values() ?? []) {
      if (committed?.row !== undefined) rows.push(committed.row)
    }
    return rows
  }

  /** Rows that somebody has locked, as `table/key`. */
  lockedRows(): string[] {
    const held: string[] = []
    for (const tx of this.#running) for (const { table, key } of tx.locked) held.push(`${table.name}/${key}`)
    return held
  }

  /** Transactions that are neither committed nor rolled back, prepared ones included. */
  get runningCount(): number {
    return this.#running.size
  }

  #end(tx: StoreTransaction): void {
    assert(!tx.isOver, 'a transaction ends once')
    assert(tx.waitsFor === undefined, 'a transaction does not end while one of its statements waits')
    tx.isOver = true
    this.#running.delete(tx)
    if (tx.snapshot !== undefined) this.#snapshots -= 1
  }
}
