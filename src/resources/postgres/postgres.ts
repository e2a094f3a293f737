import { type Clock, makeGid, systemClock } from '../../base/index.ts'
import { type Access, assertUsable, beginIn, callIn, checkIn, examineIn } from '../access.ts'
import { BranchGuard } from '../guard.ts'
import type { InspectionPort } from '../inspection.ts'
import { LOOK_MS_MAX, type LockWaitPort } from '../lock-waits.ts'
import type { Branch, BranchIdentity, Finding, InDoubtPort, Resource } from '../resource.ts'
import { checkPreparedMax, limitOf, SlotGate, type Slots } from '../slot-gate.ts'
import { CALL_MS_MAX, once } from '../waiting.ts'
import { openingStatements, postgresBranch, REFUSED_STATEMENTS } from './branch.ts'
import { surveyPostgres } from './check.ts'
import type { DriverSession, PostgresDriver } from './driver.ts'
import { POSTGRES_ERRORS } from './errors.ts'
import { examinePostgres } from './examine.ts'
import { PostgresInDoubt } from './in-doubt.ts'
import { inspectPostgres } from './inspect.ts'
import { ambientSql } from './js-ambient.ts'
import { assertReservable, postgresJsDriver } from './js-driver.ts'
import { cancelPostgresWait, postgresLockWaits } from './lock-waits.ts'
import { ambientPgPool } from './pg-ambient.ts'
import { pgDriver } from './pg-driver.ts'
import type { PgPoolShape } from './pg-shapes.ts'

/** All databases of the server share its places. */
const SLOTS = `SELECT current_setting('max_prepared_transactions')::int AS max,
  (SELECT count(*) FROM pg_prepared_xacts)::int AS used`

/** What `postgres` takes besides the pool. */
export interface PostgresOptions {
  /** The name under which coordinators know this database. */
  readonly name: string
  /**
   * Whether branches are refused (RESOURCE_EXHAUSTED, retryable) before the server's `max_prepared_transactions` run out;
   * a tenth of them is kept for transactions at work. One short statement a second. True when left out, but not with a
   * clock of one's own.
   */
  readonly admission?: boolean
  /** Refuses branches when so many are prepared on the server, even if it has places for more. */
  readonly preparedMax?: number
  /** For what must not wait for ever. The simulator has its own. */
  readonly clock?: Clock
}

// biome-ignore lint/suspicious/noExplicitAny: only a callback's position in an overload is matched
type AnyCallback = any

/** A `pg` Pool, or the `sql` function of the `postgres` package. */
export type PostgresPool =
  | { connect(): Promise<unknown>; end(): Promise<unknown> }
  | { reserve(): Promise<unknown>; end(): Promise<unknown> }

/** The client that `Pool` hands out: pg's PoolClient, or postgres.js's ReservedSql. */
export type PostgresSession<Pool> = Pool extends { reserve(): Promise<infer Session> }
  ? Session
  : Pool extends { connect: { (): Promise<infer Session>; (callback: AnyCallback): void } }
    ? Session
    : Pool extends { connect(): Promise<infer Session> }
      ? Session
      : never

/**
 * A PostgreSQL database as `postgres` returns it: a participant, and its pool for plain calls. Within `transaction()` these run
 * in the database's branch; outside of one they are the pool's own.
 */
export type PostgresDatabase<Pool> = Resource<PostgresSession<Pool>> & {
  /** The pool, for whoever takes one (an ORM). Its own BEGIN and COMMIT are savepoints within a transaction. */
  readonly pool: Pool
} & (Pool extends { reserve(): Promise<unknown> }
    ? {
        /** postgres.js's tag function; the same as `pool`. */
        readonly sql: Pool
      }
    : Pool extends { query: infer Query }
      ? {
          /** The pool's `query`. */
          readonly query: Query
        }
      : unknown)

/**
 * A PostgreSQL database (13 or newer, `max_prepared_transactions` above 0) as a participant.
 *
 * @param pool a `pg` Pool or a postgres.js `sql` function; the application stays its owner and closes it
 * @example
 * const flights = postgres(new pg.Pool({ connectionString }), { name: 'flights' })
 * await flights.query('select 1')                                     // ordinary
 * await concordat.transaction(() => flights.query('delete from seats')) // in the transaction
 */
export function postgres<Pool extends PostgresPool>(pool: Pool, options: PostgresOptions): PostgresDatabase<Pool> {
  const resource = new PostgresResource<PostgresSession<Pool>>(options, postgresDriver(pool), async () => {})
  const { clock = systemClock } = options
  if (isPg(pool)) {
    const ambient = ambientPgPool(pool, resource, clock)
    const query = (ambient as { query?: unknown }).query
    return Object.assign(resource, { pool: ambient, query }) as unknown as PostgresDatabase<Pool>
  }
  const sql = ambientSql(pool, resource, clock)
  return Object.assign(resource, { pool: sql, sql }) as unknown as PostgresDatabase<Pool>
}

/** The driver behind `pool`. @throws DriverMissingError when it is of neither kind */
export function postgresDriver<Client>(pool: PostgresPool): PostgresDriver<Client> {
  if (isPg(pool)) return pgDriver(pool as PgPoolShape)
  assertReservable(pool)
  return postgresJsDriver(pool)
}

/** postgres.js's sql is a function; a pg Pool is an object with connect(). */
function isPg(pool: PostgresPool): boolean {
  return 'connect' in pool && typeof pool.connect === 'function'
}

/** See `postgres`. */
export class PostgresResource<Client> implements Resource<Client> {
  readonly kind = 'postgres'
  readonly name: string
  readonly inDoubt: InDoubtPort
  readonly inspection: InspectionPort
  readonly lockWaits: LockWaitPort
  readonly #access: Access<DriverSession<Client>>
  readonly #gate: SlotGate | undefined
  readonly #preparedMax: number
  /** The first branch surveys the server in its own session; a second one would need a second place in the pool. */
  readonly #survey = once(async (session: DriverSession<Client>) => {
    assertUsable(this.name, await surveyPostgres((sql) => session.run(sql)))
  })

  constructor(
    // A clock of one's own is the simulator's, and its servers have no such view.
    { name, clock = systemClock, admission = clock === systemClock, preparedMax }: PostgresOptions,
    driver: PostgresDriver<Client>,
    close: () => Promise<void>,
  ) {
    this.name = name
    checkPreparedMax(name, preparedMax)
    this.#gate = admission ? new SlotGate(name, clock) : undefined
    this.#preparedMax = preparedMax ?? Number.POSITIVE_INFINITY
    this.#access = { resource: name, driver, errors: POSTGRES_ERRORS, clock }
    this.inDoubt = new PostgresInDoubt(name, driver, close, CALL_MS_MAX, clock)
    const access = this.#access
    this.inspection = {
      inDoubt: (cluster) => callIn(access, CALL_MS_MAX, (held) => inspectPostgres((sql) => held.run(sql), cluster)),
      examine: () => examineIn(access, CALL_MS_MAX, (held) => examinePostgres((sql) => held.run(sql), clock)),
    }
    this.lockWaits = {
      list: (sessions) => callIn(access, LOOK_MS_MAX, (held) => postgresLockWaits((sql) => held.run(sql), sessions)),
      cancel: (wait) => callIn(access, LOOK_MS_MAX, (held) => cancelPostgresWait((sql) => held.run(sql), wait)),
    }
  }

  async begin(identity: BranchIdentity, options: { readonly signal?: AbortSignal } = {}): Promise<Branch<Client>> {
    const gid = makeGid(identity.cluster, identity.txid, identity.branch)
    const guard = new BranchGuard(gid, REFUSED_STATEMENTS, this.#access.clock)
    return beginIn(this.#access, options.signal, async (held) => {
      await this.#survey(held)
      if (this.#gate !== undefined) await this.#gate.admit(() => this.#slots(held), options.signal)
      const client = await held.open(openingStatements(gid), guard)
      return postgresBranch({ gid, guard, access: this.#access, held, client, slots: this.#gate })
    })
  }

  async #slots(session: DriverSession<Client>): Promise<Slots> {
    const { max, used } = (await session.run(SLOTS)).rows[0] ?? {}
    return { used: Number(used), limit: Math.min(limitOf(Number(max)), this.#preparedMax) }
  }

  check(): Promise<readonly Finding[]> {
    return checkIn(this.#access, (session) => surveyPostgres((sql) => session.run(sql)))
  }
}
