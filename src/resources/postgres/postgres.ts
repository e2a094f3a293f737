import { makeGid } from '../../base/index.ts'
import { ResourceMisconfiguredError, ResourceUnavailableError } from '../errors.ts'
import { BranchGuard } from '../guard.ts'
import type { Branch, BranchIdentity, Finding, InDoubtPort, Resource } from '../resource.ts'
import { once, withSignal } from '../waiting.ts'
import { openingStatements, PostgresBranch, REFUSED_STATEMENTS } from './branch.ts'
import { assertUsable, surveyPostgres } from './check.ts'
import type { DriverSession, PostgresDriver } from './driver.ts'
import { explainAccess, isRefusal } from './errors.ts'
import { PostgresInDoubt } from './in-doubt.ts'
import { assertReservable, postgresJsDriver } from './js-driver.ts'
import { pgDriver } from './pg-driver.ts'
import type { PgPoolShape } from './pg-shapes.ts'

/** What `postgres` takes besides the pool. */
export interface PostgresOptions {
  /** The name under which coordinators know this database. */
  readonly name: string
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
 * A PostgreSQL database (13 or newer, `max_prepared_transactions` above 0) as a participant.
 *
 * @param pool a `pg` Pool or a postgres.js `sql` function; the application stays its owner and closes it
 * @example
 * const flights = postgres(new pg.Pool({ connectionString }), { name: 'flights' })
 */
export function postgres<Pool extends PostgresPool>(
  pool: Pool,
  options: PostgresOptions,
): Resource<PostgresSession<Pool>> {
  return new PostgresResource<PostgresSession<Pool>>(options.name, driverFor(pool), async () => {})
}

function driverFor<Client>(pool: PostgresPool): PostgresDriver<Client> {
  // postgres.js's sql is a function; a pg Pool is an object with connect().
  if ('connect' in pool && typeof pool.connect === 'function') return pgDriver(pool as PgPoolShape)
  assertReservable(pool)
  return postgresJsDriver(pool)
}

/** See `postgres`. */
export class PostgresResource<Client> implements Resource<Client> {
  readonly kind = 'postgres'
  readonly name: string
  readonly inDoubt: InDoubtPort
  readonly #driver: PostgresDriver<Client>
  readonly #usable: (session: DriverSession<Client>) => Promise<void>

  constructor(name: string, driver: PostgresDriver<Client>, close: () => Promise<void>) {
    this.name = name
    this.#driver = driver
    this.inDoubt = new PostgresInDoubt(name, driver, close)
    let survey: (() => Promise<void>) | undefined
    // The first branch surveys the server in its own session; a second one would need a second place in the pool.
    this.#usable = (session) => {
      survey ??= once(async () => {
        assertUsable(name, await surveyPostgres((sql) => session.run(sql)))
      })
      return survey().catch((error: unknown) => {
        survey = undefined
        throw error
      })
    }
  }

  async begin(identity: BranchIdentity, options: { readonly signal?: AbortSignal } = {}): Promise<Branch<Client>> {
    const gid = makeGid(identity.cluster, identity.txid, identity.branch)
    const guard = new BranchGuard(gid, REFUSED_STATEMENTS)
    const held = await this.#acquire(options.signal)
    try {
      await this.#usable(held)
      const client = await held.open(openingStatements(gid), guard)
      return new PostgresBranch({ resource: this.name, gid, guard, driver: this.#driver, held, client })
    } catch (error) {
      if (error instanceof ResourceMisconfiguredError && held.lost === undefined) held.release()
      else held.discard()
      throw error instanceof ResourceMisconfiguredError ? error : explainAccess(this.name, error)
    }
  }

  async check(): Promise<readonly Finding[]> {
    let session: DriverSession<Client> | undefined
    try {
      session = await this.#acquire(undefined)
      const held = session
      const findings = await surveyPostgres((sql) => held.run(sql))
      session.release()
      return findings
    } catch (error) {
      session?.discard()
      const what = isRefusal(error) || error instanceof ResourceMisconfiguredError ? 'refused' : 'unreachable'
      return [{ severity: 'fatal', what, message: (error as Error).message }]
    }
  }

  async #acquire(signal: AbortSignal | undefined): Promise<DriverSession<Client>> {
    try {
      return await withSignal(
        () => this.#driver.acquire(),
        signal,
        (late) => late.release(),
      )
    } catch (error) {
      if (signal?.aborted)
        throw new ResourceUnavailableError(this.name, 'no session before the call was aborted', { cause: error })
      throw explainAccess(this.name, error)
    }
  }
}
