export { parseAddress } from './address.ts'
export {
  AdminRefusedError,
  type AskOptions,
  askLeader,
  askOwnInDoubt,
  askOwnMembers,
  askStatus,
  CoordinatorUnreachableError,
  type LeaderQuestions,
  type Method,
} from './admin-client.ts'
export { type TakenBackup, takeBackup } from './backup-client.ts'
export type { ServerConfig, ServerConfigInput } from './config.ts'
export { ConfigError } from './config-error.ts'
export { loadConfig, loadConfigAs, type Override } from './config-file.ts'
export type { InDoubtAnswer, InDoubtBranch, InDoubtResource } from './in-doubt-view.ts'
export {
  type BackupSummary,
  checkRecoverable,
  type DirectoryReport,
  type Forced,
  inspectData,
  type Restored,
  recoverData,
  restoreData,
  verifyBackup,
} from './offline.ts'
export type { ServerSeams } from './seams.ts'
export { CoordinatorServer } from './server.ts'
export type { ServerLogger } from './server-logger.ts'
export { askServices, type ServiceAnswer } from './services/ask-services.ts'
export type { HttpExchange, HttpPlace, HttpRequest, HttpResponse } from './services/http-exchange.ts'
export { assertMeant, type Meant } from './settle-rules.ts'
export type { EndedBranch, ForceAnswer, ForceStanding, SettleAnswer, SettlementsAnswer } from './settle-view.ts'
export type {
  ConfiguredResource,
  MemberStatus,
  NodeStatus,
  ParticipantStatus,
  ResourceStatus,
  TransactionCounts,
} from './status.ts'
