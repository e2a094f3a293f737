import type { Cell, Row, Value } from '../store/index.ts'
import { evaluate } from './evaluate.ts'
import { checkColumns, coerce, type Execution, lockMatching, tableOf } from './matching.ts'
import { select } from './select.ts'
import { SqlError, type Statement } from './syntax.ts'

export interface Result {
  readonly command: 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE' | 'CREATE TABLE'
  /** Rows returned or changed. */
  readonly count: number
  readonly rows: readonly Row[]
}

/** Carries out one statement. @throws SqlError, LockError */
export async function execute(statement: Statement, run: Execution): Promise<Result> {
  switch (statement.kind) {
    case 'select': {
      const rows = await select(statement, run)
      return { command: 'SELECT', count: rows.length, rows }
    }
    case 'insert':
      return changed('INSERT', await insert(statement, run))
    case 'update':
      return changed('UPDATE', await update(statement, run))
    case 'delete':
      return changed('DELETE', await remove(statement, run))
    case 'createTable':
      return createTable(statement, run)
  }
}

async function insert(statement: Statement & { kind: 'insert' }, run: Execution): Promise<number> {
  const table = tableOf(statement.table, run)
  const columns = statement.columns ?? table.columns.map(({ name }) => name)
  for (const name of columns) {
    if (!table.columns.some((column) => column.name === name)) throw new SqlError('noColumn', name)
  }
  for (const values of statement.rows) {
    if (values.length > columns.length) throw new SqlError('syntax', 'more values than columns')
    const row: Record<string, Value> = {}
    for (const { name } of table.columns) row[name] = null
    for (const [index, expression] of values.entries()) {
      const name = columns[index]!
      row[name] = coerce(table, name, evaluate(expression, undefined, run))
    }
    const cell = table.placeFor(row)
    if (run.findsLockedDuplicates && isThere(cell)) throw new SqlError('duplicateKey', String(cell.key))
    await run.locks.take(run.tx, cell, false)
    if (run.tx.sees(cell, true) !== undefined) throw new SqlError('duplicateKey', String(cell.key))
    run.tx.write(cell, row)
  }
  return statement.rows.length
}

/** It is committed, and nobody is about to change that. */
function isThere({ committed, hasPending }: Cell): boolean {
  return committed?.row !== undefined && !hasPending
}

async function update(statement: Statement & { kind: 'update' }, run: Execution): Promise<number> {
  const table = tableOf(statement.table, run)
  checkColumns(table, [statement.where, ...statement.sets.map(([, expression]) => expression)])
  for (const [name] of statement.sets) {
    if (!table.columns.some((column) => column.name === name)) throw new SqlError('noColumn', name)
    if (name === table.keyColumn) throw new SqlError('syntax', 'a key is never changed here')
  }
  const cells = await lockMatching(table, statement.where, run, false)
  for (const cell of cells) {
    const before = run.tx.sees(cell, true)!
    const after: Record<string, Value> = { ...before }
    for (const [name, expression] of statement.sets)
      after[name] = coerce(table, name, evaluate(expression, before, run))
    run.tx.write(cell, after)
  }
  return cells.length
}

async function remove(statement: Statement & { kind: 'delete' }, run: Execution): Promise<number> {
  const table = tableOf(statement.table, run)
  checkColumns(table, [statement.where])
  const cells = await lockMatching(table, statement.where, run, false)
  for (const cell of cells) run.tx.write(cell, undefined)
  return cells.length
}

function createTable(statement: Statement & { kind: 'createTable' }, run: Execution): Result {
  const { table, ifNotExists, columns, keyColumn } = statement
  if (run.store.table(table) === undefined) run.store.createTable(table, columns, keyColumn)
  else if (!ifNotExists) throw new SqlError('tableExists', table)
  return changed('CREATE TABLE', 0)
}

function changed(command: Result['command'], count: number): Result {
  return { command, count, rows: [] }
}
