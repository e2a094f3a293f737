import { assert, type Clock, systemClock } from '../../base/index.ts'
import {
  type ConfigurationData,
  type Entry,
  type LogIndex,
  NO_INDEX,
  NO_TERM,
  type WriteEffect,
  type WriteId,
} from '../../raft/index.ts'
import type { Endpoint } from '../../transport/index.ts'
import { type Disk, setAsideDamagedLog, surveyLog, UNFINISHED, WalDamagedError } from '../../wal/index.ts'
import type { EntryIndex } from '../entry-index.ts'
import { EntryLoad } from '../entry-load.ts'
import { RaftStorage } from '../raft-storage.ts'
import { encodeBase, encodeBootstrap, encodeDoubt, encodeHardState, type PeerRecord, RecordType } from '../records.ts'
import { beginRecovery, begunFrom, endRecovery } from './begun-recovery.ts'
import { copyBeside } from './copy-directory.ts'
import { RecoveryRefusedError } from './errors.ts'
import { aloneConfiguration, forcedWrite, idsOf } from './forced-entries.ts'
import { type DirectoryReport, type Inspection, inspect } from './inspect.ts'
import { heldDisk } from './looking-disk.ts'

export interface ForceOptions {
  readonly disk: Disk
  readonly directory: string
  /** Where new members reach this node, when the directory does not tell. */
  readonly endpoint: Endpoint | undefined
  /** Commands for the state machine that follow the change. */
  readonly payloads: readonly Uint8Array[]
  /** Goes into the replicated log. */
  readonly reason: string
  readonly clock?: Clock
  /** Size of one file of the log. Default: the log's own. */
  readonly segmentBytesMax?: number
}

export interface Forced {
  readonly before: DirectoryReport
  readonly after: DirectoryReport
  /** The directory as it was. */
  readonly copy: string
}

/**
 * Makes the node of this directory the only member of its group, when the majority is lost for good.
 *
 * Everything that can be read of its log becomes committed, whatever the lost majority did: a decision that only they
 * had is gone. All other ids retire, so that none of the lost nodes can take part again.
 *
 * 1. The directory is copied beside itself. A sound log is then only added to.
 * 2. A damaged one is replaced: it is durably written that the copy counts from now on (begun-recovery.ts);
 * 3. the damaged log is set aside for a fresh one, which knows that it is not to be trusted;
 * 4. what can be read in the copy is written into that, and behind it that this node is alone.
 * 5. Only when all this reads back, the note of step 2 is removed.
 *
 * A crash or a failure at any step leaves the directory as it was, the finished one, or one that no node starts with and
 * that this goes on with from the copy: nothing that could be read at the beginning is lost.
 *
 * @throws WalLockedError while the node runs, RecoveryRefusedError, and what the disk throws
 */
export async function forceNewCluster(options: ForceOptions): Promise<Forced> {
  const { disk, directory, clock } = options
  const release = await disk.lock(directory)
  try {
    const begun = await begunFrom(disk, directory)
    const inspection = await inspect(disk, begun ?? directory, clock)
    const before = { ...inspection.report, begunFrom: begun }
    const configuration = configurationFor(before, options)
    const copy = begun ?? (await copyBeside(disk, directory, 'before-recovery'))
    const replaces = begun !== undefined || before.logDamage !== undefined
    // Also again: an earlier run's note may be known to the page cache alone.
    if (replaces) await beginRecovery(disk, directory, copy)
    await rewrite({ ...options, disk: heldDisk(disk) }, inspection, configuration, replaces ? copy : undefined)
    const { report: after } = await inspect(disk, directory, clock)
    assert(after.logDamage === undefined && !after.doubtful, 'a recovered log is whole')
    assert(after.members.nodeIds.join() === String(after.nodeId), 'a recovered node is alone')
    assert(after.last.index > before.last.index, 'a recovered log has all that was read')
    assert(after.committed === after.last.index, 'a recovered log is committed to its end')
    if (replaces) await endRecovery(disk, directory)
    return { before, after, copy }
  } finally {
    await release()
  }
}

/** @throws RecoveryRefusedError when nothing can be made of this directory */
export function checkRecoverable(report: DirectoryReport): void {
  const { lacks, members, nodeId, last } = report
  if (lacks !== undefined) {
    throw new RecoveryRefusedError(
      `The log begins behind entry ${lacks.index}, and no snapshot that can be read reaches as far: there is no state to go on with. Use another node's directory, or restore a backup.`,
    )
  }
  if (last.index === NO_INDEX) throw new RecoveryRefusedError('Not a single entry can be read. Restore a backup.')
  if (members.isRetired(nodeId)) {
    throw new RecoveryRefusedError(
      `Node ${nodeId} was removed from the group before, so its log is from the past. Use another node's directory, or restore a backup.`,
    )
  }
}

function configurationFor(report: DirectoryReport, { endpoint, reason }: ForceOptions): ConfigurationData {
  checkRecoverable(report)
  const { nodeId, members, peers } = report
  const reached = endpoint ?? members.details.get(nodeId)
  if (reached === undefined) {
    throw new RecoveryRefusedError(
      `The directory does not say where node ${nodeId} is reached; give its address with --address host:port.`,
    )
  }
  const { host, port } = reached
  return aloneConfiguration(nodeId, { host, port }, [...idsOf(members), ...peers], reason)
}

/** @param copy what takes the place of a damaged log; undefined: the log is sound, and goes on */
async function rewrite(
  options: ForceOptions,
  { report, findings }: Inspection,
  configuration: ConfigurationData,
  copy: string | undefined,
): Promise<void> {
  if (copy !== undefined) await setAside(options, report, findings)
  const { clusterId, nodeId, last } = report
  let fail: (error: Error) => void = () => {}
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  failed.catch(() => undefined)
  const { disk, directory, clock = systemClock } = options
  const mayRebuild = report.doubtful || copy !== undefined
  const storage = await RaftStorage.open({
    disk,
    directory,
    clusterId,
    nodeId,
    segmentBytesMax: options.segmentBytesMax,
    clock,
    mayRebuild,
    onFailure: fail,
  })
  try {
    const append = (write: Pick<WriteEffect, 'hardState' | 'entries'>, peers: readonly PeerRecord[] = []) =>
      storage.append([{ kind: 'write', writeId: 1 as WriteId, term: NO_TERM, unlocks: [], ...write }], peers, () => {})
    if (copy !== undefined) {
      const read = await readAgain(disk, copy, findings.entryIndex, storage.base.index, last.index, (entries) =>
        append({ hardState: undefined, entries }),
      )
      assert(read === last.index, 'what was read once is read again')
    }
    const forced = forcedWrite(nodeId, last, report.term, configuration, options.payloads)
    append(forced, boundedPeers(storage, last.index))
    // In the same batch, or a later one: until then the node knows that it is not to be trusted.
    if (mayRebuild) storage.clearDoubt()
    await Promise.race([storage.flushed(), failed])
  } finally {
    await storage.close()
  }
}

/** Peers that acknowledged entries which are lost here: what these indexes hold from now on, they never had. */
function boundedPeers({ peers }: RaftStorage, last: LogIndex): readonly PeerRecord[] {
  const ahead = [...peers.values()].filter(({ acknowledged }) => acknowledged > last)
  return ahead.map((peer) => ({ ...peer, acknowledged: last }))
}

/** Puts a fresh log in place of whatever is there: doubtful, and with nothing in it but where it begins. */
async function setAside(
  { disk, directory, segmentBytesMax }: ForceOptions,
  { clusterId, nodeId, snapshot, last, term }: DirectoryReport,
  { log }: Inspection['findings'],
): Promise<void> {
  const position = snapshot?.header.position ?? { index: NO_INDEX, term: NO_TERM }
  const currentTerm = last.term > term ? last.term : term
  const hardState = { currentTerm, votedFor: undefined, commitIndex: position.index }
  const { bootstrap } = log
  const firstRecords = [
    { type: RecordType.doubt, payload: encodeDoubt(true) },
    { type: RecordType.hardState, payload: encodeHardState(hardState) },
    { type: RecordType.base, payload: encodeBase({ position, discard: true }) },
    ...(bootstrap === undefined ? [] : [{ type: RecordType.bootstrap, payload: encodeBootstrap(bootstrap) }]),
  ]
  const size = segmentBytesMax === undefined ? {} : { segmentBytesMax }
  const damage = new WalDamagedError(`${directory}/${UNFINISHED}`, 0, 'its log is being replaced')
  await setAsideDamagedLog({ disk, directory, identity: { clusterId, nodeId }, firstRecords, ...size }, damage)
}

/**
 * Hands out the entries `base + 1`…`last` of the log in `directory` as they were written, and only those that count:
 * records that were discarded or overwritten later (Raft §5.3) are still among them.
 *
 * @param entryIndex of the same log, read before
 * @returns the last entry that was handed out, or `base`
 */
async function readAgain(
  disk: Disk,
  directory: string,
  entryIndex: EntryIndex,
  base: LogIndex,
  last: LogIndex,
  append: (entries: readonly Entry[]) => void,
): Promise<LogIndex> {
  const from = (base + 1) as LogIndex
  const row = entryIndex.rowOf(from)
  if (row === undefined) return base
  let read = base
  const load = new EntryLoad(entryIndex, row, from, last, Number.POSITIVE_INFINITY)
  await surveyLog(disk, directory, (record) => {
    load.visit(record)
    // The read buffer is used again before the log has written.
    const entries = load.entries.splice(0).map((entry) => ({ ...entry, data: Uint8Array.from(entry.data) }))
    if (entries.length === 0) return
    append(entries)
    read = entries.at(-1)!.index
  })
  return read
}
