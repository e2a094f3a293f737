import { DriverMissingError } from '../errors.ts'
import type { InDoubtPort, Resource } from '../resource.ts'
import type { PostgresDriver } from './driver.ts'
import { postgresJsDriver } from './js-driver.ts'
import type { JsSqlShape } from './js-shapes.ts'
import { pgDriver } from './pg-driver.ts'
import type { PgPoolShape } from './pg-shapes.ts'
import { type PostgresOptions, PostgresResource } from './postgres.ts'

/** Enough for a resolver; its pool is its own, so applications can't starve it. */
const SESSIONS_MAX = 2
/** Beyond this a server counts as unreachable, milliseconds. */
const CONNECT_MS_MAX = 5_000

/**
 * A PostgreSQL database by URL, with a small pool of its own, for resolvers and operators. Connects lazily.
 * Uses the driver `pg` or `postgres`, whichever is installed. `inDoubt.close()` closes the pool.
 *
 * @throws DriverMissingError when neither driver is installed
 */
export async function postgresFromUrl(url: string, options: PostgresOptions): Promise<Resource<unknown>> {
  const { driver, close } = await openPool(url)
  return new PostgresResource(options, driver, close)
}

/** The InDoubtPort of `postgresFromUrl`. @throws DriverMissingError when no driver is installed */
export async function postgresInDoubtFromUrl(url: string, options: PostgresOptions): Promise<InDoubtPort> {
  return (await postgresFromUrl(url, options)).inDoubt
}

interface OwnPool {
  readonly driver: PostgresDriver<unknown>
  readonly close: () => Promise<void>
}

async function openPool(url: string): Promise<OwnPool> {
  return (await openPg(url)) ?? (await openPostgresJs(url)) ?? noDriver()
}

async function openPg(url: string): Promise<OwnPool | undefined> {
  const loaded = await import('pg').catch(() => undefined)
  if (loaded === undefined) return undefined
  const pool = new loaded.default.Pool({
    connectionString: url,
    max: SESSIONS_MAX,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    allowExitOnIdle: true,
    application_name: 'concordat',
  })
  // An idle session that is lost comes back by itself; unheard, the event would end the process.
  pool.on('error', () => {})
  return { driver: pgDriver(pool as unknown as PgPoolShape), close: () => pool.end() }
}

async function openPostgresJs(url: string): Promise<OwnPool | undefined> {
  const loaded = await import('postgres').catch(() => undefined)
  if (loaded === undefined) return undefined
  const sql = loaded.default(url, { max: SESSIONS_MAX, connect_timeout: CONNECT_MS_MAX / 1000, onnotice: () => {} })
  return { driver: postgresJsDriver(sql as unknown as JsSqlShape), close: () => sql.end({ timeout: 1 }) }
}

function noDriver(): never {
  throw new DriverMissingError('no PostgreSQL driver is installed; run "npm install pg" (or "npm install postgres")')
}
