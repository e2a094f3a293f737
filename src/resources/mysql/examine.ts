import type { Clock } from '../../base/index.ts'
import type { Observation } from '../inspection.ts'
import { clockObservation, error, ok, warning } from '../observations.ts'
import { surveyMysql } from './check.ts'
import { errnoOf } from './errors.ts'
import type { Run } from './settle.ts'

type Row = Readonly<Record<string, unknown>>

/** Tables that are named, at most. */
const NAMED_MAX = 5

const SERVER = `SELECT VERSION() AS version, @@log_bin AS binlog, @@sync_binlog AS sync_binlog,
  @@innodb_flush_log_at_trx_commit AS flush, @@innodb_doublewrite AS doublewrite, @@read_only AS read_only,
  @@default_storage_engine AS engine, CURRENT_USER() AS username, UNIX_TIMESTAMP(NOW(3)) * 1000 AS clock_ms`

/** Tables of the URL's database that can't take part: what is written to them is not rolled back. */
const OTHER_ENGINES = `SELECT table_name AS name, engine AS engine FROM information_schema.tables
  WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND engine <> 'InnoDB' ORDER BY table_name`

/** Whether a MySQL or MariaDB server keeps its part of the promises. */
export async function examineMysql(run: Run, clock: Clock): Promise<readonly Observation[]> {
  const askedMs = clock.wallMs()
  const row = (await run(SERVER))[0] ?? {}
  const answeredMs = clock.wallMs()
  const found = await surveyMysql(run)
  const has = (what: string): boolean => found.some((finding) => finding.what === what)
  return [
    version(String(row.version), has),
    ...(has('galera')
      ? [
          error(
            'galera',
            'It is a Galera cluster, which refuses XA transactions.',
            'Use a server outside a Galera cluster.',
          ),
        ]
      : []),
    ...(Number(row.read_only) === 1
      ? [
          error(
            'readOnly',
            'The server is read-only (read_only is on): it is a replica.',
            'Put the primary into the URL.',
          ),
        ]
      : []),
    has('xaRecoverRefused')
      ? error(
          'xaRecoverRefused',
          `User ${row.username} may not run XA RECOVER, so nobody finds branches left behind.`,
          GRANT_RECOVER,
        )
      : ok('xaRecover', `User ${row.username} may list prepared branches.`),
    await canSeeTransactions(run),
    engines(row, await run(OTHER_ENGINES)),
    durability(row),
    ...binaryLog(row),
    ...(await replication(run, row)),
    clockObservation(Number(row.clock_ms), askedMs, answeredMs),
  ]
}

const GRANT_RECOVER = 'GRANT XA_RECOVER_ADMIN ON *.* TO that user.'

function version(name: string, has: (what: string) => boolean): Observation {
  if (has('serverTooOld'))
    return error(
      'serverTooOld',
      `It is ${name}, where prepared branches are not safe.`,
      'Upgrade to MariaDB 10.5.2 or MySQL 8.0.29, or newer.',
    )
  if (has('binlogUnsafeXa'))
    return warning(
      'binlogUnsafeXa',
      `It is MySQL ${name} with a binary log, which can disagree with XA after a crash.`,
      'Upgrade to 8.0.30 or newer.',
    )
  return ok('version', `${/mariadb/i.test(name) ? 'MariaDB' : 'MySQL'} ${name}.`)
}

async function canSeeTransactions(run: Run): Promise<Observation> {
  try {
    await run('SELECT 1 FROM information_schema.innodb_trx LIMIT 1')
    return ok('seesTransactions', 'Deadlocks are found, and concordat in-doubt can show what prepared branches block.')
  } catch (refusal) {
    if (errnoOf(refusal) === undefined) throw refusal
    return warning(
      'transactionsHidden',
      "Without PROCESS deadlocks over this and other databases are not found, concordat in-doubt can't show what prepared branches block, and replicas are not seen here.",
      'GRANT PROCESS ON *.* TO that user.',
    )
  }
}

function engines({ engine }: Row, tables: readonly Row[]): Observation {
  const named = tables.slice(0, NAMED_MAX).map((table) => `${table.name} (${table.engine})`)
  if (named.length > 0)
    return warning(
      'notInnodb',
      `${tables.length === 1 ? '1 table is' : `${tables.length} tables are`} not InnoDB: ${named.join(', ')}${tables.length > NAMED_MAX ? ' …' : ''}. What a branch writes to them stays, even when it aborts.`,
      'ALTER TABLE … ENGINE=InnoDB, or keep them out of branches.',
    )
  if (String(engine).toLowerCase() !== 'innodb')
    return warning('notInnodb', `default_storage_engine is ${engine}: new tables can't take part.`, 'Set it to InnoDB.')
  return ok('engine', 'Every table is InnoDB.')
}

function durability({ flush, doublewrite }: Row): Observation {
  if (Number(flush) !== 1)
    return error(
      'flushOff',
      `innodb_flush_log_at_trx_commit is ${flush}: a crash of the ${Number(flush) === 2 ? 'machine' : 'server'} loses votes.`,
      'Set it to 1.',
    )
  if (String(doublewrite) === '0' || String(doublewrite).toUpperCase() === 'OFF')
    return warning(
      'doublewriteOff',
      'innodb_doublewrite is off: a crash of the machine can leave torn pages.',
      'Turn it on, unless the file system is known never to tear a page.',
    )
  return ok('durability', 'The setting innodb_flush_log_at_trx_commit is 1: a vote is on disk before it is given.')
}

function binaryLog({ binlog, sync_binlog }: Row): readonly Observation[] {
  if (Number(binlog) !== 1) return []
  if (Number(sync_binlog) === 1) return [ok('binlog', 'The binary log is synchronous (sync_binlog is 1).')]
  return [
    warning(
      'syncBinlog',
      `sync_binlog is ${sync_binlog}: after a crash of the machine the binary log may lack branches that InnoDB has, and replicas stay without them.`,
      'Set it to 1.',
    ),
  ]
}

async function replication(run: Run, { binlog }: Row): Promise<readonly Observation[]> {
  const observations: Observation[] = []
  const replicas = (await run("SELECT id AS id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"))
    .length
  const semiSync = await run(
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('Rpl_semi_sync_master_status', 'Rpl_semi_sync_source_status')",
  )
  if (replicas > 0 && !semiSync.some(({ Value }) => Value === 'ON'))
    observations.push(
      warning(
        'asynchronousReplicas',
        `${replicas === 1 ? 'A replica is' : `${replicas} replicas are`} connected, and replication is asynchronous: a failover loses the latest votes, and transactions end half committed.`,
        'Turn semi-synchronous replication on, or never fail over to a replica that lacks a part of the log.',
      ),
    )
  if (Number(binlog) === 1) observations.push(...(await filters(run)))
  return observations
}

/** Filters drop parts of a branch on the way to a replica, or its XA statements. */
async function filters(run: Run): Promise<readonly Observation[]> {
  const status = await binlogStatus(run)
  const set =
    status === undefined ? [] : ['Binlog_Do_DB', 'Binlog_Ignore_DB'].filter((name) => String(status[name] ?? '') !== '')
  if (set.length === 0) return []
  return [
    warning(
      'replicationFilters',
      `The binary log is filtered (${set.map((name) => `${name} ${status?.[name]}`).join(', ')}): replicas get parts of a branch only, and XA on them breaks.`,
      'Take the filters away.',
    ),
  ]
}

/** Undefined when the user may not ask: the filters are then left unsaid. MySQL 8.4 knows only the second name. */
async function binlogStatus(run: Run): Promise<Row | undefined> {
  for (const statement of ['SHOW MASTER STATUS', 'SHOW BINARY LOG STATUS']) {
    try {
      return (await run(statement))[0]
    } catch (refusal) {
      if (errnoOf(refusal) === undefined) throw refusal
    }
  }
  return undefined
}
