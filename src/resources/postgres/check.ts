import type { Finding } from '../resource.ts'
import type { Reply } from './driver.ts'
import { PREPARED_OFF } from './errors.ts'

/** pg_current_xact_id_if_assigned and xid8 came with PostgreSQL 13. */
const SERVER_VERSION_MIN = 130_000

const SURVEY = `SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS version_name,
  current_setting('max_prepared_transactions')::int AS slots, current_setting('fsync') AS fsync,
  pg_is_in_recovery() AS standby`

/** What is wrong with a PostgreSQL server, worst first. */
export async function surveyPostgres(run: (sql: string) => Promise<Reply>): Promise<readonly Finding[]> {
  const row = (await run(SURVEY)).rows[0] ?? {}
  const findings: Finding[] = []
  const add = (severity: Finding['severity'], what: string, message: string): void => {
    findings.push({ severity, what, message })
  }
  if (Number(row.version) < SERVER_VERSION_MIN) {
    add('fatal', 'serverTooOld', `it is PostgreSQL ${String(row.version_name)}; concordat needs 13 or newer.`)
  }
  if (Number(row.slots) === 0) add('fatal', 'preparedTransactionsOff', PREPARED_OFF)
  if (row.standby === true) add('fatal', 'standby', 'it is a read-only standby; connect to the primary.')
  if (row.fsync === 'off') {
    add('warning', 'fsyncOff', 'its setting fsync is off: a crash of the machine can lose votes. Turn it on.')
  }
  return findings
}
