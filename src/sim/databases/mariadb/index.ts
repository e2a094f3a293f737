/** A simulated MariaDB server, and drivers' pools that lead to it. */
export { type SimMysqlConnection, SimMysqlPool, type SimMysqlPromiseConnection } from './mysql2.ts'
export { SimMariadb } from './server.ts'
