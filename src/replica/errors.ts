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

const SAME_ID =
  'Start the node with its own, newest directory, and stop any second process under the same id. If the directory is ' +
  'lost for good, give the node that replaces it a new node id.'

/** A node's data directory is not the one that its promises are in. `fact` goes over the wire; each side adds the advice. */
abstract class NodeStoreError extends ConcordatError {
  /** What was seen, without the advice. */
  readonly fact: string

  constructor(fact: string, why: string, options?: ErrorOptions) {
    super(`${fact}: ${why}, so it may not take part. ${SAME_ID}`, options)
    this.fact = fact
  }
}

/** A node came with another data directory than the one it is known by. */
export class NodeStoreChangedError extends NodeStoreError {
  readonly code = 'NODE_STORE_CHANGED'

  constructor(fact: string, options?: ErrorOptions) {
    super(fact, 'an empty or foreign directory under a known id would break its promises', options)
  }
}

/** A node came with a data directory that lacks entries which it acknowledged: a copy from the past. */
export class NodeStoreOldError extends NodeStoreError {
  readonly code = 'NODE_STORE_OLD'

  constructor(fact: string, options?: ErrorOptions) {
    super(fact, 'its directory is a copy from the past, which has forgotten promises', options)
  }
}

/** A node that is no member came, or an address of the member list leads to the wrong node. */
export class NodeNotMemberError extends ConcordatError {
  readonly code = 'NODE_NOT_MEMBER'
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

/** A snapshot file does not read back as it was written, or is missing. */
export class SnapshotDamagedError extends ConcordatError {
  readonly code = 'SNAPSHOT_DAMAGED'
  readonly file: string

  constructor(file: string, what: string, options?: ErrorOptions) {
    super(
      `the snapshot ${file} can't be used: ${what}. The log before it is gone, so this node lacks a part of its state. ` +
        'Nothing was deleted. Check the disk. In a group of several the node fetches what it lacks from the others; ' +
        'a node on its own is restored from a backup.',
      options,
    )
    this.file = file
  }
}

/** A snapshot was written by a version whose format this one can't read. */
export class SnapshotVersionError extends ConcordatError {
  readonly code = 'SNAPSHOT_VERSION'

  constructor(file: string, what: string) {
    super(
      `the snapshot ${file} can't be read by this version: ${what}. Nothing was changed. ` +
        'Start the version of concordat that wrote it, or upgrade as its release notes say.',
    )
  }
}
