import type { Cell, Locks, Row, Store, StoreTransaction, Table, Value } from '../store/index.ts'
import { columnsIn, compare, evaluate, isTrue, type Scope } from './evaluate.ts'
import { type Expression, SqlError } from './syntax.ts'

/** In what a statement runs, and how its database differs from others. */
export interface Execution extends Scope {
  readonly store: Store
  readonly locks: Locks
  readonly tx: StoreTransaction
  /** Rows of a view of the system; undefined: there is none of this name. */
  view(name: string): readonly Row[] | undefined
  /** Whether an INSERT finds its key taken although the row is locked (PostgreSQL), or waits for the lock first (InnoDB). */
  readonly findsLockedDuplicates: boolean
  /** How the driver hands out a whole number that may need 64 bits. */
  wide(value: number): Value
  /** How it hands out a sum. */
  decimal(value: number): Value
  /** The name of a column that has none. */
  nameOf(text: string, expression: Expression): string
}

/** The table of this name. @throws SqlError */
export function tableOf(name: string, { store }: Execution): Table {
  // A name with a database in front of it.
  const table = store.table(name) ?? store.table(name.slice(name.lastIndexOf('.') + 1))
  if (table === undefined) throw new SqlError('noTable', name)
  return table
}

/** Every expression must name columns of `table`, also when it has no rows. @throws SqlError */
export function checkColumns(table: Table | undefined, expressions: readonly (Expression | undefined)[]): void {
  for (const expression of expressions) {
    if (expression === undefined) continue
    for (const name of columnsIn(expression)) {
      if (table?.columns.some((column) => column.name === name) !== true) throw new SqlError('noColumn', name)
    }
  }
}

/** The places whose visible rows satisfy `where`; a condition on the key finds its row without looking at the others. */
export function matching(table: Table, where: Expression | undefined, run: Execution, latest: boolean): Cell[] {
  const found: Cell[] = []
  for (const cell of candidates(table, where, run)) {
    if (matches(cell, where, run, latest)) found.push(cell)
  }
  return found
}

function matches(cell: Cell, where: Expression | undefined, run: Execution, latest: boolean): boolean {
  const row = run.tx.sees(cell, latest)
  return row !== undefined && (where === undefined || isTrue(evaluate(where, row, run)))
}

/** Locks the rows that satisfy `where`. A row that changed while it was waited for is judged again by its newest state. */
export async function lockMatching(
  table: Table,
  where: Expression | undefined,
  run: Execution,
  noWait: boolean,
): Promise<Cell[]> {
  const locked: Cell[] = []
  for (const cell of matching(table, where, run, true)) {
    const waited = run.locks.take(run.tx, cell, noWait)
    if (waited !== undefined) {
      await waited
      if (!matches(cell, where, run, true)) continue
    }
    locked.push(cell)
  }
  return locked
}

function candidates(table: Table, where: Expression | undefined, run: Execution): Iterable<Cell> {
  const key = table.keyColumn === undefined ? undefined : keyIn(table.keyColumn, where, run)
  if (key === undefined || key === null) return [...table.cells.values()]
  const cell = table.cells.get(coerce(table, table.keyColumn!, key) as string | number)
  return cell === undefined ? [] : [cell]
}

/** The one value that a condition allows for the key. */
function keyIn(keyColumn: string, where: Expression | undefined, run: Execution): Value | undefined {
  if (where?.kind !== 'binary') return undefined
  if (where.operator === 'and') return keyIn(keyColumn, where.left, run) ?? keyIn(keyColumn, where.right, run)
  const { left, right, operator } = where
  if (operator !== '=' || left.kind !== 'column' || left.name !== keyColumn) return undefined
  return right.kind === 'literal' || right.kind === 'parameter' ? evaluate(right, undefined, run) : undefined
}

/** `value` as the column keeps it. @throws SqlError */
export function coerce(table: Table, name: string, value: Value): Value {
  if (value === null) return null
  const type = table.columns.find((column) => column.name === name)!.type
  if (type === 'text') return String(value)
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw new SqlError('badValue', String(value))
  return number
}

/** Rows in the order of a column. */
export function sortRows(rows: Row[], column: string): Row[] {
  return rows.sort((a, b) => compare(a[column] ?? null, b[column] ?? null))
}
