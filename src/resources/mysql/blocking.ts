import { type Blocked, type BlockedSession, blocked, type LockedTable } from '../inspection.ts'
import { statementHead } from '../statement-head.ts'
import { errnoOf } from './errors.ts'
import type { Run } from './settle.ts'

type Row = Readonly<Record<string, unknown>>

/** What InnoDB's prepared transactions block, and of how many they are. */
export interface InnodbBlocking extends Blocked {
  /** How many transactions InnoDB has prepared. A branch that wrote nothing is none of them. */
  readonly prepared: number
  /** Sessions that prepared one of them and are still connected. In MariaDB nobody else can end that branch meanwhile. */
  readonly owners: readonly number[]
}

/** ER_SPECIFIC_ACCESS_DENIED_ERROR, and ER_TABLEACCESS_DENIED_ERROR for performance_schema. */
const DENIED: ReadonlySet<number> = new Set([1227, 1142])

const TRANSACTIONS =
  'SELECT trx_id AS trx_id, trx_mysql_thread_id AS thread, trx_tables_locked AS tables FROM information_schema.innodb_trx'

const SESSIONS = `SELECT t.trx_id AS trx_id, p.id AS id, p.user AS user, p.host AS host, p.info AS info,
  (UNIX_TIMESTAMP(NOW(6)) - UNIX_TIMESTAMP(t.trx_wait_started)) * 1000 AS waited
  FROM information_schema.innodb_trx t
  JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT'`

/** MariaDB shows a lock only while somebody waits for it. */
const MARIADB_WAITS = `SELECT w.requesting_trx_id AS waiter, w.blocking_trx_id AS holder, l.lock_type AS type,
  h.lock_mode AS mode, REPLACE(l.lock_table, '\`', '') AS name
  FROM information_schema.innodb_lock_waits w
  JOIN information_schema.innodb_locks l ON l.lock_id = w.requested_lock_id
  JOIN information_schema.innodb_locks h ON h.lock_id = w.blocking_lock_id`

const MYSQL_WAITS = `SELECT w.REQUESTING_ENGINE_TRANSACTION_ID AS waiter, w.BLOCKING_ENGINE_TRANSACTION_ID AS holder,
  l.LOCK_TYPE AS type, h.LOCK_MODE AS mode, CONCAT(l.OBJECT_SCHEMA, '.', l.OBJECT_NAME) AS name
  FROM performance_schema.data_lock_waits w
  JOIN performance_schema.data_locks l ON l.ENGINE_LOCK_ID = w.REQUESTING_ENGINE_LOCK_ID
  JOIN performance_schema.data_locks h ON h.ENGINE_LOCK_ID = w.BLOCKING_ENGINE_LOCK_ID`

const MYSQL_TABLES = `SELECT ENGINE_TRANSACTION_ID AS holder, LOCK_MODE AS mode,
  CONCAT(OBJECT_SCHEMA, '.', OBJECT_NAME) AS name FROM performance_schema.data_locks WHERE LOCK_TYPE = 'TABLE'`

/** What InnoDB's prepared transactions block; undefined when the user may not look. */
export async function innodbBlocking(run: Run, isMariadb: boolean): Promise<InnodbBlocking | undefined> {
  try {
    const prepared = await preparedTransactions(run)
    const waits = await run(isMariadb ? MARIADB_WAITS : MYSQL_WAITS)
    const held = waits.filter(({ holder }) => prepared.has(String(holder)))
    const sessions = waitingSessions(await run(SESSIONS), held)
    const locked = isMariadb ? held : (await run(MYSQL_TABLES)).filter(({ holder }) => prepared.has(String(holder)))
    const found = blocked(sessions, tablesOf(locked))
    const all = [...prepared.values()]
    const tableCount = Math.max(
      found.tableCount,
      all.reduce((sum, { tables }) => sum + tables, 0),
    )
    const owners = all.flatMap(({ thread }) => (thread === 0 ? [] : [thread]))
    return { ...found, tableCount, prepared: prepared.size, owners }
  } catch (error) {
    if (DENIED.has(errnoOf(error) ?? 0)) return undefined
    throw error
  }
}

/** Sessions that wait for a metadata lock. Of whom, neither server says without an optional plug-in or instrument. */
export async function metadataWaiters(run: Run): Promise<readonly number[]> {
  const rows = await run(
    "SELECT id AS id FROM information_schema.processlist WHERE state LIKE 'Waiting for % metadata lock' ORDER BY id",
  )
  return rows.map(({ id }) => Number(id))
}

/** Each prepared transaction by its trx_id, with the session that it belongs to (0: none) and the number of its locked tables. */
async function preparedTransactions(run: Run): Promise<ReadonlyMap<string, { thread: number; tables: number }>> {
  const status = String((await run('SHOW ENGINE INNODB STATUS'))[0]?.Status ?? '')
  const prepared = preparedInStatus(status)
  const rows = await run(TRANSACTIONS)
  return new Map(
    rows
      .filter(({ trx_id, thread }) => prepared.has(String(trx_id)) || Number(thread) === 0)
      .map(({ trx_id, thread, tables }) => [String(trx_id), { thread: Number(thread), tables: Number(tables) }]),
  )
}

/** Only this text tells a prepared transaction whose session lives from one that is at work. Exported for its test. */
export function preparedInStatus(status: string): ReadonlySet<string> {
  return new Set([...status.matchAll(/^---TRANSACTION (\d+), ACTIVE \(PREPARED\)/gm)].map(([, id]) => id ?? ''))
}

function waitingSessions(rows: readonly Row[], waits: readonly Row[]): readonly BlockedSession[] {
  return rows.flatMap((row): BlockedSession[] => {
    const wait = waits.find(({ waiter }) => String(waiter) === String(row.trx_id))
    if (wait === undefined) return []
    return [
      {
        id: Number(row.id),
        user: text(row.user),
        client: text(row.host),
        waitMs: row.waited === null ? undefined : Math.max(0, Number(row.waited)),
        waitsFor: `${wait.type === 'TABLE' ? 'table' : 'a row of'} ${String(wait.name)}`,
        behind: undefined,
        statement: statementHead(text(row.info)),
      },
    ]
  })
}

function tablesOf(locks: readonly Row[]): readonly LockedTable[] {
  const found = new Map(locks.map(({ name, mode }) => [String(name), String(mode)]))
  return [...found].map(([name, mode]) => ({ name, mode }))
}

function text(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value)
}
