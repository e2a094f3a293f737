import type { LogIndex, RaftStatus } from '../raft/index.ts'
import type { ReplicaTuning } from './options.ts'
import type { RaftStorage } from './raft-storage.ts'

/** What the choice depends on. */
export interface CompactionView {
  readonly storage: Pick<RaftStorage, 'firstWithin'>
  readonly tuning: Pick<ReplicaTuning, 'tailBytes' | 'tailEntries' | 'snapshotBytes'>
  readonly followers: RaftStatus['followers']
  /** The snapshots that are being sent. */
  readonly sending: readonly LogIndex[]
}

/**
 * Up to where the log is compacted when a snapshot covers it up to `index`.
 *
 * A tail stays, as far as it takes no more than `tailBytes` and `tailEntries`: a follower that is only slow, or restarts,
 * then goes on with entries, which cost far less than a snapshot. On the leader more stays for those that need it, up to
 * the log of one more snapshot: followers that answer, and those that are just getting a snapshot, which else would need
 * the next one as soon as they have it.
 */
export function compactionPoint(index: LogIndex, { storage, tuning, followers, sending }: CompactionView): LogIndex {
  const beforeBytes = (bytesMax: number) => storage.firstWithin(index, bytesMax) - 1
  const behindTail = Math.max(index - tuning.tailEntries, beforeBytes(tuning.tailBytes))
  const needed = followers.flatMap(({ recentlyActive, state, matchIndex }) =>
    recentlyActive && state !== 'snapshot' ? [matchIndex] : [],
  )
  const wanted = Math.min(behindTail, ...needed, ...sending)
  if (wanted === behindTail) return clamp(behindTail, index)
  return clamp(Math.max(wanted, Math.min(behindTail, beforeBytes(tuning.tailBytes + tuning.snapshotBytes))), index)
}

function clamp(point: number, index: LogIndex): LogIndex {
  return Math.max(0, Math.min(point, index)) as LogIndex
}
