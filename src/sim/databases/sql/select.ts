import type { Row, Table, Value } from '../store/index.ts'
import { columnsIn, evaluate, isTrue } from './evaluate.ts'
import { checkColumns, type Execution, lockMatching, matching, sortRows, tableOf } from './matching.ts'
import { type Expression, type Select, type SelectItem, SqlError } from './syntax.ts'

const AGGREGATES = new Set(['count', 'sum'])

/** Rows of a SELECT. @throws SqlError, LockError */
export async function select(statement: Select, run: Execution): Promise<readonly Row[]> {
  const { from, items } = statement
  if (from === undefined) {
    checkColumns(
      undefined,
      items.map(({ expression }) => expression),
    )
    return [project(items, undefined, undefined, run)]
  }
  const view = run.view(from)
  const table = view === undefined ? tableOf(from, run) : undefined
  if (table !== undefined) checkColumns(table, [statement.where, ...items.map(({ expression }) => expression)])
  const rows = view === undefined ? await rowsOf(table!, statement, run) : viewRows(view, statement, run)
  if (items.some(({ expression }) => isAggregate(expression))) return [aggregate(items, rows, run)]
  const sorted = statement.orderBy === undefined ? rows : sortRows([...rows], statement.orderBy)
  const limited = statement.limit === undefined ? sorted : sorted.slice(0, statement.limit)
  return limited.map((row) => project(items, row, table, run))
}

async function rowsOf(table: Table, { where, lock }: Select, run: Execution): Promise<readonly Row[]> {
  const latest = lock !== 'none'
  const cells = latest ? await lockMatching(table, where, run, lock === 'noWait') : matching(table, where, run, false)
  return cells.map((cell) => run.tx.sees(cell, latest)!)
}

function viewRows(view: readonly Row[], { where }: Select, run: Execution): readonly Row[] {
  return where === undefined ? view : view.filter((row) => isTrue(evaluate(where, row, run)))
}

function project(items: readonly SelectItem[], row: Row | undefined, table: Table | undefined, run: Execution): Row {
  const made: Record<string, Value> = {}
  for (const { expression, alias, text } of items) {
    if (expression === undefined) {
      for (const [name, value] of Object.entries(row ?? {})) made[name] = widened(name, value, table, run)
    } else {
      const value = evaluate(expression, row, run)
      const name = alias ?? run.nameOf(text, expression)
      made[name] = expression.kind === 'column' ? widened(expression.name, value, table, run) : value
    }
  }
  return made
}

function widened(name: string, value: Value, table: Table | undefined, run: Execution): Value {
  if (typeof value !== 'number' || table === undefined) return value
  return table.columns.some((column) => column.name === name && column.type === 'bigint') ? run.wide(value) : value
}

function isAggregate(expression: Expression | undefined): boolean {
  if (expression?.kind === 'cast') return isAggregate(expression.of)
  return expression?.kind === 'call' && AGGREGATES.has(expression.name)
}

function aggregate(items: readonly SelectItem[], rows: readonly Row[], run: Execution): Row {
  const made: Record<string, Value> = {}
  for (const { expression, alias, text } of items) {
    const cast = expression?.kind === 'cast'
    const inner = cast ? expression.of : expression
    if (inner?.kind !== 'call' || !AGGREGATES.has(inner.name)) throw new SqlError('syntax', text)
    const name = alias ?? run.nameOf(text, inner)
    if (inner.name === 'count') made[name] = cast ? rows.length : run.wide(rows.length)
    else {
      const sum = sumOf(inner.args[0]!, rows, run)
      made[name] = sum === null || cast ? sum : run.decimal(sum)
    }
  }
  return made
}

/** The sum of no rows is NULL. */
function sumOf(argument: Expression, rows: readonly Row[], run: Execution): number | null {
  if (columnsIn(argument).length === 0) throw new SqlError('syntax', 'sum of what?')
  if (rows.length === 0) return null
  return rows.reduce((sum, row) => sum + Number(evaluate(argument, row, run)), 0)
}
