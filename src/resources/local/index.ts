/** Short transactions in one database, over a pool of the application's. */
import { mysqlDriver } from '../mysql/driver.ts'
import type { MysqlPool, MysqlSession } from '../mysql/index.ts'
import type { PostgresPool, PostgresSession } from '../postgres/index.ts'
import { postgresDriver } from '../postgres/postgres.ts'
import type { LocalDriver } from './local-database.ts'
import { mysqlLocal } from './mysql-local.ts'
import { postgresLocal } from './postgres-local.ts'

export { LocalDatabase, type LocalDriver, type LocalEnd, type LocalTransaction, type Rows } from './local-database.ts'

/** Local transactions over a `pg` Pool or postgres.js's `sql`. @throws DriverMissingError */
export function postgresLocalDriver<Pool extends PostgresPool>(pool: Pool): LocalDriver<PostgresSession<Pool>> {
  return postgresLocal(postgresDriver<PostgresSession<Pool>>(pool))
}

/** Local transactions over a mysql2 pool. @throws DriverMissingError */
export function mysqlLocalDriver<Pool extends MysqlPool>(pool: Pool): LocalDriver<MysqlSession<Pool>> {
  return mysqlLocal(mysqlDriver<MysqlSession<Pool>>(pool))
}
