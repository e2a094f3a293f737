import { type ClusterId, type Gid, parseGid } from '../../base/index.ts'
import { type BranchInDoubt, type InDoubtReport, NOTHING_BLOCKED } from '../inspection.ts'
import { statementHead } from '../statement-head.ts'
import { blockedBy, type HeldLock, type Waiter } from './blocking.ts'
import type { Reply } from './driver.ts'

type Run = (sql: string) => Promise<Reply>
type Row = Reply['rows'][number]

const SLOTS = `SELECT current_setting('max_prepared_transactions')::int AS max,
  pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all`

const PREPARED = `SELECT gid, owner, database = current_database() AS here, transaction::text AS xid,
  (extract(epoch FROM clock_timestamp() - prepared) * 1000)::float8 AS age, age(transaction)::float8 AS xids,
  (SELECT coalesce(max(greatest(age(backend_xid), age(backend_xmin))), 0) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (datname = current_database() OR datname IS NULL))::float8 AS sessions_xids,
  (SELECT coalesce(max(greatest(age(xmin), age(catalog_xmin))), 0) FROM pg_replication_slots)::float8 AS slots_xids
  FROM pg_prepared_xacts`

const TAG = `concat_ws('/', l.locktype, coalesce(l.database::text, '-'), coalesce(l.relation::text, '-'),
  coalesce(l.page::text, '-'), coalesce(l.tuple::text, '-'), coalesce(l.virtualxid, '-'),
  coalesce(l.transactionid::text, '-'), coalesce(l.classid::text, '-'), coalesce(l.objid::text, '-'),
  coalesce(l.objsubid::text, '-'))`

/** Null where there is no table: format would make a text of it. */
const TABLE_NAME = `c.relnamespace::regnamespace || '.' || quote_ident(c.relname)`

/**
 * Locks without a pid are those of prepared transactions. Whose they are is told by the lock that each transaction has
 * on its own xid: `virtualtransaction` is `-1/<xid>` only after a restart of the server; before, it is that of the
 * session which prepared.
 */
const HELD = `WITH orphans AS (SELECT * FROM pg_locks WHERE pid IS NULL AND granted)
  SELECT x.transaction::text AS xid, ${TAG} AS tag, l.mode,
    CASE WHEN c.relkind IN ('r', 'p', 'm', 'f') AND c.relnamespace <> 'pg_catalog'::regnamespace
      THEN ${TABLE_NAME} END AS table_name
  FROM pg_prepared_xacts x
  JOIN orphans own ON own.locktype = 'transactionid' AND own.transactionid = x.transaction
  JOIN orphans l ON l.virtualtransaction = own.virtualtransaction
  LEFT JOIN pg_class c ON l.locktype = 'relation' AND c.oid = l.relation
  WHERE x.database = current_database()`

/** Who waits for a row's writer has locked that row's tuple before: that tells the table. `waitstart` came with 14. */
const WAITING = `SELECT l.pid, ${TAG} AS tag, l.mode, l.locktype, pg_blocking_pids(l.pid) AS blockers,
    (extract(epoch FROM clock_timestamp() - coalesce((to_jsonb(l) ->> 'waitstart')::timestamptz, a.query_start)) * 1000)::float8 AS waited,
    ${TABLE_NAME} AS relation,
    a.usename, a.application_name, a.client_addr::text AS address, a.query
  FROM pg_locks l
  JOIN pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database()
  LEFT JOIN pg_locks t ON t.pid = l.pid AND t.locktype = 'tuple' AND t.granted AND l.locktype = 'transactionid'
  LEFT JOIN pg_class c ON c.oid = coalesce(l.relation, t.relation)
  WHERE NOT l.granted`

/** The prepared branches of `cluster` in this database, and what they block. */
export async function inspectPostgres(run: Run, cluster: ClusterId): Promise<InDoubtReport> {
  const server = (await run(SLOTS)).rows[0] ?? {}
  const prepared = (await run(PREPARED)).rows
  const isIdle = prepared.length === 0
  const held = isIdle ? [] : (await run(HELD)).rows.map(toHeld)
  const waiters = isIdle ? [] : (await run(WAITING)).rows.map(toWaiter)
  const blocking = blockedBy(held, waiters)
  const branches = prepared.flatMap((row): BranchInDoubt[] => {
    const identity = row.here === true ? parseGid(String(row.gid)) : undefined
    if (identity === undefined || identity.cluster !== cluster) return []
    return [
      {
        gid: row.gid as Gid,
        ...identity,
        ageMs: Number(row.age),
        owner: String(row.owner),
        vacuum: { xids: Number(row.xids), isOldest: isOldest(row, prepared) },
        ...(blocking.get(String(row.xid)) ?? NOTHING_BLOCKED),
      },
    ]
  })
  const here = prepared.filter((row) => row.here === true).length
  return {
    branches,
    unattributed: NOTHING_BLOCKED,
    foreign: { here: here - branches.length, elsewhere: prepared.length - here },
    slots: { max: Number(server.max), used: prepared.length },
    notes: server.sees_all === true ? [] : [NOT_ALL_SEEN],
  }
}

const NOT_ALL_SEEN =
  "statements of other users' sessions are hidden from the coordinators' user; GRANT pg_read_all_stats shows them"

/** Whether nothing in this database holds vacuum back further. */
function isOldest(row: Row, prepared: readonly Row[]): boolean {
  const others = prepared.filter((other) => other.here === true).map(({ xids }) => Number(xids))
  return Number(row.xids) >= Math.max(Number(row.sessions_xids), Number(row.slots_xids), ...others)
}

function toHeld(row: Row): HeldLock {
  return {
    xid: String(row.xid),
    tag: String(row.tag),
    mode: String(row.mode),
    table: text(row.table_name),
  }
}

function toWaiter(row: Row): Waiter {
  const query = text(row.query)
  return {
    id: Number(row.pid),
    tag: String(row.tag),
    mode: String(row.mode),
    blockers: numbers(row.blockers),
    user: text(row.usename),
    client: text(row.application_name) ?? text(row.address),
    waitMs: row.waited === null ? undefined : Math.max(0, Number(row.waited)),
    waitsFor: waitsFor(String(row.locktype), text(row.relation)),
    statement: query === '<insufficient privilege>' ? undefined : statementHead(query),
  }
}

function waitsFor(locktype: string, relation: string | undefined): string {
  if (locktype === 'relation') return `table ${relation ?? '?'}`
  if (locktype === 'tuple' || locktype === 'transactionid')
    return relation === undefined ? 'the end of the branch (a row, or a key that it wrote)' : `a row of ${relation}`
  return `a lock (${locktype})${relation === undefined ? '' : ` of ${relation}`}`
}

/** Drivers give an integer[] as an array, or as its text `{1,2}`. */
function numbers(value: unknown): readonly number[] {
  if (Array.isArray(value)) return value.map(Number)
  return String(value ?? '')
    .split(/[{},]/)
    .filter((part) => part !== '')
    .map(Number)
}

function text(value: unknown): string | undefined {
  return value === null || value === undefined || value === '' ? undefined : String(value)
}
