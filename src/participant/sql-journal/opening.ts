import { InvalidOptionsError } from '../../client/index.ts'
import type { MysqlPool, MysqlSession, PostgresPool, PostgresSession } from '../../resources/index.ts'
import {
  LocalDatabase,
  type LocalDriver,
  mysqlLocalDriver,
  postgresLocalDriver,
  type Rows,
} from '../../resources/local/index.ts'
import type { Journal } from '../service/journal.ts'
import { type Dialect, mysqlDialect, postgresDialect } from './dialect.ts'
import { JournalUnusableError } from './errors.ts'
import { DEFAULT_TABLE, isTableName, SCHEMA_VERSION } from './schema.ts'
import type { JournalOwner, ServiceJournal } from './service-journal.ts'
import { SqlJournal } from './sql-journal.ts'

/** How a journal in a database behaves. */
export interface SqlJournalOptions {
  /** The table's name, plain or with a schema (`app.journal`); beside it stands one with `_meta` at the end. Default `concordat_journal`. */
  readonly table?: string
  /** Makes the tables at the start when they are missing. Default false: that belongs into a migration (`schema`). */
  readonly create?: boolean
  /**
   * The longest time of one local transaction, milliseconds: of a call's work, and of a handler with its row. Then its session
   * is closed, so a process that hangs gives its locks back. Default 30,000; `prepare` gets no more than its transaction has.
   */
  readonly localMs?: number
  /** How long the end of a branch is remembered, milliseconds, at least an hour. Transactions that take longer are refused. Default a day. */
  readonly rememberMs?: number
}

const LOCAL_MS = 30_000
const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
/** The longest time that a timer takes. */
const MS_MAX = 2 ** 31 - 1

/**
 * A journal in PostgreSQL, in one local transaction with the service's work there.
 *
 * @param pool a `pg` Pool or a postgres.js `sql` function; the application stays its owner and closes it after the participant
 * @throws InvalidOptionsError, DriverMissingError
 * @example
 * const journal = postgresJournal(pool)
 * await participant({ name: 'payments', …, journal, commit: ({ gid }, sql) => sql.query('update …', [gid]), … })
 */
export function postgresJournal<Pool extends PostgresPool>(
  pool: Pool,
  options: SqlJournalOptions = {},
): ServiceJournal<PostgresSession<Pool>> {
  return serviceJournal(postgresDialect(tableOf(options)), postgresLocalDriver(pool), options)
}

/**
 * A journal in MariaDB or MySQL (InnoDB), in one local transaction with the service's work there.
 *
 * @param pool a mysql2 pool, with promises or with callbacks; the application closes it after the participant
 * @throws InvalidOptionsError, DriverMissingError
 * @example
 * const journal = mysqlJournal(mysql2.createPool({ uri }))
 */
export function mysqlJournal<Pool extends MysqlPool>(
  pool: Pool,
  options: SqlJournalOptions = {},
): ServiceJournal<MysqlSession<Pool>> {
  return serviceJournal(mysqlDialect(tableOf(options)), mysqlLocalDriver(pool), options)
}

function tableOf({ table = DEFAULT_TABLE, create, localMs, rememberMs, ...unknown }: SqlJournalOptions): string {
  const [key] = Object.keys(unknown)
  if (key !== undefined) throw new InvalidOptionsError(key, 'left out: it is unknown', 'set')
  if (!isTableName(table)) {
    const rule = 'at most 48 letters, digits and _, with or without a schema before a dot'
    throw new InvalidOptionsError('table', rule, table)
  }
  checkMs('localMs', localMs, 1_000)
  checkMs('rememberMs', rememberMs, HOUR_MS)
  return table
}

function checkMs(key: string, given: unknown, min: number): void {
  if (given === undefined || (Number.isInteger(given) && Number(given) >= min && Number(given) <= MS_MAX)) return
  throw new InvalidOptionsError(key, `a whole number of milliseconds from ${min} to ${MS_MAX}`, given)
}

function serviceJournal<Sql>(
  dialect: Dialect,
  driver: LocalDriver<Sql>,
  { create = false, localMs = LOCAL_MS, rememberMs = DAY_MS }: SqlJournalOptions,
): ServiceJournal<Sql> {
  const open = async (owner: JournalOwner): Promise<Journal<Sql>> => {
    const database = new LocalDatabase(`the journal of ${owner.name}`, driver, owner.clock)
    const run = (...statements: string[]): Promise<Rows> => database.run(statements, localMs)
    if (create) await run(...dialect.create)
    await check(dialect, owner, run)
    return SqlJournal.open({ database, dialect, owner, localMs, rememberMs })
  }
  return { kind: driver.kind, schema: textOf(dialect), open }
}

async function check(dialect: Dialect, owner: JournalOwner, run: (sql: string) => Promise<Rows>): Promise<void> {
  const version = Number((await versionIn(dialect, run))[0]?.version)
  if (version !== SCHEMA_VERSION) {
    throw new JournalUnusableError(
      `the journal's tables are of version ${version}, and this release knows ${SCHEMA_VERSION}; use the release that made them, or a newer one`,
    )
  }
  const misfits = dialect.misfits === undefined ? [] : await run(dialect.misfits)
  if (misfits.length > 0) {
    const names = misfits.map(({ name, NAME }) => String(name ?? NAME)).join(', ')
    throw new JournalUnusableError(
      `${names} would forget votes at a crash: make it a logged table (PostgreSQL), or one of InnoDB (MySQL, MariaDB)`,
    )
  }
  for (const { name, value } of await run(dialect.settings.sql)) {
    const wanted = dialect.settings.wanted[String(name)]
    if (wanted === value) continue
    owner.logger.warn(
      { setting: name, value, wanted },
      'the database of the journal can lose votes when its machine crashes',
    )
  }
}

async function versionIn(dialect: Dialect, run: (sql: string) => Promise<Rows>): Promise<Rows> {
  try {
    await run(`SELECT gid, participant, state, txid_ms, due_ms, changed_ms FROM ${dialect.names.table} WHERE gid = ''`)
    return await run(`SELECT version, forgotten_ms FROM ${dialect.names.meta} WHERE one = 1`)
  } catch (thrown) {
    const { code, errno } = thrown as { readonly code?: string; readonly errno?: number }
    if (!dialect.missing.has(errno ?? '') && !dialect.missing.has(code ?? '')) throw thrown
    throw new JournalUnusableError(
      `the journal's tables can't be used: ${(thrown as Error).message}. Make them with this, or with the option create: true:\n${textOf(dialect)}`,
      { cause: thrown },
    )
  }
}

function textOf({ schema }: Dialect): string {
  return schema.map((statement) => `${statement};\n`).join('')
}
