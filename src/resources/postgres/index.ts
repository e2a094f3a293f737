/** `concordat/postgres`: PostgreSQL databases as participants. */
export { postgresFromUrl, postgresInDoubtFromUrl } from './from-url.ts'
export {
  type PostgresDatabase,
  type PostgresOptions,
  type PostgresPool,
  type PostgresSession,
  postgres,
} from './postgres.ts'
