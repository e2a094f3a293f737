import type { Clock } from '../../base/index.ts'
import type { Observation } from '../inspection.ts'
import { clockObservation, error, ok, warning } from '../observations.ts'
import { surveyPostgres } from './check.ts'
import type { Reply } from './driver.ts'

type Run = (sql: string) => Promise<Reply>
type Row = Reply['rows'][number]

const SERVER = `SELECT current_setting('server_version') AS version,
  current_setting('max_prepared_transactions')::int AS slots, current_setting('max_connections')::int AS connections,
  current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
  current_setting('synchronous_commit') AS synchronous_commit,
  current_setting('synchronous_standby_names') AS standby_names, pg_is_in_recovery() AS standby,
  (SELECT count(*) FROM pg_prepared_xacts)::int AS used,
  (SELECT count(*) FROM pg_stat_replication WHERE coalesce(state, 'streaming') IN ('streaming', 'catchup') AND pid NOT IN
    (SELECT active_pid FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid IS NOT NULL))::int AS replicas,
  current_user AS username, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
  pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS clock_ms`

/** Settings of this database or of any role in it that differ from the server's. */
const OVERRIDES = `SELECT coalesce(r.rolname, 'every role') AS role, c.setting
  FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c(setting)
  LEFT JOIN pg_roles r ON r.oid = s.setrole
  WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND c.setting ~ '^synchronous_commit=(off|local)$'`

/**
 * Users who prepared what is there now, and users who are connected: they may prepare branches. Superusers that are
 * connected are people, mostly. A user without rights does not see `backend_type`.
 */
const OTHER_USERS = `SELECT
  ARRAY(SELECT DISTINCT owner::text FROM pg_prepared_xacts
    WHERE database = current_database() AND owner <> current_user AND gid LIKE 'cdt\\_%' ORDER BY 1) AS owners,
  ARRAY(SELECT DISTINCT usename::text FROM pg_stat_activity JOIN pg_roles ON rolname = usename
    WHERE datname = current_database() AND usename <> current_user AND NOT rolsuper
      AND coalesce(backend_type, 'client backend') = 'client backend' ORDER BY 1) AS users`

/** More of the slots in use than this: soon PREPARE fails. */
const SLOTS_FULL_SHARE = 0.9

/** Whether a PostgreSQL server keeps its part of the promises. */
export async function examinePostgres(run: Run, clock: Clock): Promise<readonly Observation[]> {
  const askedMs = clock.wallMs()
  const row = (await run(SERVER)).rows[0] ?? {}
  const answeredMs = clock.wallMs()
  const overrides = (await run(OVERRIDES)).rows
  const users = (await run(OTHER_USERS)).rows[0] ?? {}
  const found = await surveyPostgres(run)
  const isOff = (what: string): boolean => found.some((finding) => finding.what === what)
  return [
    isOff('serverTooOld')
      ? error('serverTooOld', `It is PostgreSQL ${row.version}, and concordat needs 13 or newer.`, 'Upgrade it.')
      : ok('version', `PostgreSQL ${row.version}.`),
    ...(row.standby === true
      ? [
          error(
            'standby',
            'It is a read-only standby: no branch can be prepared or ended here.',
            'Put the primary into the URL.',
          ),
        ]
      : []),
    preparedTransactions(row),
    ...ownership(row, users),
    durability(row),
    ...synchronousCommit(row, overrides),
    ...replicas(row),
    clockObservation(Number(row.clock_ms), askedMs, answeredMs),
    ...(row.sees_all === true
      ? []
      : [ok('statementsHidden', HIDDEN, `Optional: GRANT pg_read_all_stats TO ${row.username};`)]),
  ]
}

const HIDDEN = "concordat in-doubt can't show what other users' blocked sessions run."

function preparedTransactions({ slots, used, connections }: Row): Observation {
  const [max, taken] = [Number(slots), Number(used)]
  if (max === 0)
    return error(
      'preparedTransactionsOff',
      'max_prepared_transactions is 0, which is the default: every transaction over this database fails.',
      `Set it in postgresql.conf, to ${connections} (max_connections) for example, and restart PostgreSQL; standbys need at least the same value.`,
    )
  const use = `${taken} of ${max} slots for prepared transactions are in use`
  if (taken >= max) return error('slotsUsedUp', `${use}: nothing more can be prepared.`, `${LOOK} ${RAISE}`)
  if (taken >= max * SLOTS_FULL_SHARE) return warning('slotsNearlyUsedUp', `${use}.`, `${LOOK} ${RAISE}`)
  if (max < Number(connections))
    return warning(
      'slotsFewerThanConnections',
      `${use}, and max_connections is ${connections}: when more than ${max} sessions prepare at a time, the rest is aborted (RESOURCE_EXHAUSTED).`,
      `Fine if never so many transactions over this database are at work at a time. Otherwise: ${RAISE}`,
    )
  return ok('preparedTransactions', `${use}.`)
}

const LOOK = 'See what they wait for: concordat in-doubt.'
const RAISE = 'Raise max_prepared_transactions and restart PostgreSQL.'

/** Prepared branches are ended by the user that prepared them, or by a superuser: nobody else, whatever was granted. */
function ownership({ username, superuser }: Row, users: Row): readonly Observation[] {
  if (superuser === true) return [ok('ownership', `User ${username} is a superuser: it may end every prepared branch.`)]
  const owners = list(users.owners)
  if (owners.length > 0)
    return [
      error(
        'foreignOwners',
        `Branches are prepared here by ${owners.join(', ')}, and only their owner or a superuser may end them: user ${username} can't, so they keep their locks.`,
        `Use the same user in the applications' pools and in the configuration. To end what is there, use ${owners[0]} in the configuration until it is done.`,
      ),
    ]
  const others = list(users.users)
  const rule = `User ${username} is no superuser, so it ends only what ${username} prepared`
  if (others.length === 0) return [ok('ownership', `${rule}; nobody else is connected.`)]
  return [
    warning(
      'otherUsersConnected',
      `${rule}, and ${others.join(', ')} ${others.length === 1 ? 'is' : 'are'} connected: what they prepare and leave behind stays in doubt.`,
      'Make sure that the applications which enlist this database use the same user as the configuration.',
    ),
  ]
}

function durability({ fsync, full_page_writes }: Row): Observation {
  if (fsync === 'off')
    return error(
      'fsyncOff',
      'fsync is off: a crash of the machine loses votes and corrupts data.',
      'Turn it on and reload PostgreSQL.',
    )
  if (full_page_writes === 'off')
    return warning(
      'fullPageWritesOff',
      'full_page_writes is off: a crash of the machine can leave torn pages, in prepared branches too.',
      'Turn it on, unless the file system is known never to tear a page.',
    )
  return ok('durability', 'fsync and full_page_writes are on: a vote is on disk before it is given.')
}

/**
 * PREPARE and COMMIT PREPARED are flushed whatever synchronous_commit says; whether they wait for a standby follows it,
 * and so does the plain COMMIT of a lone branch.
 */
function synchronousCommit(
  { synchronous_commit: value, standby_names }: Row,
  overrides: readonly Row[],
): readonly Observation[] {
  const hasStandbys = String(standby_names) !== ''
  const found = [
    ...(value === 'off' || value === 'local' ? [{ where: 'synchronous_commit is', value }] : []),
    ...overrides.map(({ role, setting }) => ({
      where: `For ${role} synchronous_commit is`,
      value: String(setting).split('=')[1],
    })),
  ].filter((each) => each.value === 'off' || hasStandbys)
  if (found.length === 0) return [ok('synchronousCommit', `synchronous_commit is ${value}.`)]
  return found.map((each) => {
    const losses = [
      ...(each.value === 'off' ? ['a transaction with one branch only is told committed before it is on disk'] : []),
      ...(hasStandbys ? ['votes do not wait for the synchronous standbys, so a failover loses them'] : []),
    ]
    return warning('synchronousCommit', `${each.where} ${each.value}: ${losses.join(', and ')}.`, 'Set it to on.')
  })
}

function replicas({ replicas: count, standby_names }: Row): readonly Observation[] {
  if (Number(count) === 0 || String(standby_names) !== '') return []
  const many = Number(count) === 1 ? 'A replica is' : `${count} replicas are`
  return [
    warning(
      'asynchronousReplicas',
      `${many} connected, and none is synchronous (synchronous_standby_names is empty): a failover loses the latest votes, and transactions end half committed.`,
      'Set synchronous_standby_names, or never fail over to a replica that lacks a part of the log.',
    ),
  ]
}

/** Drivers give a text[] as an array, or as its text `{a,b}`. */
function list(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.map(String)
  return String(value ?? '')
    .split(/[{},]/)
    .filter((part) => part !== '')
}
