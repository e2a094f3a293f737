export { KvBranch, type ScanOptions, type ScanResult } from './branch.ts'
export { DiskStore } from './disk-store.ts'
export {
  KvBranchEndedError,
  KvBranchTooLargeError,
  KvClosedError,
  KvDeadlockError,
  KvInvalidError,
  KvLockTimeoutError,
  KvLogMalformedError,
  KvRulesChangedError,
  KvStoreFailedError,
  KvStoreMismatchError,
  KvTransactionEndedError,
} from './errors.ts'
export type { InDoubtBranch } from './in-doubt.ts'
export { KvParticipant } from './kv-participant.ts'
export { LmdbStore } from './lmdb-store.ts'
export type { KvOptions } from './options.ts'
export type { KvStore, StoreChange } from './store.ts'
export type { AbortReason, KvSettled, KvVote } from './vote.ts'
