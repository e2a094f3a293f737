import { resolve } from 'node:path'
import { ByteWriter, CodecError, ConcordatError, parseNodeId } from '../base/index.ts'
import {
  BackupDamagedError,
  BackupReading,
  checkRecoverable,
  type DirectoryReport,
  type Forced,
  forceNewCluster,
  inspectDirectory,
  type Restored,
  restoreBackup,
} from '../replica/index.ts'
import { encodeCommands, Ledger } from '../txn/index.ts'
import { nodeDisk, WalNotEmptyError } from '../wal/index.ts'
import { parseAddress } from './address.ts'
import { atPath } from './path-error.ts'

// What operators do with the directories of nodes that do not run. All of it works on the machine's own disk.

/** Looks at a data directory and changes nothing. @throws WalLockedError while its node runs, PathUnusableError */
export function inspectData(directory: string): Promise<DirectoryReport> {
  const path = resolve(directory)
  return atPath(path, 'read', () => inspectDirectory(nodeDisk, path))
}

export interface RecoverOptions {
  readonly directory: string
  /** `host:port`, when the directory does not tell. */
  readonly address: string | undefined
  readonly reason: string
}

/**
 * Makes a node the only member of its fleet. What the lost members decided and this node never heard of is in doubt from
 * now on: see `guard`.
 */
export function recoverData({ directory, address, reason }: RecoverOptions): Promise<Forced> {
  return forceNewCluster({
    disk: nodeDisk,
    directory: resolve(directory),
    endpoint: address === undefined ? undefined : parseAddress(address),
    payloads: [guard(reason)],
    reason,
  })
}

export interface RestoreDataOptions {
  readonly file: string
  readonly directory: string
  readonly node: number
  readonly address: string
  readonly isOldFleetDestroyed: boolean
  readonly reason: string
}

/** Makes the directory of the first node of a new fleet out of a backup. What was decided since then is in doubt: see `guard`. */
export async function restoreData(options: RestoreDataOptions): Promise<Restored> {
  const { file, directory, node, address, isOldFleetDestroyed, reason } = options
  await verifyBackup(file)
  const path = resolve(directory)
  const restoring = atPath(path, 'written', () =>
    restoreBackup({
      disk: nodeDisk,
      file: resolve(file),
      directory: path,
      nodeId: parseNodeId(node),
      endpoint: parseAddress(address),
      isOldFleetDestroyed,
      payloads: [guard(reason)],
      reason,
    }),
  )
  return await restoring.catch((error: unknown) => {
    throw error instanceof WalNotEmptyError ? new TargetNotEmptyError(path, error) : error
  })
}

/** Something is there already where a backup should go. */
class TargetNotEmptyError extends ConcordatError {
  readonly code = 'WAL_NOT_EMPTY'

  constructor(directory: string, cause: WalNotEmptyError) {
    super(
      `${directory} is not empty (it holds ${cause.found}), and a backup goes into a new or empty directory only. ` +
        'Nothing was changed. If it is what a restore left that was interrupted, and no node ever ran with it, delete ' +
        'it and give the command again.',
      { cause },
    )
  }
}

/** What a backup holds. */
export interface BackupSummary {
  readonly file: string
  readonly cluster: string
  readonly takenAtMs: number
  /** The last log entry that it covers. */
  readonly index: number
  readonly term: number
  readonly bytes: number
  readonly members: readonly number[]
  readonly open: number
  readonly finished: number
  readonly digest: string
}

/**
 * Reads a backup from its first byte to its last, and rebuilds the state from it.
 * @throws BackupDamagedError, SnapshotVersionError, PathUnusableError
 */
export async function verifyBackup(file: string): Promise<BackupSummary> {
  const path = resolve(file)
  return await atPath(path, 'read', () => readBackup(path))
}

async function readBackup(path: string): Promise<BackupSummary> {
  const reading = await BackupReading.open(nodeDisk, path)
  try {
    const ledger = await restoreLedger(path, reading)
    const { clusterId, position, configuration, takenAtMs } = reading.header
    const { voters, learners } = configuration.configuration
    return {
      file: path,
      cluster: clusterId,
      takenAtMs,
      index: position.index,
      term: position.term,
      bytes: reading.offset,
      members: [...voters, ...learners],
      open: ledger.openCount,
      finished: ledger.finishedCount,
      digest: ledger.digest(),
    }
  } finally {
    await reading.close()
  }
}

async function restoreLedger(path: string, reading: BackupReading): Promise<Ledger> {
  const ledger = new Ledger()
  const restoring = ledger.restore()
  try {
    for (let piece = await reading.next(); piece !== undefined; piece = await reading.next()) restoring.add(piece)
    restoring.finish()
    return ledger
  } catch (error) {
    if (!(error instanceof CodecError)) throw error
    throw new BackupDamagedError(path, error.message, { cause: error })
  }
}

/** Nothing that was asked for before this moment is presumed to be aborted because this log does not know it. */
function guard(reason: string): Uint8Array {
  const writer = new ByteWriter()
  encodeCommands([{ kind: 'guard', beforeMs: Date.now(), reason }], writer)
  return writer.finish()
}

export type { DirectoryReport, Forced, Restored }
export { checkRecoverable }
