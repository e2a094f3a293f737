import { type Clock, type NodeId, systemClock } from '../../base/index.ts'
import { NO_TERM, type SnapshotPosition } from '../../raft/index.ts'
import type { Endpoint } from '../../transport/index.ts'
import { type Disk, makeLog, WalNotEmptyError } from '../../wal/index.ts'
import { MemberList } from '../member-list.ts'
import { encodeBase, encodeEntries, encodeHardState, RecordType } from '../records.ts'
import type { SnapshotHeader } from '../snapshot-format.ts'
import { SnapshotStore } from '../snapshot-store.ts'
import { BackupReading } from './backup-file.ts'
import { RecoveryRefusedError } from './errors.ts'
import { aloneConfiguration, forcedWrite, idsOf } from './forced-entries.ts'
import { inspect } from './inspect.ts'
import { heldDisk } from './looking-disk.ts'

export interface RestoreOptions {
  readonly disk: Disk
  readonly file: string
  /** Missing or empty. */
  readonly directory: string
  readonly nodeId: NodeId
  readonly endpoint: Endpoint
  /** No node of the group that made the backup will ever run again: its ids may be used again. */
  readonly isOldFleetDestroyed: boolean
  /** Commands for the state machine, to be applied behind the backup. */
  readonly payloads: readonly Uint8Array[]
  /** Goes into the replicated log. */
  readonly reason: string
  readonly clock?: Clock
}

/** What became of a backup. */
export interface Restored {
  readonly backup: SnapshotHeader
  readonly retired: readonly NodeId[]
}

/**
 * Makes the directory of one node out of a backup: the only member of its group, to which others are added afterwards.
 *
 * One node and not all: others that were restored for themselves could come from different backups, or be restored a
 * second time when the group has moved on, and either would have forgotten what it promised. Those that join get all
 * they know from the first.
 *
 * The snapshot is written first; the log comes into being whole, with all that it needs to begin there. A crash leaves a
 * directory without a log, which no node starts with.
 *
 * @throws WalNotEmptyError, WalLockedError, BackupDamagedError, SnapshotVersionError, RecoveryRefusedError
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { disk, directory, file } = options
  const reading = await BackupReading.open(disk, file)
  try {
    const retired = retiredFor(reading.header, options)
    await disk.makeDirectory(directory)
    const release = await disk.lock(directory)
    try {
      await refuseUnlessEmpty(disk, directory)
      await write({ ...options, disk: heldDisk(disk) }, reading, retired)
      await inspect(disk, directory, options.clock)
    } finally {
      await release()
    }
    return { backup: reading.header, retired }
  } finally {
    await reading.close()
  }
}

function retiredFor(
  { configuration, position }: SnapshotHeader,
  { nodeId, isOldFleetDestroyed }: RestoreOptions,
): readonly NodeId[] {
  if (isOldFleetDestroyed) return []
  const ids = idsOf(MemberList.from({ ...configuration, index: position.index }))
  if (!ids.includes(nodeId)) return ids
  throw new RecoveryRefusedError(
    `Node id ${nodeId} belongs to the fleet that made the backup, and a node of it may still be somewhere. Choose an id that was never used, or say that the old fleet is destroyed for good.`,
  )
}

async function refuseUnlessEmpty(disk: Disk, directory: string): Promise<void> {
  const stranger = (await disk.list(directory)).find((name) => !/^(lock\..*|lost\+found)$/.test(name))
  if (stranger !== undefined) throw new WalNotEmptyError(directory, stranger)
}

async function write(options: RestoreOptions, reading: BackupReading, retired: readonly NodeId[]): Promise<void> {
  const { disk, directory, nodeId, endpoint, clock = systemClock, payloads, reason } = options
  const { clusterId, position } = reading.header
  const store = await SnapshotStore.open({
    disk,
    directory: `${directory}/snapshots`,
    clusterId,
    clock,
    later: setImmediate,
  })
  const header = { ...reading.header, configuration: aloneConfiguration(nodeId, endpoint, retired, reason) }
  await store.take(header, { next: () => reading.next() }, async () => {})
  await makeLog({
    disk,
    directory,
    identity: { clusterId, nodeId },
    firstRecords: recordsFor(nodeId, position, payloads),
  })
}

function recordsFor(nodeId: NodeId, position: SnapshotPosition, payloads: readonly Uint8Array[]) {
  const { hardState, entries } = forcedWrite(nodeId, position, NO_TERM, undefined, payloads)
  return [
    { type: RecordType.base, payload: encodeBase({ position, discard: true }) },
    { type: RecordType.hardState, payload: encodeHardState(hardState) },
    ...(entries.length === 0 ? [] : [{ type: RecordType.entries, payload: encodeEntries(entries, 0, entries.length) }]),
  ]
}
