import { type LockWait, sessionNumbers } from '../lock-waits.ts'
import type { Reply } from './driver.ts'

type Run = (sql: string) => Promise<Reply>

/**
 * A wait's name: the transaction in its session (a virtual id is never used twice between two starts of the server), what it waits
 * for, and since when (`waitstart` came with 14). Everybody may read pg_locks, so this needs no right.
 */
const WAIT = `concat_ws('/', l.virtualtransaction, l.locktype, l.database, l.relation, l.page, l.tuple,
  l.virtualxid, l.transactionid, l.classid, l.objid, l.objsubid, to_jsonb(l) ->> 'waitstart')`

/** Which of these backends wait, and for whom, and whoever stands between them. In `pg_blocking_pids` 0 is a prepared transaction. */
export async function postgresLockWaits(run: Run, sessions: readonly string[]): Promise<readonly LockWait[]> {
  const pids = sessionNumbers(sessions)
  if (pids.length === 0) return []
  const { rows } = await run(
    `WITH RECURSIVE found AS (
      SELECT l.pid, ${WAIT} AS wait, pg_blocking_pids(l.pid) AS blockers
        FROM pg_locks l WHERE NOT l.granted AND l.pid = ANY ('{${pids.join(',')}}'::int[])
      UNION
      SELECT l.pid, ${WAIT}, pg_blocking_pids(l.pid)
        FROM found CROSS JOIN unnest(found.blockers) AS blocker JOIN pg_locks l ON l.pid = blocker AND NOT l.granted)
      SELECT pid::text AS session, wait, array_to_string(blockers, ',') AS blockers FROM found`,
  )
  return rows.map(({ session, wait, blockers }) => ({
    session: String(session),
    wait: String(wait),
    blockers: [...new Set(String(blockers).split(','))].filter((pid) => pid !== '' && pid !== '0'),
  }))
}

/**
 * Cancels the statement, unless its wait is over. The server looks and cancels in one statement; but between the two a lock may be
 * granted, and on a busy machine the session may have begun other work by then. See `LockWaitPort.cancel`.
 */
export async function cancelPostgresWait(run: Run, { session, wait }: LockWait): Promise<boolean> {
  const [pid] = sessionNumbers([session])
  if (pid === undefined) return false
  const { rows } = await run(
    `SELECT pg_cancel_backend(l.pid) AS cancelled FROM pg_locks l
      WHERE NOT l.granted AND l.pid = ${pid} AND ${WAIT} = '${wait.replaceAll("'", "''")}'`,
  )
  return rows.length > 0
}
