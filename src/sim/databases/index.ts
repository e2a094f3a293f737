/** Simulated database servers, and drivers' pools that lead to them. */
export { type DatabaseObserver, type Host, type Mark, noFaults, type ServerFaults, type Span } from './host.ts'
export {
  SimMariadb,
  type SimMariadbOptions,
  SimMysqlPool,
  type SimMysqlPoolOptions,
  type SimMysqlPromiseConnection,
  type SimMysqlPromisePool,
} from './mariadb/index.ts'
export {
  type SimPgClient,
  SimPgPool,
  type SimPgPoolOptions,
  type SimPgResult,
  SimPostgres,
  type SimPostgresOptions,
} from './postgres/index.ts'
export type { Row, Store, Value } from './store/index.ts'
