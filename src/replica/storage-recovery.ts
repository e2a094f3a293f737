import type { NodeId } from '../base/index.ts'
import {
  type ConfigurationData,
  type HardState,
  NO_INDEX,
  NO_TERM,
  type RecoveredState,
  type SnapshotPosition,
  type Term,
  votersOf,
} from '../raft/index.ts'
import {
  type Position,
  setAsideDamagedLog,
  Wal,
  WalDamagedError,
  type WalRecord,
  WalSetAsideError,
} from '../wal/index.ts'
import { EntryIndex } from './entry-index.ts'
import { SnapshotDamagedError } from './errors.ts'
import type { RaftStorageOptions } from './raft-storage.ts'
import { readMembers } from './readable-members.ts'
import {
  encodeBase,
  encodeBootstrap,
  encodeDoubt,
  encodeHardState,
  encodePeer,
  type PeerRecord,
  RecordType,
} from './records.ts'
import { RecoveredLog } from './recovered-log.ts'
import { takenName } from './snapshot-names.ts'
import { SnapshotStore } from './snapshot-store.ts'

/** What was found on disk, made consistent with itself. */
export interface RecoveredStorage {
  readonly wal: Wal
  readonly entryIndex: EntryIndex
  readonly state: RecoveredState
  readonly peers: ReadonlyMap<NodeId, PeerRecord>
  readonly bootstrap: ConfigurationData | undefined
  readonly snapshots: SnapshotStore
  readonly damage: Error | undefined
}

/**
 * Opens the log and the snapshots, and decides what they are together:
 *
 * | log | newest good snapshot | the node |
 * |---|---|---|
 * | begins at its first entry | none, or within the log | goes on; replays what is behind the snapshot |
 * | begins behind a base | at or behind the base, within the log | the same |
 * | ends before the snapshot, or conflicts there | any | begins anew behind the snapshot (a crash amid its installation) |
 * | begins behind a base | none, or before the base | lost a part of its state: comes back doubtful |
 * | damaged | any, or none | lost promises: the log is set aside, the node comes back doubtful |
 *
 * A doubtful node keeps what is good (terms, peers, the snapshot), and first of all writes durably that it is doubtful: no
 * crash leaves a directory that has forgotten something and does not know it. Without others nobody could give back what
 * is lost, and setting it aside would only take it from whoever recovers the node by hand: so the node refuses to start,
 * and changes nothing.
 */
export async function recoverStorage(options: RaftStorageOptions): Promise<RecoveredStorage> {
  const read = new Reading()
  try {
    return await open(options, read)
  } catch (error) {
    if (!(error instanceof WalDamagedError) || options.mayRebuild !== true) throw error
    const snapshots = await openSnapshots(options)
    if (!(await hasOthers(options, snapshots))) throw error
    const movedTo = await setAside(options, read.log, snapshots, error)
    return { ...(await open(options, new Reading())), damage: new WalSetAsideError(error, movedTo) }
  }
}

/**
 * Whether there are others that can rebuild this node. The configuration file does not know: it may still name those that
 * were removed or given up, or not yet those that came later. What the directory says is newer.
 */
async function hasOthers(options: RaftStorageOptions, snapshots: SnapshotStore): Promise<boolean> {
  const { disk, directory, nodeId } = options
  const { configuration, isBlankInDoubt } = await readMembers(disk, directory, snapshots)
  // It was the others' turn before, and still is; nothing here is worth keeping.
  if (isBlankInDoubt) return true
  if (configuration === undefined) return options.hasOthers ?? true
  return votersOf(configuration).some((voter) => voter !== nodeId)
}

/** The records that were read so far. */
class Reading {
  readonly entryIndex = new EntryIndex()
  readonly log = new RecoveredLog(this.entryIndex)
}

async function open(options: RaftStorageOptions, { entryIndex, log }: Reading): Promise<RecoveredStorage> {
  const wal = await openWal(options, log)
  try {
    const snapshots = await openSnapshots(options)
    const damage = await settle(options, wal, log, snapshots)
    const recovery = log.finish(snapshots.newest?.header.position)
    if (recovery.kind === 'lacking') throw lost(snapshots, recovery.base)
    return { wal, entryIndex, state: recovery.state, peers: log.peers, bootstrap: log.bootstrap, snapshots, damage }
  } catch (error) {
    await wal.close()
    throw error
  }
}

function openWal(options: RaftStorageOptions, log: RecoveredLog): Promise<Wal> {
  const { disk, directory, segmentBytesMax, clock, random } = options
  return Wal.open({
    disk,
    directory,
    identity: identityOf(options),
    ...(segmentBytesMax === undefined ? {} : { segmentBytesMax }),
    clock,
    ...(random === undefined ? {} : { random }),
    // All of a turn comes in one append already.
    defer: queueMicrotask,
    onFailure: options.onFailure,
    onRecord: (record) => log.add(record),
  })
}

function identityOf({ clusterId, nodeId }: RaftStorageOptions) {
  return { clusterId, nodeId }
}

function openSnapshots({ disk, directory, clusterId, clock, later = setImmediate }: RaftStorageOptions) {
  return SnapshotStore.open({ disk, directory: `${directory}/snapshots`, clusterId, clock, later })
}

/** Writes what must be on disk before anything else happens, and folds it into `log`. */
async function settle(
  options: RaftStorageOptions,
  wal: Wal,
  log: RecoveredLog,
  snapshots: SnapshotStore,
): Promise<Error | undefined> {
  if (log.isBlank && options.bootstrap !== undefined) {
    await write(wal, log, [{ type: RecordType.bootstrap, payload: encodeBootstrap(options.bootstrap) }])
  }
  const position = snapshots.newest?.header.position ?? { index: NO_INDEX, term: NO_TERM }
  const base = { type: RecordType.base, payload: encodeBase({ position, discard: true }) }
  const recovery = log.finish(position)
  if (recovery.kind === 'whole') {
    if (recovery.beginsAnew) await write(wal, log, [base])
    return undefined
  }
  const damage = lost(snapshots, recovery.base)
  if (options.mayRebuild !== true || !(await hasOthers(options, snapshots))) throw damage
  await write(wal, log, [{ type: RecordType.doubt, payload: encodeDoubt(true) }, base])
  return damage
}

/** Durably appends records, and adds them to what was read. */
async function write(wal: Wal, log: RecoveredLog, records: readonly (WalRecord & { payload: Uint8Array })[]) {
  const positions = await new Promise<readonly Position[]>((resolve, reject) => {
    const appended = wal.append(records, () => resolve(appended))
    // A failure is not told to whoever appends, but to whoever reads.
    wal.read(appended[0]!).catch(reject)
  })
  for (const [at, record] of records.entries()) log.add({ ...record, position: positions[at]! })
}

function lost(snapshots: SnapshotStore, base: SnapshotPosition): SnapshotDamagedError {
  const damaged = snapshots.damaged.find(({ position }) => position.index >= base.index)
  return damaged?.error ?? new SnapshotDamagedError(snapshots.pathOf(takenName(base)), 'it is missing')
}

/**
 * Puts a log in place of the damaged one that keeps what is still good and says that the node is in doubt.
 *
 * @returns where the damaged files are now
 */
async function setAside(
  options: RaftStorageOptions,
  log: RecoveredLog,
  snapshots: SnapshotStore,
  damage: WalDamagedError,
): Promise<string> {
  const { disk, directory, segmentBytesMax, random } = options
  const position = snapshots.newest?.header.position ?? { index: NO_INDEX, term: NO_TERM }
  const bootstrap = log.bootstrap ?? options.bootstrap
  const records = [
    { type: RecordType.doubt, payload: encodeDoubt(true) },
    { type: RecordType.hardState, payload: encodeHardState(atLeast(log.hardState, position.term)) },
    { type: RecordType.base, payload: encodeBase({ position, discard: true }) },
    ...[...log.peers.values()].map((peer) => ({ type: RecordType.peer, payload: encodePeer(peer) })),
    ...(bootstrap === undefined ? [] : [{ type: RecordType.bootstrap, payload: encodeBootstrap(bootstrap) }]),
  ]
  const { movedTo } = await setAsideDamagedLog(
    {
      disk,
      directory,
      identity: identityOf(options),
      ...(segmentBytesMax === undefined ? {} : { segmentBytesMax }),
      ...(random === undefined ? {} : { random }),
      firstRecords: records,
    },
    damage,
  )
  return movedTo
}

/** The snapshot may be of a later term than what could still be read. */
function atLeast(hardState: HardState, term: Term): HardState {
  return hardState.currentTerm >= term ? hardState : { ...hardState, currentTerm: term, votedFor: undefined }
}
