export * from './asking/index.ts'
export { type TakenBackup, takeBackup } from './backup-client.ts'
export type { ServerConfig, ServerConfigInput } from './config.ts'
export { loadConfig, loadConfigAs, type Override } from './config-file.ts'
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
