/** A simulated PostgreSQL server, and drivers' pools that lead to it. */
export type { SimPgClient } from './pg-client.ts'
export { SimPgPool, type SimPgPoolOptions } from './pg-pool.ts'
export type { SimPgResult } from './pg-query.ts'
export { SimPostgres, type SimPostgresOptions } from './server.ts'
