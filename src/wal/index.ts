export { type Disk, type DiskFile, isOutOfSpace, type OpenOptions, writeAll } from './disk.ts'
export {
  type DamagePlace,
  RecoveryUnfinishedError,
  WalClosedError,
  WalDamagedError,
  WalFailedError,
  WalIdentityError,
  WalLockedError,
  WalNotEmptyError,
  WalRecordTooLargeError,
  WalRemovedError,
  WalSetAsideError,
  WalVersionError,
} from './errors.ts'
export { FileDraft, listFiles, readPieces, removeDraft, removeDurably } from './file-draft.ts'
export type { Payload, Position } from './format.ts'
export type { StoredRecord } from './log-reader.ts'
export { type MakeLogOptions, makeLog } from './make-log.ts'
export { MemoryDisk } from './memory-disk.ts'
export type { DiskOperation, Draw, Fate, MemoryDiskOptions } from './memory-faults.ts'
export { nodeDisk } from './node-disk.ts'
export { salvageLog } from './salvage.ts'
export type { WalIdentity } from './segment.ts'
export { type SetAside, type SetAsideOptions, segmentPlaces, setAsideDamagedLog } from './set-aside.ts'
export { type LogSurvey, surveyLog } from './survey.ts'
export { clearUnfinished, markUnfinished, UNFINISHED, unfinishedNote } from './unfinished.ts'
export { Wal } from './wal.ts'
export type { WalOptions, WalRecord, WalStats } from './wal-options.ts'
