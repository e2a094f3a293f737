import { isChangePending } from './configuration-change.ts'
import type { Core } from './core.ts'
import type { Progress } from './progress.ts'
import type { RaftStatus } from './types.ts'

/** A view of `core` that shares nothing with it. */
export function statusOf(core: Core): RaftStatus {
  const { nodeId, role, currentTerm, votedFor, leader, commitIndex, lastApplied, leading } = core
  return {
    nodeId,
    role,
    currentTerm,
    votedFor,
    leader,
    commitIndex,
    lastApplied,
    lastIndex: core.log.lastIndex,
    durableIndex: core.durability.durableIndex,
    serving: leading?.serving ?? false,
    uncommittedBytes: leading?.uncommittedBytes ?? 0,
    baseIndex: core.log.baseIndex,
    configuration: core.configuration,
    changePending: leading !== undefined && isChangePending(core, leading),
    doubtful: core.isDoubtful,
    transferTarget: leading?.transfer?.target,
    followers: [...(leading?.followers ?? [])].map(([follower, progress]) => ({
      nodeId: follower,
      matchIndex: progress.matchIndex,
      nextIndex: progress.nextIndex,
      state: stateOf(progress),
      // Just after a check of the quorum nobody has answered in the new period yet.
      recentlyActive: progress.recentlyActive || progress.wasActive,
      doubtful: progress.doubtful,
    })),
  }
}

function stateOf(progress: Progress): 'probe' | 'replicate' | 'loading' | 'snapshot' {
  return progress.load === undefined ? progress.state : 'loading'
}
