import { ConcordatError, type NodeId } from '../base/index.ts'
import type { ConfigurationRefusal } from '../raft/index.ts'

/** Why members can't be changed: what Raft says, and what this shell adds for safety's sake. */
export type MemberRefusal =
  | Exclude<ConfigurationRefusal, 'notLeader'>
  /** The voters that are alive now would be no majority afterwards. */
  | 'quorumUnsafe'
  /** A member runs a release that does not know changes of members. */
  | 'mixedVersions'
  /** The request names a node that is no member, or one that is a member already. */
  | 'unknownMember'
  /** The address is that of another member. */
  | 'addressTaken'
  /** This log was opened without a network. */
  | 'alone'

interface Wording {
  readonly code: string
  readonly retryable: boolean
  readonly says: string
}

const WORDING: Readonly<Record<MemberRefusal, Wording>> = {
  notServing: {
    code: 'MEMBERS_NOT_READY',
    retryable: true,
    says: 'the leader has only just been elected; try again in a moment',
  },
  changePending: {
    code: 'MEMBERS_CHANGE_PENDING',
    retryable: true,
    says: 'another change of the members is under way; try again when it is done',
  },
  transferring: {
    code: 'MEMBERS_TRANSFERRING',
    retryable: true,
    says: 'the leadership is being handed over; try again at the new leader',
  },
  malformed: {
    code: 'MEMBERS_MALFORMED',
    retryable: false,
    says: 'a node is named twice, or no voter would be left',
  },
  retired: {
    code: 'NODE_ID_RETIRED',
    retryable: false,
    says: 'an id that was removed is never used again, for promises of its owner may still be under way; choose a new id and an empty directory',
  },
  notCaughtUp: {
    code: 'MEMBERS_NOT_CAUGHT_UP',
    retryable: true,
    says: 'a learner must have almost the whole log before it votes, or it would hold up commits; wait, and look at its lag',
  },
  unchanged: {
    code: 'MEMBERS_UNCHANGED',
    retryable: false,
    says: 'the members are like that already; nothing was done',
  },
  quorumUnsafe: {
    code: 'MEMBERS_QUORUM_UNSAFE',
    retryable: false,
    says: 'of the voters afterwards too few are alive now: nothing could be decided any more. Bring nodes back first, or force the change with a reason',
  },
  mixedVersions: {
    code: 'MEMBERS_MIXED_VERSIONS',
    retryable: false,
    says: 'a member runs a release that does not know changes of members; upgrade every member first',
  },
  unknownMember: {
    code: 'MEMBERS_UNKNOWN_MEMBER',
    retryable: false,
    says: 'the request does not fit the members as they are; look at the list',
  },
  addressTaken: {
    code: 'MEMBERS_ADDRESS_TAKEN',
    retryable: false,
    says: 'two members can not have one address',
  },
  alone: {
    code: 'MEMBERS_ALONE',
    retryable: false,
    says: 'this log lives inside one process, without a network; it has no members',
  },
}

/** The members can't be changed like this, or not now. Nothing was done. */
export class MembersRefusedError extends ConcordatError {
  readonly code: string
  override readonly retryable: boolean
  readonly reason: MemberRefusal
  /** The nodes that the reason is about. */
  readonly nodes: readonly NodeId[]

  constructor(reason: MemberRefusal, nodes: readonly NodeId[] = [], detail = '') {
    const { code, retryable, says } = WORDING[reason]
    const about = nodes.length === 0 ? '' : ` (node ${nodes.join(', node ')})`
    super(`the members stay as they are${about}: ${says}${detail && `. ${detail}`}`)
    this.code = code
    this.retryable = retryable
    this.reason = reason
    this.nodes = nodes
  }
}

/** The leadership was lost while a change was under way: it may come in force or not. */
export class MembersOutcomeUnknownError extends ConcordatError {
  readonly code = 'MEMBERS_OUTCOME_UNKNOWN'
  override readonly retryable = true
  readonly leader: NodeId | undefined

  constructor(leader: NodeId | undefined) {
    super('the leadership was lost meanwhile, so the change may come in force or not; look at the list of members')
    this.leader = leader
  }
}

const TRANSFER_FAILURES = {
  busy: 'another transfer is under way',
  noTarget: 'no voter is alive and near enough to take over',
  timeout: 'the other node did not take over within an election timeout',
} as const

/** Nobody took the leadership over: this node goes on leading. */
export class TransferFailedError extends ConcordatError {
  readonly code = 'TRANSFER_FAILED'
  override readonly retryable = true
  readonly reason: keyof typeof TRANSFER_FAILURES

  /** @param target who should have taken it; undefined: anybody */
  constructor(reason: keyof typeof TRANSFER_FAILURES, target?: NodeId) {
    const isOne = reason === 'noTarget' && target !== undefined
    const why = isOne ? `node ${target} is not alive and near enough to take over` : TRANSFER_FAILURES[reason]
    super(`the leadership was not handed over: ${why}. This node goes on leading.`)
    this.reason = reason
  }
}

/** This node was removed from the group. It takes part in nothing any more. */
export class NodeRemovedError extends ConcordatError {
  readonly code = 'NODE_REMOVED'

  constructor(nodeId: NodeId) {
    super(
      `node ${nodeId} was removed from the group, and its id is never used again. Stop it. To bring the machine back, ` +
        'give it a new node id and an empty directory, and add it.',
    )
  }
}

/** Two processes speak for one node at the same time: a copied directory was started, or a connection is not known to be dead yet. */
export class NodeRunsTwiceError extends ConcordatError {
  readonly code = 'NODE_RUNS_TWICE'
  override readonly retryable = true

  constructor(nodeId: NodeId) {
    super(
      `another process speaks for node ${nodeId} already. If it is a copy of the directory, stop one of them: a copy is no ` +
        'second node. If the node was only started again, this passes within seconds.',
    )
  }
}
