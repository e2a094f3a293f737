import type { Clock } from '../../../base/index.ts'
import type { Row, Value } from '../store/index.ts'
import { PgRefusal } from './errors.ts'
import type { SimPostgres } from './server.ts'
import type { PostgresSession } from './session.ts'

/** In which session a function is called. */
export interface Caller {
  readonly server: SimPostgres
  readonly session: PostgresSession
  readonly clock: Clock
}

type PgFunction = (caller: Caller, ...args: readonly Value[]) => Value

/** The functions that our adapter calls. Times are seconds since 1970. */
const FUNCTIONS: Readonly<Record<string, PgFunction>> = {
  pg_current_xact_id_if_assigned: ({ session }) => session.xid ?? null,
  current_setting: ({ server, session }, name, missingOk) => {
    const value = session.setting(String(name)) ?? serverSetting(server, String(name))
    if (value === undefined && missingOk !== true) {
      throw new PgRefusal('42704', `unrecognized configuration parameter "${String(name)}"`)
    }
    return value ?? null
  },
  current_database: ({ server }) => server.name,
  clock_timestamp: ({ clock }) => clock.wallMs() / 1_000,
  extract: (_caller, time) => time ?? null,
  pg_current_snapshot: ({ server }) => server.store.nextId,
  pg_snapshot_xmax: (_caller, snapshot) => snapshot ?? null,
  pg_xact_status: ({ server }, xid) => server.statusOf(Number(xid)),
  pg_is_in_recovery: () => false,
  pg_backend_pid: ({ session }) => session.pid,
  pg_terminate_backend: ({ server }, pid) => server.terminate(Number(pid)),
}

/** Undefined: there is no such function. */
export function callFunction(caller: Caller, name: string, args: readonly Value[]): Value | undefined {
  return FUNCTIONS[name]?.(caller, ...args)
}

/** Rows of pg_prepared_xacts. Its xids show only 32 bits. */
export function viewRows(server: SimPostgres, name: string): readonly Row[] | undefined {
  if (name !== 'pg_prepared_xacts') return undefined
  return server.prepared().map(({ gid, tx, preparedMs }) => ({
    transaction: tx.id % 2 ** 32,
    gid,
    prepared: preparedMs / 1_000,
    database: server.name,
  }))
}

function serverSetting({ preparedMax }: SimPostgres, name: string): string | undefined {
  switch (name) {
    case 'server_version_num':
      return '180004'
    case 'server_version':
      return '18.4 (simulated)'
    case 'max_prepared_transactions':
      return String(preparedMax)
    case 'fsync':
      return 'on'
    default:
      return undefined
  }
}
