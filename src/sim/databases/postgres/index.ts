/** A simulated PostgreSQL server, and drivers' pools that lead to it. */
export type { SimPgClient } from './pg-client.ts'
export { SimPgPool } from './pg-pool.ts'
export { type SimJsReserved, SimJsSql } from './postgres-js.ts'
export { SimPostgres } from './server.ts'
