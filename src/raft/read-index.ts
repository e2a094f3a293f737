import type { NodeId } from '../base/index.ts'
import type { Core } from './core.ts'
import { hasQuorum } from './quorum.ts'
import { broadcastHeartbeat } from './sending.ts'
import type { ReadId } from './types.ts'

/** Somebody wants a linearizable read (thesis §6.4). */
export function onRead(core: Core, readId: ReadId): void {
  if (core.leading === undefined) {
    core.outbox.emit({ kind: 'readRefused', readId, reason: 'notLeader', leader: core.leader })
    return
  }
  core.leading.reads.add(readId)
  beginRoundIfWanted(core)
}

/**
 * Begins a round for the reads that wait, unless one is under way or the leader does not serve yet: before its no-op
 * commits, its commitIndex may lag behind what an earlier leader has answered (§8).
 */
export function beginRoundIfWanted(core: Core): void {
  const { leading } = core
  if (leading === undefined || !leading.serving) return
  const { reads } = leading
  if (reads.isRoundUnderWay || !reads.isAnyWaiting) return
  reads.begin(core.commitIndex)
  broadcastHeartbeat(core)
  // A group of one has its quorum already.
  acknowledgeRound(core)
}

/** Answers the reads of the round under way once a majority echoed it; then begins the next one if reads wait. */
export function acknowledgeRound(core: Core): void {
  const { leading, nodeId } = core
  if (leading === undefined || !leading.reads.isRoundUnderWay) return
  const { reads, followers } = leading
  const echoed = (voter: NodeId) => voter === nodeId || (followers.get(voter)?.readRound ?? 0) >= reads.round
  if (!hasQuorum(core.configuration, echoed)) return
  const { readIds, index } = reads.finish()
  for (const readId of readIds) core.outbox.emit({ kind: 'readReady', readId, index })
  beginRoundIfWanted(core)
}
