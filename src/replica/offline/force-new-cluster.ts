import { assert, type Clock, systemClock } from '../../base/index.ts'
import {
  type ConfigurationData,
  type Entry,
  NO_INDEX,
  NO_TERM,
  type WriteEffect,
  type WriteId,
} from '../../raft/index.ts'
import type { Endpoint } from '../../transport/index.ts'
import { type Disk, setAsideDamagedLog, surveyLog, type WalDamagedError } from '../../wal/index.ts'
import { RaftStorage } from '../raft-storage.ts'
import { decodeEntries, encodeBase, encodeBootstrap, encodeDoubt, encodeHardState, RecordType } from '../records.ts'
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
 * had is gone. All other ids retire, so that none of the lost nodes can take part again. A copy of the directory is made
 * first; a crash at any step leaves a directory that can be recovered again, or the finished one.
 *
 * @throws WalLockedError while the node runs, RecoveryRefusedError, and what the disk throws
 */
export async function forceNewCluster(options: ForceOptions): Promise<Forced> {
  const { disk, directory } = options
  const release = await disk.lock(directory)
  try {
    const inspection = await inspect(disk, directory, options.clock)
    const configuration = configurationFor(inspection.report, options)
    const copy = await copyBeside(disk, directory, 'before-recovery')
    await rewrite({ ...options, disk: heldDisk(disk) }, inspection, configuration, copy)
    const { report: after } = await inspect(disk, directory, options.clock)
    assert(after.logDamage === undefined && !after.doubtful, 'a recovered log is whole')
    assert(after.members.nodeIds.join() === String(after.nodeId), 'a recovered node is alone')
    assert(after.committed === after.last.index, 'a recovered log is committed to its end')
    return { before: inspection.report, after, copy }
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

async function rewrite(
  options: ForceOptions,
  { report, findings, beginsAnew }: Inspection,
  configuration: ConfigurationData,
  copy: string,
): Promise<void> {
  const { logDamage } = report
  if (logDamage !== undefined) await setAside(options, report, findings, logDamage)
  const { clusterId, nodeId } = report
  let fail: (error: Error) => void = () => {}
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  failed.catch(() => undefined)
  const { disk, directory, clock = systemClock } = options
  const mayRebuild = report.doubtful || logDamage !== undefined
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
    const append = (write: Pick<WriteEffect, 'hardState' | 'entries'>) =>
      storage.append([{ kind: 'write', writeId: 1 as WriteId, term: NO_TERM, unlocks: [], ...write }], [], () => {})
    if (logDamage !== undefined && !beginsAnew) {
      await readAgain(options, copy, (entries) => append({ hardState: undefined, entries }), storage.base.index)
    }
    append(forcedWrite(nodeId, report.last, report.term, configuration, options.payloads))
    // In the same batch, or a later one: until then the node knows that it is not to be trusted.
    if (mayRebuild) storage.clearDoubt()
    await Promise.race([storage.flushed(), failed])
  } finally {
    await storage.close()
  }
}

/** Puts a fresh log in place of the damaged one: doubtful, and with nothing in it but where it begins. */
async function setAside(
  { disk, directory, segmentBytesMax }: ForceOptions,
  { clusterId, nodeId, snapshot, last, term }: DirectoryReport,
  { log }: Inspection['findings'],
  damage: WalDamagedError,
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
  await setAsideDamagedLog({ disk, directory, identity: { clusterId, nodeId }, firstRecords, ...size }, damage)
}

/** Hands out the entries behind `base` of the log in `directory` up to its damage, as they were written. */
async function readAgain(
  { disk }: ForceOptions,
  directory: string,
  append: (entries: readonly Entry[]) => void,
  base: number,
): Promise<void> {
  await surveyLog(disk, directory, (record) => {
    if (record.type !== RecordType.entries) return
    const entries: Entry[] = []
    decodeEntries(record.payload, (entry) => {
      // The read buffer is used again before the log has written.
      if (entry.index > base) entries.push({ ...entry, data: Uint8Array.from(entry.data) })
    })
    if (entries.length > 0) append(entries)
  })
}
