/** Private, throw-away database servers for the demo, the tests and the benchmarks. */
export { LocalServerFailedError, LocalServerMissingError } from './errors.ts'
export type { LocalServer, LocalServerOptions } from './local-server.ts'
export { LocalServers } from './local-servers.ts'
export { findMariadb, MARIADB_INSTALL_HINT, type MariadbPrograms, startMariadb } from './mariadb.ts'
export { startPostgres } from './postgres.ts'
