/** A simulated MariaDB server, and drivers' pools that lead to it. */
export {
  type SimMysqlConnection,
  SimMysqlPool,
  type SimMysqlPoolOptions,
  type SimMysqlPromiseConnection,
  type SimMysqlPromisePool,
} from './mysql2.ts'
export { SimMariadb, type SimMariadbOptions } from './server.ts'
