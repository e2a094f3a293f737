import type { NodeId } from '../base/index.ts'
import { isJoint, type RaftStatus } from '../raft/index.ts'
import type { MemberList } from './member-list.ts'

/** What a member does: votes, receives the log only, or is a voter that is about to leave. */
export type MemberRole = 'voter' | 'learner' | 'leaving'

/** One member, as one node sees it. */
export interface MemberView {
  readonly nodeId: NodeId
  readonly role: MemberRole
  /** `host:port`; undefined when this node does not know it yet. */
  readonly address: string | undefined
  /** This node is connected to it, or is it. */
  readonly connected: boolean
  /** Up to where its log is known to equal the leader's. Only the leader knows; so for the next three. */
  readonly matchIndex: number | undefined
  /** Entries that it has not acknowledged. */
  readonly lag: number | undefined
  /** It answered lately. */
  readonly alive: boolean | undefined
  /** It lost a part of its log, and counts for nothing until it has it again. */
  readonly doubtful: boolean | undefined
  /** It was a voter, lost a part of its log, and is promoted by itself once it has caught up. */
  readonly rebuilding: boolean
}

/** The members, as one node sees them. */
export interface MembersView {
  /** The log entry that put these members in force: grows with each change; 0 for what the group began with. */
  readonly version: number
  readonly leader: NodeId | undefined
  /** A change is half done: majorities of the old and of the new voters decide. */
  readonly joint: boolean
  /** Only on the leader: another change has to wait. */
  readonly changePending: boolean
  readonly members: readonly MemberView[]
  /** Ids that were removed and are never used again. */
  readonly retired: readonly NodeId[]
  /** Why the safeguards were left out in the last change; undefined when they were not. */
  readonly forcedBecause: string | undefined
  /** This node itself was removed. */
  readonly removed: boolean
}

/** Puts together what is known of the members. */
export function viewMembers(
  list: MemberList,
  status: RaftStatus,
  isConnected: (nodeId: NodeId) => boolean,
): MembersView {
  const { configuration } = list
  return {
    version: list.index,
    leader: status.leader,
    joint: isJoint(configuration),
    changePending: status.changePending,
    members: list.nodeIds.map((nodeId) => ({
      nodeId,
      role: roleOf(nodeId, list),
      address: list.addressOf(nodeId),
      connected: nodeId === status.nodeId || isConnected(nodeId),
      ...progressOf(nodeId, status),
      rebuilding: configuration.rebuilding.includes(nodeId),
    })),
    retired: configuration.retired,
    forcedBecause: list.forcedBecause,
    removed: list.isRetired(status.nodeId),
  }
}

function roleOf(nodeId: NodeId, { configuration: { voters, votersOutgoing } }: MemberList): MemberRole {
  if (voters.includes(nodeId)) return 'voter'
  return votersOutgoing.includes(nodeId) ? 'leaving' : 'learner'
}

function progressOf(
  nodeId: NodeId,
  { nodeId: self, role, doubtful, durableIndex, lastIndex, followers }: RaftStatus,
): Pick<MemberView, 'matchIndex' | 'lag' | 'alive' | 'doubtful'> {
  if (nodeId === self) {
    const leads = role === 'leader'
    return { matchIndex: durableIndex, lag: leads ? 0 : undefined, alive: true, doubtful }
  }
  const follower = followers.find((each) => each.nodeId === nodeId)
  if (follower === undefined) return { matchIndex: undefined, lag: undefined, alive: undefined, doubtful: undefined }
  const { matchIndex, recentlyActive } = follower
  return { matchIndex, lag: lastIndex - matchIndex, alive: recentlyActive, doubtful: follower.doubtful }
}
