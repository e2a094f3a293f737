import type { NodeId } from '../base/index.ts'
import { offset } from './positions.ts'
import { Progress } from './progress.ts'
import { Reads } from './reads.ts'
import type { Transfer } from './transfer.ts'
import type { LogIndex, RaftOptions } from './types.ts'

/** All that a node knows only while it leads. Losing the leadership throws it away as a whole. */
export class Leadership {
  /** Every other node that receives the log, voters and learners. */
  readonly followers: Map<NodeId, Progress>
  /** This term's first entry. Nothing is served before it is committed (§8). */
  readonly noopIndex: LogIndex
  readonly reads = new Reads()
  /** The no-op was committed and handed to `apply`. */
  serving = false
  /** Commands of this term that are not committed yet. */
  uncommittedBytes = 0
  /** The leadership is being handed over. */
  transfer: Transfer | undefined = undefined
  /** This leader was removed, and has begun to hand over. */
  isLeaving = false
  /**
   * No change of the members is taken before this entry is applied (etcd-io/raft: pendingConfIndex). At first the last
   * entry of the log as the leader found it, which may be a change of an earlier leader.
   */
  pendingConfigurationIndex: LogIndex
  /** The last entry at the last check of the quorum, and at the one before: what followers should have by now. */
  lastIndexAtCheck: LogIndex
  lastIndexAtCheckBefore: LogIndex

  constructor(options: RaftOptions, peers: readonly NodeId[], noopIndex: LogIndex) {
    this.noopIndex = noopIndex
    this.pendingConfigurationIndex = offset(noopIndex, -1)
    this.lastIndexAtCheck = noopIndex
    this.lastIndexAtCheckBefore = noopIndex
    // Figure 2: nextIndex starts behind the leader's last entry, which is the one before its no-op.
    this.followers = new Map(peers.map((peer) => [peer, new Progress(options, noopIndex)]))
  }

  /** A check of the quorum was passed: begins the next period. */
  beginPeriod(lastIndex: LogIndex): void {
    this.lastIndexAtCheckBefore = this.lastIndexAtCheck
    this.lastIndexAtCheck = lastIndex
    for (const progress of this.followers.values()) progress.beginPeriod()
  }

  /** How far this voter's acknowledgements count. */
  countedMatch(voter: NodeId): number {
    const progress = this.followers.get(voter)
    return progress === undefined || progress.doubtful ? 0 : progress.matchIndex
  }

  /** True when `voter` answered in this period, and its answers count. */
  isActive(voter: NodeId): boolean {
    const progress = this.followers.get(voter)
    return progress?.recentlyActive === true && !progress.doubtful
  }

  /** True when `voter` confirmed round `round` of reads, and its answers count. */
  hasEchoed(voter: NodeId, round: number): boolean {
    const progress = this.followers.get(voter)
    return progress !== undefined && progress.readRound >= round && !progress.doubtful
  }
}
