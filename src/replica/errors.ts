import { ConcordatError, type NodeId } from '../base/index.ts'

/** The call needs the leader, and this node is not, or stopped being it meanwhile. */
export class NotLeaderError extends ConcordatError {
  readonly code = 'NOT_LEADER'
  override readonly retryable = true
  /** The leader to ask instead, when it is known. */
  readonly leader: NodeId | undefined

  constructor(leader: NodeId | undefined) {
    const who = leader === undefined ? 'no leader is known yet; ask again shortly' : `ask node ${leader}, the leader`
    super(`this node does not lead, so it can't answer for the log: ${who}`)
    this.leader = leader
  }
}

/** A node came with another data directory than the one it is known by. */
export class NodeStoreChangedError extends ConcordatError {
  readonly code = 'NODE_STORE_CHANGED'
}

/** A node came with a data directory that lacks entries which it acknowledged: a copy from the past. */
export class NodeStoreOldError extends ConcordatError {
  readonly code = 'NODE_STORE_OLD'
}

/** A node that is no member came, or an address of the member list leads to the wrong node. */
export class NodeNotMemberError extends ConcordatError {
  readonly code = 'NODE_NOT_MEMBER'
}

/** A member of another cluster came. */
export class WrongClusterError extends ConcordatError {
  readonly code = 'WRONG_CLUSTER'
}

/** A whole, correctly summed record of the durable log that makes no sense: written by other software, or by a defect. */
export class ReplicaLogMalformedError extends ConcordatError {
  readonly code = 'REPLICA_LOG_MALFORMED'

  constructor(what: string, options?: ErrorOptions) {
    super(
      `the log can't be read: ${what}. The bytes are as they were written, so another version or a defect wrote them. ` +
        'Nothing was changed. Start the version of concordat that wrote this directory, and report this message.',
      options,
    )
  }
}

/** The state machine could not apply a committed entry. The node must stop: it can't skip what the others applied. */
export class ApplyFailedError extends ConcordatError {
  readonly code = 'APPLY_FAILED'

  constructor(index: number, options: ErrorOptions) {
    super(
      `entry ${index} of the log could not be applied. The node stops, because going on would make its state differ ` +
        'from the other nodes. Look at the cause; the entry stays in the log.',
      options,
    )
  }
}

/** A payload is larger than one message to a follower may be. Nothing was proposed. */
export class ProposalTooLargeError extends ConcordatError {
  readonly code = 'PROPOSAL_TOO_LARGE'

  constructor(bytes: number, bytesMax: number) {
    super(
      `a proposal of ${bytes} bytes is too large: at most ${bytesMax} can be replicated. Nothing was proposed; split it.`,
    )
  }
}
