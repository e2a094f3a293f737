import type { NodeId } from '../base/index.ts'
import type { Core } from './core.ts'
import type { Progress } from './progress.ts'
import { noteMatch } from './replication.ts'
import { askForSnapshot } from './sending.ts'
import type { InstallSnapshotResponse, Term } from './types.ts'

// The leader's side of InstallSnapshot (§7, Figure 13). The shell reads and sends the chunks. The core decides who needs
// a snapshot, and learns when the need is over: from `installed`, or from a heartbeat that finds the log's beginning.

/** A follower answered a chunk of this term. */
export function onInstallSnapshotResponse(core: Core, response: InstallSnapshotResponse): void {
  const progress = core.leading?.followers.get(response.from)
  if (progress === undefined || response.term !== core.currentTerm) return
  progress.recentlyActive = true
  core.outbox.emit({ kind: 'chunkAcknowledged', response })
  if (response.status === 'installed') onInstalled(core, response, progress)
  else if (response.status === 'refused') onSnapshotFailed(core, response.from, response.term)
}

function onInstalled(core: Core, response: InstallSnapshotResponse, progress: Progress): void {
  // This one is through. The log may have been compacted beyond it meanwhile, and then another is needed.
  progress.snapshotAsked = false
  noteMatch(core, response.from, progress, response.snapshot.index)
}

/** The snapshot did not get through: it is asked for again, but not at once. */
export function onSnapshotFailed(core: Core, to: NodeId, term: Term): void {
  const progress = core.leading?.followers.get(to)
  if (progress === undefined || term !== core.currentTerm || !progress.snapshotAsked) return
  progress.snapshotAsked = false
  progress.snapshotPauseTicks = core.options.electionTimeoutTicks
}

/** A tick on the leader. */
export function tickSnapshots(core: Core): void {
  for (const [peer, progress] of core.leading?.followers ?? []) {
    if (progress.snapshotPauseTicks === 0) continue
    progress.snapshotPauseTicks--
    askForSnapshot(core, peer, progress)
  }
}
