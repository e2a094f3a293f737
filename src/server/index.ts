export {
  AdminRefusedError,
  type AskOptions,
  askLeader,
  askStatus,
  CoordinatorUnreachableError,
} from './admin-client.ts'
export type { ServerConfig, ServerConfigInput } from './config.ts'
export { ConfigError } from './config-error.ts'
export { loadConfig, type Override } from './config-file.ts'
export { CoordinatorServer, type ServerLogger } from './server.ts'
export type { MemberStatus, NodeStatus, ResourceStatus, TransactionCounts } from './status.ts'
