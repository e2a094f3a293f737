import type { StoreTransaction } from './transaction.ts'

/** What a column holds. Integers are JavaScript numbers: the workloads' sums stay far below 2^53. */
export type Value = string | number | boolean | null

/** A row. Never changed once it is stored: an update stores another. */
export type Row = Readonly<Record<string, Value>>

export type ColumnType = 'int' | 'bigint' | 'text'

/** A committed state of a row. `row` is undefined where the row does not exist. */
export interface Version {
  readonly row: Row | undefined
  /** The commit that made it. */
  readonly seq: number
  /** Kept only while a snapshot may need it. */
  readonly previous: Version | undefined
}

/**
 * The place of one row: what is committed, what its writer has not committed yet, and who waits.
 *
 * 1. Only the holder of the lock has a pending row.
 * 2. Nobody waits where nobody holds.
 */
export class Cell {
  readonly table: Table
  readonly key: string | number
  committed: Version | undefined
  holder: StoreTransaction | undefined
  hasPending = false
  /** Meaningful only with `hasPending`; undefined: deleted. */
  pending: Row | undefined
  readonly waiters: StoreTransaction[] = []

  constructor(table: Table, key: string | number) {
    this.table = table
    this.key = key
  }
}

export interface Column {
  readonly name: string
  readonly type: ColumnType
}

/** A table with at most one unique column. Rows of a table without one have hidden numbers for keys. */
export class Table {
  readonly name: string
  readonly columns: readonly Column[]
  readonly keyColumn: string | undefined
  readonly cells = new Map<string | number, Cell>()
  #nextRowId = 1

  constructor(name: string, columns: readonly Column[], keyColumn: string | undefined) {
    this.name = name
    this.columns = columns
    this.keyColumn = keyColumn
  }

  /** The place of the row with this key, made when it is missing: an absent row can be locked too. */
  cell(key: string | number): Cell {
    const known = this.cells.get(key)
    if (known !== undefined) return known
    const cell = new Cell(this, key)
    this.cells.set(key, cell)
    return cell
  }

  /** The place of a row about to be inserted. */
  placeFor(row: Row): Cell {
    if (this.keyColumn === undefined) return this.cell(this.#nextRowId++)
    return this.cell(row[this.keyColumn] as string | number)
  }

  /** Drops a place that holds nothing. */
  tidy(cell: Cell): void {
    if (cell.committed?.row === undefined && cell.holder === undefined) this.cells.delete(cell.key)
  }
}
