/**
 * Simulated database servers, and drivers' pools that lead to them.
 *
 * They pass the contract of resources through the production adapters, and random statements come to the same in them as
 * in real servers (differential/). What they don't do, and why:
 *
 * - one database and one user a server, so neither 42501 nor 0A000: these are mistakes of set-up, not of timing;
 * - no isolation above what drivers get by default (read committed, repeatable read), and no gap locks in MariaDB: the
 *   workloads lock single rows by their keys;
 * - rows are locked exclusively or not at all: nobody here takes shared locks;
 * - the SQL of our adapters and workloads only; DDL takes effect at once;
 * - PREPARE never meets deferred constraints, temporary tables or LISTEN;
 * - MySQL 8, which detaches prepared branches at once, is not simulated: PostgreSQL detaches too.
 */
export { type DatabaseObserver, type Host, type Mark, noFaults, type ServerFaults, type Span } from './host.ts'
export { SimMariadb, SimMysqlPool, type SimMysqlPromiseConnection } from './mariadb/index.ts'
export { type SimJsReserved, SimJsSql, type SimPgClient, SimPgPool, SimPostgres } from './postgres/index.ts'
export type { Row, Value } from './store/index.ts'
