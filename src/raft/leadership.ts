import type { NodeId } from '../base/index.ts'
import { Progress } from './progress.ts'
import { Reads } from './reads.ts'
import type { LogIndex, RaftOptions } from './types.ts'

/** All that a node knows only while it leads. Losing the leadership throws it away as a whole. */
export class Leadership {
  /** Every other node that receives the log, voters and learners. */
  readonly followers: ReadonlyMap<NodeId, Progress>
  /** This term's first entry. Nothing is served before it is committed (§8). */
  readonly noopIndex: LogIndex
  readonly reads = new Reads()
  /** The no-op was committed and handed to `apply`. */
  serving = false
  /** Commands of this term that are not committed yet. */
  uncommittedBytes = 0

  constructor(options: RaftOptions, peers: readonly NodeId[], noopIndex: LogIndex) {
    this.noopIndex = noopIndex
    // Figure 2: nextIndex starts behind the leader's last entry, which is the one before its no-op.
    this.followers = new Map(peers.map((peer) => [peer, new Progress(options, noopIndex)]))
  }
}
