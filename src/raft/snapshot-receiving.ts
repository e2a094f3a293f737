import { assert, type NodeId } from '../base/index.ts'
import { applyCommitted, commitTo } from './commit.ts'
import { installConfiguration } from './configuration-in-force.ts'
import type { Core } from './core.ts'
import { higher } from './positions.ts'
import { hearLeader } from './roles.ts'
import type {
  Configuration,
  InstallSnapshot,
  InstallSnapshotResponse,
  RaftEvent,
  SnapshotPosition,
  Term,
} from './types.ts'

// The follower's side of InstallSnapshot (§7, Figure 13). The shell stores the chunks, in a file that outlives a broken
// connection and even a change of the leader. Only when the snapshot is complete does it concern the log:
//
//   chunk --storeChunk--> shell --chunkStored--> … complete --installSnapshot--> shell --snapshotInstalled--> new log
//
// From `installSnapshot` to its answer, disk and state machine are being replaced, and log and state stand still here:
// the node neither campaigns nor appends nor applies. AppendEntries only keep it a follower (following.ts).

/** One chunk came. Its term is ours or, if outdated, refused. */
export function onInstallSnapshot(core: Core, message: InstallSnapshot): void {
  const { snapshot, snapshotId } = message
  if (message.term < core.currentTerm) {
    // The answer carries our term, so that an outdated leader steps down (Figure 13, rule 1).
    respond(core, message.from, snapshot, snapshotId, 0, 'refused')
    return
  }
  hearLeader(core, message.from)
  // The sender asks again when it hears nothing, and will be answered when the snapshot is in force.
  if (core.installing !== undefined) return
  if (isCovered(core, snapshot)) answerCovered(core, message.from, snapshot, snapshotId)
  else core.outbox.emit({ kind: 'storeChunk', message })
}

/** A chunk is stored. */
export function onChunkStored(core: Core, event: Extract<RaftEvent, { kind: 'chunkStored' }>): void {
  const { from, snapshot, snapshotId, receivedBytes } = event
  // The leader of a later term begins again, with what the file holds by now.
  if (!followsStill(core, from, event.term) || core.installing !== undefined) return
  if (isCovered(core, snapshot)) {
    answerCovered(core, from, snapshot, snapshotId)
    return
  }
  respond(core, from, snapshot, snapshotId, receivedBytes, 'receiving')
  if (!event.complete) return
  core.installing = { snapshot, snapshotId }
  // What was to be applied is part of the snapshot.
  core.applyLoad = undefined
  core.outbox.emit({ kind: 'installSnapshot', snapshot, snapshotId })
}

/** The state machine and the log on disk begin at the snapshot; so they do here (Figure 13, rules 7 and 8). */
export function onSnapshotInstalled(core: Core, snapshot: SnapshotPosition, configuration: Configuration): void {
  const { installing } = core
  assert(installing !== undefined && isSame(installing.snapshot, snapshot), 'what was asked for is installed')
  core.installing = undefined
  // Before lastApplied moves: up to there the configuration before was in force.
  installConfiguration(core, configuration)
  core.log.beginAfter(snapshot)
  core.durability.beginAfter(snapshot.index)
  core.commitIndex = snapshot.index
  core.lastApplied = snapshot.index
  // It is committed, so every leader of this term or a later one holds it (§5.4); and it is durable.
  core.matchedIndex = snapshot.index
  core.promisedIndex = snapshot.index
  if (core.leader === undefined) return
  respond(core, core.leader, snapshot, installing.snapshotId, 0, 'installed')
}

/** The snapshot turned out to be useless, and nothing changed: the node goes on with the log that it has. */
export function onSnapshotRejected(core: Core, snapshot: SnapshotPosition): void {
  const { installing } = core
  assert(installing !== undefined && isSame(installing.snapshot, snapshot), 'what was asked for is rejected')
  core.installing = undefined
  if (core.leader !== undefined) respond(core, core.leader, snapshot, installing.snapshotId, 0, 'refused')
  applyCommitted(core)
}

/**
 * True when the log has all that the snapshot covers: then nothing is installed, and the log stays as it is (Figure 13,
 * rule 6). An entry equal to the snapshot's last one proves it, and that everything before it is committed
 * (etcd-io/raft fast-forwards the commit index alike).
 */
function isCovered(core: Core, { index, term }: SnapshotPosition): boolean {
  if (index <= core.commitIndex) return true
  if (!core.log.matches(index, term)) return false
  core.matchedIndex = higher(core.matchedIndex, index)
  commitTo(core, index)
  return true
}

/** `installed` promises durability. While entries are on their way to the disk, their own acknowledgement will do. */
function answerCovered(core: Core, to: NodeId, snapshot: SnapshotPosition, snapshotId: number): void {
  if (core.durability.durableIndex >= snapshot.index) respond(core, to, snapshot, snapshotId, 0, 'installed')
}

function followsStill(core: Core, leader: NodeId, term: Term): boolean {
  return core.role === 'follower' && core.currentTerm === term && core.leader === leader
}

function isSame(a: SnapshotPosition, b: SnapshotPosition): boolean {
  return a.index === b.index && a.term === b.term
}

function respond(
  core: Core,
  to: NodeId,
  snapshot: SnapshotPosition,
  snapshotId: number,
  receivedBytes: number,
  status: InstallSnapshotResponse['status'],
): void {
  const { nodeId: from, currentTerm: term } = core
  core.outbox.respond({
    kind: 'installSnapshotResponse',
    from,
    to,
    term,
    snapshot,
    snapshotId,
    receivedBytes,
    status,
  })
}
