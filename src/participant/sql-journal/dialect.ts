import { mysqlSchema, postgresSchema, type TableNames, tableNames } from './schema.ts'

/** A row that is to be there, unless one is. */
export interface NewRow {
  readonly gid: string
  readonly participant: string
  readonly state: string
  readonly txidMs: number
  readonly dueInMs: number
}

/**
 * The journal's statements. Values stand in their text: ids, names and states are made of plain characters, which was checked
 * when they were made, and the rest are numbers.
 */
export interface Dialect {
  readonly names: TableNames
  readonly schema: readonly string[]
  /** The same, for instances that start at the same time. */
  readonly create: readonly string[]
  /** Makes the row, or waits for whoever makes it, or leaves what is there. */
  insert(row: NewRow): string
  /** The database's clock, milliseconds since 1970: instances may disagree about the time. */
  readonly now: string
  /** What a crash could lose here, as rows of `name` and `value`, and how each should be. */
  readonly settings: { readonly sql: string; readonly wanted: Readonly<Record<string, string>> }
  /** A row for each table that does not belong into a journal. */
  readonly misfits: string | undefined
  /** Codes of errors that say: there is no such table, or no right to it. */
  readonly missing: ReadonlySet<string | number>
}

const VALUES = (row: NewRow, now: string): string =>
  `('${row.gid}', '${row.participant}', '${row.state}', ${row.txidMs}, ${now} + ${Math.ceil(row.dueInMs)}, ${now})`
const COLUMNS = '(gid, participant, state, txid_ms, due_ms, changed_ms)'

export function postgresDialect(table: string): Dialect {
  const names = tableNames(table, '"')
  const schema = postgresSchema(names)
  // IF NOT EXISTS alone fails when two look at the same time.
  const lock = `SELECT pg_advisory_xact_lock(hashtext('concordat journal'))`
  const now = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'
  return {
    names,
    schema,
    create: ['BEGIN', lock, ...schema, 'COMMIT'],
    insert: (row) => `INSERT INTO ${names.table} ${COLUMNS} VALUES ${VALUES(row, now)} ON CONFLICT DO NOTHING`,
    now,
    settings: {
      sql: "SELECT name, setting AS value FROM pg_settings WHERE name IN ('fsync', 'full_page_writes')",
      wanted: { fsync: 'on', full_page_writes: 'on' },
    },
    misfits: `SELECT relname AS name FROM pg_class WHERE oid IN ('${names.table}'::regclass, '${names.meta}'::regclass) AND relpersistence <> 'p'`,
    missing: new Set(['42P01', '3F000', '42501', '42703']),
  }
}

export function mysqlDialect(table: string): Dialect {
  const names = tableNames(table, '`')
  const now = 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)'
  const [schema, plain] = table.includes('.') ? table.split('.') : [undefined, table]
  const database = schema === undefined ? 'DATABASE()' : `'${schema}'`
  return {
    names,
    schema: mysqlSchema(names),
    create: mysqlSchema(names),
    // INSERT IGNORE would take a shared lock on the row that is there; two that have it never get the exclusive one.
    insert: (row) =>
      `INSERT INTO ${names.table} ${COLUMNS} VALUES ${VALUES(row, now)} ON DUPLICATE KEY UPDATE gid = ${names.table}.gid`,
    now,
    settings: {
      sql: "SELECT 'innodb_flush_log_at_trx_commit' AS name, CAST(@@innodb_flush_log_at_trx_commit AS CHAR) AS value",
      wanted: { innodb_flush_log_at_trx_commit: '1' },
    },
    misfits: `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ${database} AND table_name IN ('${plain}', '${plain}_meta') AND engine <> 'InnoDB'`,
    missing: new Set([1146, 1049, 1142, 1044, 1054]),
  }
}
