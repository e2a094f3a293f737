/** What operators' questions need, and no more: a command that only asks is there in a moment, without a coordinator's parts. */
export { parseAddress } from '../address.ts'
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
} from '../admin-client.ts'
export { ConfigError } from '../config-error.ts'
export type { InDoubtAnswer, InDoubtBranch, InDoubtResource } from '../in-doubt-view.ts'
export { assertMeant, type Meant } from '../settle-rules.ts'
export type { EndedBranch, ForceAnswer, ForceStanding, SettleAnswer, SettlementsAnswer } from '../settle-view.ts'
export type {
  ConfiguredResource,
  MemberStatus,
  NodeStatus,
  ParticipantStatus,
  ResourceStatus,
  TransactionCounts,
} from '../status.ts'
