export type {
  DecisionLog,
  DecisionLogHandler,
  DecisionLogStatus,
  FrozenState,
  ProposeOptions,
  ProposeResult,
  StateRestore,
} from './decision-log.ts'
export {
  ApplyFailedError,
  NodeNotMemberError,
  NodeStoreChangedError,
  NodeStoreOldError,
  NotLeaderError,
  ProposalTooLargeError,
  ReplicaLogMalformedError,
} from './errors.ts'
export type { Member, RaftTap, ReplicaLogger, ReplicaOptions, ReplicaTuning } from './options.ts'
export { Replica } from './replica.ts'
