import type { NodeId } from '../base/index.ts'
import type { Core } from './core.ts'
import { forwardRead } from './forwarded-reads.ts'
import { hasQuorum } from './quorum.ts'
import { answerForwarded } from './refusing-reads.ts'
import { broadcastHeartbeat } from './sending.ts'
import type { ReadId, ReadIndexRequest } from './types.ts'

/** Somebody wants a linearizable read (thesis §6.4). Only a leader knows where it may be served. */
export function onRead(core: Core, readId: ReadId): void {
  if (core.leading === undefined) {
    forwardRead(core, readId)
    return
  }
  core.leading.reads.add({ kind: 'own', readId })
  beginRoundIfWanted(core)
}

/**
 * Another node forwards a read. It waits like our own: until this leader serves, and for a round that begins later. Who
 * leads no more, or knows less than the asker, refuses at once.
 */
export function onReadIndexRequest(core: Core, request: ReadIndexRequest): void {
  const { from, readKey } = request
  if (core.leading === undefined || request.term !== core.currentTerm) {
    answerForwarded(core, from, readKey, undefined)
    return
  }
  core.leading.reads.add({ kind: 'forwarded', from, readKey })
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
  const { reads } = leading
  const echoed = (voter: NodeId) => voter === nodeId || leading.hasEchoed(voter, reads.round)
  if (!hasQuorum(core.configuration, echoed)) return
  const { reads: confirmed, index } = reads.finish()
  for (const read of confirmed) {
    if (read.kind === 'own') core.outbox.emit({ kind: 'readReady', readId: read.readId, index })
    else answerForwarded(core, read.from, read.readKey, index)
  }
  beginRoundIfWanted(core)
}
