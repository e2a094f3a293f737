import { DriverMissingError } from '../errors.ts'
import type { InDoubtPort, Resource } from '../resource.ts'
import { mysqlDriver } from './driver.ts'
import { type MysqlOptions, MysqlResource } from './mysql.ts'

/** Enough for a resolver; its pool is its own, so applications can't starve it. */
const SESSIONS_MAX = 2
/** Beyond this a server counts as unreachable, milliseconds. */
const CONNECT_MS_MAX = 5_000

/**
 * A MariaDB or MySQL database by URL (`mysql://` or `mariadb://`), with a small pool of its own, for resolvers and
 * operators. Connects lazily. `inDoubt.close()` closes the pool.
 *
 * @throws DriverMissingError when mysql2 is not installed
 */
export async function mysqlFromUrl(url: string, options: MysqlOptions): Promise<Resource<unknown>> {
  const loaded = await import('mysql2').catch((cause: unknown) => {
    throw new DriverMissingError('no MySQL driver is installed; run "npm install mysql2"', { cause })
  })
  const uri = url.replace(/^mariadb:/, 'mysql:')
  const pool = loaded.default.createPool({ uri, connectionLimit: SESSIONS_MAX, connectTimeout: CONNECT_MS_MAX })
  const close = (): Promise<void> => new Promise((resolve) => pool.end(() => resolve()))
  return new MysqlResource(options, mysqlDriver(pool), close)
}

/** The InDoubtPort of `mysqlFromUrl`. @throws DriverMissingError when mysql2 is not installed */
export async function mysqlInDoubtFromUrl(url: string, options: MysqlOptions): Promise<InDoubtPort> {
  return (await mysqlFromUrl(url, options)).inDoubt
}
