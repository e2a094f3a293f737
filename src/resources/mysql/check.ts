import type { Finding } from '../resource.ts'
import { Errno, errnoOf } from './errors.ts'
import { type Run, recover } from './settle.ts'

/** Before these, prepared branches roll back on disconnect (MariaDB) or can't be settled from elsewhere (MySQL). */
const MARIADB_MIN = [10, 5, 2] as const
const MYSQL_MIN = [8, 0, 29] as const
/** Before this MySQL's binary log and XA disagree after a crash. */
const MYSQL_BINLOG_SAFE = [8, 0, 30] as const

type Version = readonly [number, number, number]

/** What is wrong with a MySQL or MariaDB server, worst first. */
export async function surveyMysql(run: Run): Promise<readonly Finding[]> {
  const row =
    (await run('SELECT VERSION() AS version, @@log_bin AS binlog, @@innodb_flush_log_at_trx_commit AS flush'))[0] ?? {}
  const version = String(row.version)
  const findings = [...versionFindings(version, Number(row.binlog) === 1)]
  if (await isGalera(run)) {
    findings.push({
      severity: 'fatal',
      what: 'galera',
      message: 'it is a Galera cluster, which refuses XA transactions.',
    })
  }
  if (Number(row.flush) !== 1) {
    findings.push({
      severity: 'warning',
      what: 'flushOff',
      message:
        'its setting innodb_flush_log_at_trx_commit is not 1: a crash of the machine can lose votes. Set it to 1.',
    })
  }
  findings.push(...(await recoverFindings(run)))
  return findings
}

/** Exported for its tests: the versions a machine has are few. */
export function versionFindings(version: string, hasBinlog: boolean): readonly Finding[] {
  const isMariadb = /mariadb/i.test(version)
  // Some MariaDB servers put "5.5.5-" in front, for old replicas.
  const parts = version
    .replace(/^5\.5\.5-(?=\d)/, '')
    .split(/[.-]/)
    .map(Number)
  const found: Version = [parts[0] ?? 0, parts[1] ?? 0, parts[2] ?? 0]
  if (isBefore(found, isMariadb ? MARIADB_MIN : MYSQL_MIN)) {
    const message = `it is ${isMariadb ? 'MariaDB' : 'MySQL'} ${version}, where prepared branches are not safe; concordat needs MariaDB 10.5.2 or MySQL 8.0.29, or newer.`
    return [{ severity: 'fatal', what: 'serverTooOld', message }]
  }
  if (isMariadb || !hasBinlog || !isBefore(found, MYSQL_BINLOG_SAFE)) return []
  const message = `it is MySQL ${version} with a binary log, which can disagree with XA after a crash; use 8.0.30 or newer.`
  return [{ severity: 'warning', what: 'binlogUnsafeXa', message }]
}

function isBefore(found: Version, wanted: Version): boolean {
  for (const [index, part] of wanted.entries()) {
    if (found[index] !== part) return found[index]! < part
  }
  return false
}

async function isGalera(run: Run): Promise<boolean> {
  const rows = await run("SHOW VARIABLES LIKE 'wsrep_on'")
  return String(rows[0]?.Value).toUpperCase() === 'ON'
}

async function recoverFindings(run: Run): Promise<Finding[]> {
  try {
    await recover(run)
    return []
  } catch (error) {
    if (errnoOf(error) !== Errno.recoverRefused) throw error
    const message =
      'the user may not run XA RECOVER, so branches left behind can\'t be found. Run "GRANT XA_RECOVER_ADMIN ON *.* TO …".'
    return [{ severity: 'warning', what: 'xaRecoverRefused', message }]
  }
}
