/** Databases that take part in transactions: the seam, its errors, and the adapters. */
export {
  type AmbientTransaction,
  ambientTransaction,
  calledWithin,
  detached,
  outside,
  within,
} from './ambient/index.ts'
export {
  BranchAbortedError,
  BranchEndedError,
  BranchEscapedError,
  BranchNotPreparableError,
  BranchOutcomeUnknownError,
  BranchStatementRefusedError,
  ConnectionReleasedError,
  DriverMissingError,
  NestedTransactionOpenError,
  ResourceExhaustedError,
  ResourceMisconfiguredError,
  ResourceUnavailableError,
} from './errors.ts'
export { type ResourceFromUrlOptions, resourceFromUrl } from './from-url.ts'
export type {
  Blocked,
  BlockedSession,
  BranchInDoubt,
  InDoubtReport,
  InspectionPort,
  LockedTable,
  Observation,
  VacuumHold,
} from './inspection.ts'
export { NOTHING_BLOCKED } from './inspection.ts'
export type { LockWait, LockWaitPort } from './lock-waits.ts'
export {
  type MysqlDatabase,
  type MysqlOptions,
  type MysqlPool,
  type MysqlSession,
  mysql,
  mysqlFromUrl,
  mysqlInDoubtFromUrl,
} from './mysql/index.ts'
export {
  type PostgresDatabase,
  type PostgresOptions,
  type PostgresPool,
  type PostgresSession,
  postgres,
  postgresFromUrl,
  postgresInDoubtFromUrl,
} from './postgres/index.ts'
export type {
  Branch,
  BranchIdentity,
  Evidence,
  Finding,
  InDoubtPort,
  PreparedBranch,
  PrepareResult,
  Resource,
  ResourceKind,
  SettleResult,
} from './resource.ts'
