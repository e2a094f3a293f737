import { assert, type NodeId } from '../base/index.ts'
import type { Core } from './core.ts'
import { higher, offset } from './positions.ts'
import type { Progress } from './progress.ts'
import type { Entry } from './types.ts'

const NO_ENTRIES: readonly Entry[] = []

/**
 * Sends one AppendEntries that begins at the follower's nextIndex; no entries make it a heartbeat or a notice. Who needs
 * a snapshot is asked whether it has the log's beginning by now.
 */
export function sendAppend(core: Core, to: NodeId, progress: Progress, entries: readonly Entry[]): void {
  const { log, leading } = core
  assert(leading !== undefined, 'only a leader sends entries')
  const prevLogIndex = progress.state === 'snapshot' ? log.baseIndex : offset(progress.nextIndex, -1)
  assert(prevLogIndex >= log.baseIndex, 'a follower that needs entries below the log needs a snapshot')
  progress.commitSent = higher(progress.commitSent, core.commitIndex)
  core.outbox.send({
    kind: 'appendEntries',
    from: core.nodeId,
    to,
    term: core.currentTerm,
    prevLogIndex,
    prevLogTerm: log.termAt(prevLogIndex),
    entries,
    leaderCommit: core.commitIndex,
    readRound: leading.reads.round,
  })
}

/**
 * Sends everyone an empty AppendEntries at nextIndex - 1: it keeps elections away (§5.2), carries the commit index and
 * the read round, and probes the optimistic position. If anything before it was lost, the follower refuses, and that
 * is how a leader notices (there are no timers for single messages).
 */
export function broadcastHeartbeat(core: Core): void {
  for (const [peer, progress] of core.leading?.followers ?? []) sendAppend(core, peer, progress, NO_ENTRIES)
}

/**
 * Followers learn a new commit index with their next entries, or, when none are under way, from a message of its own at
 * the next tick. Nobody waits for them to apply, so a message at once would only cost: with a lone caller it doubled
 * the messages of a decision, and the caller's answer left after them.
 */
export function announceCommit(core: Core): void {
  for (const [peer, progress] of core.leading?.followers ?? []) {
    const isUnderWay = progress.state !== 'replicate' || progress.inFlight.count > 0
    if (progress.commitSent >= core.commitIndex || isUnderWay) continue
    sendAppend(core, peer, progress, NO_ENTRIES)
  }
}

/**
 * Asks the shell to send this follower a snapshot, unless it does already, or failed a moment ago. A follower that does
 * not answer at all would not answer chunks either (etcd-io/raft: "not recently active").
 */
export function askForSnapshot(core: Core, to: NodeId, progress: Progress): void {
  assert(progress.state === 'snapshot', 'a snapshot goes to whoever needs it')
  const isAlive = progress.recentlyActive || progress.wasActive
  if (progress.snapshotAsked || progress.snapshotPauseTicks > 0 || !isAlive) return
  progress.snapshotAsked = true
  core.outbox.emit({ kind: 'sendSnapshot', to, term: core.currentTerm })
}
