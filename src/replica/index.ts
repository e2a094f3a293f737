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
export type { ChangeOptions } from './member-changes.ts'
export {
  type MemberRefusal,
  MembersOutcomeUnknownError,
  MembersRefusedError,
  NodeRemovedError,
  NodeRunsTwiceError,
  TransferFailedError,
} from './member-errors.ts'
export type { MembersRequest } from './members-request.ts'
export type { MemberRole, MembersView, MemberView } from './members-view.ts'
export {
  BackupDamagedError,
  BackupReading,
  checkRecoverable,
  type DirectoryReport,
  type Forced,
  type ForceOptions,
  forceNewCluster,
  inspectDirectory,
  RecoveryRefusedError,
  type Restored,
  type RestoreOptions,
  restoreBackup,
} from './offline/index.ts'
export type { Member, RaftTap, ReplicaLogger, ReplicaOptions, ReplicaTuning } from './options.ts'
export { Replica } from './replica.ts'
export type { SnapshotStream } from './snapshot-stream.ts'
