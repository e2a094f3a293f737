import { type LockWait, sessionNumbers } from '../lock-waits.ts'
import type { Run } from './settle.ts'

/**
 * Row locks of InnoDB. MariaDB gathers what these tables show anew only when nobody has read them for a tenth of a second: whoever asks
 * more often sees one old picture for ever. Who waits for a metadata lock (a table that is being altered) waits for somebody whom neither server names
 * without an optional plug-in or instrument.
 */
const MARIADB = `SELECT r.trx_mysql_thread_id AS session, b.trx_mysql_thread_id AS blocker,
  CONCAT_WS('/', r.trx_id, r.trx_wait_started, w.requested_lock_id) AS wait
  FROM information_schema.innodb_lock_waits w
  JOIN information_schema.innodb_trx r ON r.trx_id = w.requesting_trx_id
  JOIN information_schema.innodb_trx b ON b.trx_id = w.blocking_trx_id`

const MYSQL = `SELECT r.trx_mysql_thread_id AS session, b.trx_mysql_thread_id AS blocker,
  CONCAT_WS('/', r.trx_id, r.trx_wait_started, w.REQUESTING_ENGINE_LOCK_ID) AS wait
  FROM performance_schema.data_lock_waits w
  JOIN information_schema.innodb_trx r ON r.trx_id = w.REQUESTING_ENGINE_TRANSACTION_ID
  JOIN information_schema.innodb_trx b ON b.trx_id = w.BLOCKING_ENGINE_TRANSACTION_ID`

const WHICH = 'SELECT VERSION() AS version'

/** Which connections wait for a row, and for whom: all of them, since anybody may stand between two of ours. Needs PROCESS. */
export async function mysqlLockWaits(run: Run, sessions: readonly string[]): Promise<readonly LockWait[]> {
  if (sessionNumbers(sessions).length === 0) return []
  const sql = (await isMariadb(run)) ? MARIADB : MYSQL
  const found = new Map<string, { session: string; wait: string; blockers: Set<string> }>()
  for (const row of await run(sql)) {
    const [session, blocker, wait] = [row.session, row.blocker, row.wait].map(String) as [string, string, string]
    const known = found.get(session) ?? { session, wait, blockers: new Set() }
    // 0: a prepared branch whose session has gone.
    if (blocker !== '0') known.blockers.add(blocker)
    found.set(session, known)
  }
  return [...found.values()].map((each) => ({ ...each, blockers: [...each.blockers] }))
}

/**
 * Ends the statement, unless its wait is over. MariaDB kills by the statement's own number. But what it shows may be a tenth of a second
 * old, and on MySQL there is no such number. See `LockWaitPort.cancel`.
 */
export async function cancelMysqlWait(run: Run, { session, wait }: LockWait): Promise<boolean> {
  const [id] = sessionNumbers([session])
  if (id === undefined) return false
  const onMariadb = await isMariadb(run)
  const statement = onMariadb ? await statementOf(run, id) : undefined
  const still = await mysqlLockWaits(run, [session])
  if (!still.some((each) => each.session === session && each.wait === wait)) return false
  if (!onMariadb) await run(`KILL QUERY ${id}`)
  else if (statement === undefined) return false
  else await run(`KILL QUERY ID ${statement}`)
  return true
}

/** Read before the wait is looked at again: then it is the number of the statement that waits, or of one that is over. */
async function statementOf(run: Run, id: number): Promise<number | undefined> {
  const rows = await run(`SELECT query_id AS statement FROM information_schema.processlist WHERE id = ${id}`)
  const statement = Number(rows[0]?.statement)
  return Number.isSafeInteger(statement) ? statement : undefined
}

async function isMariadb(run: Run): Promise<boolean> {
  return /mariadb/i.test(String((await run(WHICH))[0]?.version))
}
