import { type Clock, type ClusterId, type ConcordatError, type NodeId, systemClock } from '../../base/index.ts'
import { type LogIndex, NO_INDEX, NO_TERM, type SnapshotPosition, type Term } from '../../raft/index.ts'
import { type Disk, surveyLog, type WalDamagedError } from '../../wal/index.ts'
import type { MemberList } from '../member-list.ts'
import { SnapshotStore, type StoredSnapshot } from '../snapshot-store.ts'
import { begunFrom } from './begun-recovery.ts'
import { RecoveryRefusedError } from './errors.ts'
import { Findings } from './findings.ts'
import { lookingDisk } from './looking-disk.ts'

/** The directory of a node that does not run. */
export interface DirectoryReport {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly storeId: string
  readonly term: Term
  /** The last entry that can be read. */
  readonly last: SnapshotPosition
  /**
   * The highest entry that is surely committed; there may be more, since a node learns of commits later than of entries.
   * Those behind `last` are known to be lost here.
   */
  readonly committed: LogIndex
  readonly snapshot: Pick<StoredSnapshot, 'header' | 'fileBytes'> | undefined
  /** As of the last entry. */
  readonly members: MemberList
  /** Nodes that it ever met. */
  readonly peers: readonly NodeId[]
  /** The node knows that it lost a part of its log before. */
  readonly doubtful: boolean
  /** What keeps the log from being opened. */
  readonly logDamage: WalDamagedError | undefined
  /** Snapshots that do not read back. */
  readonly snapshotDamage: readonly ConcordatError[]
  /** No state can be made of it: the log begins behind this entry, and no good snapshot reaches as far. */
  readonly lacks: SnapshotPosition | undefined
  /**
   * A recovery was begun in the directory and has not ended: all this is of the copy that it made first, which lies here.
   */
  readonly begunFrom: string | undefined
}

/** What a report is made of. */
export interface Inspection {
  readonly report: DirectoryReport
  readonly findings: Findings
}

/**
 * Reads a data directory and changes nothing. Hold its lock meanwhile.
 *
 * @throws RecoveryRefusedError when it is none; ReplicaLogMalformedError, SnapshotVersionError, WalVersionError
 */
export async function inspect(disk: Disk, directory: string, clock: Clock = systemClock): Promise<Inspection> {
  const looking = lookingDisk(disk)
  const findings = new Findings()
  const survey = await surveyLog(looking, directory, (record) => findings.add(record))
  if (survey === undefined) throw new RecoveryRefusedError(`${directory} holds no log whose owner can be told.`)
  const { clusterId, nodeId } = survey.identity
  const store = await SnapshotStore.open({
    disk: looking,
    directory: `${directory}/snapshots`,
    clusterId,
    clock,
    later: setImmediate,
  })
  const { newest: snapshot } = store
  const position = snapshot?.header.position
  const { log } = findings
  const recovery = log.finish(position, survey.damage !== undefined)
  const isWhole = recovery.kind === 'whole'
  const last = isWhole ? lastOf(recovery.state) : { index: NO_INDEX, term: NO_TERM }
  const report: DirectoryReport = {
    clusterId,
    nodeId,
    storeId: survey.storeId,
    // The word on its term may be behind the damage.
    term: Math.max(log.hardState.currentTerm, last.term) as Term,
    last,
    committed: findings.committed(position),
    snapshot,
    members: findings.members(position, snapshot?.header.configuration ?? log.bootstrap, last.index),
    peers: [...log.peers.keys()],
    doubtful: log.isDoubtful,
    logDamage: survey.damage,
    snapshotDamage: store.damaged.map(({ error }) => error),
    lacks: isWhole ? undefined : recovery.base,
    begunFrom: undefined,
  }
  return { report, findings }
}

type WholeState = Extract<ReturnType<Findings['log']['finish']>, { kind: 'whole' }>['state']

function lastOf({ termRuns, lastIndex, baseTerm }: WholeState): SnapshotPosition {
  return { index: lastIndex, term: termRuns.at(-1)?.term ?? baseTerm }
}

/** The same with the lock held; amid a recovery, of what it goes on from. @throws WalLockedError while the node runs */
export async function inspectDirectory(disk: Disk, directory: string): Promise<DirectoryReport> {
  const release = await disk.lock(directory)
  try {
    const copy = await begunFrom(disk, directory)
    const { report } = await inspect(disk, copy ?? directory)
    return { ...report, begunFrom: copy }
  } finally {
    await release()
  }
}
