import type { NodeId } from '../base/index.ts'
import {
  type ConfigurationTarget,
  isJoint,
  type LogIndex,
  membersOf,
  type RaftEffect,
  type RaftEvent,
  type RaftStatus,
  votersOf,
} from '../raft/index.ts'
import { NotLeaderError } from './errors.ts'
import { encodeMemberContext } from './member-context.ts'
import { MembersOutcomeUnknownError, MembersRefusedError } from './member-errors.ts'
import type { MemberList } from './member-list.ts'
import { type MembersPlan, type MembersRequest, planMembers } from './members-request.ts'

/** How a change of the members is made. */
export interface ChangeOptions {
  /**
   * Leaves out what only protects from mistakes: that the voters which are alive stay a quorum, and that new voters have
   * caught up. What Raft's safety needs always holds. The reason goes into the replicated log.
   */
  readonly force?: { readonly reason: string }
}

/** What changes of the members need. */
export interface MemberChangesOptions {
  readonly nodeId: NodeId
  readonly hasNetwork: boolean
  readonly members: () => MemberList
  readonly status: () => RaftStatus
  /** The minor version of the protocol that a node spoke last. */
  readonly minorOf: (nodeId: NodeId) => number | undefined
  /** Whether messages to this node have a way. */
  readonly isConnected: (nodeId: NodeId) => boolean
  /** The directory that a node's id is bound to, when the node is connected. */
  readonly storeIdOf: (nodeId: NodeId) => string | undefined
  readonly enqueue: (event: RaftEvent) => void
}

interface Pending {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
  /** The entry of the change; undefined until Raft took it. */
  index: LogIndex | undefined
}

/** The longest reason that is kept. */
const REASON_CHARACTERS_MAX = 500

/** Carries out changes of the members, one at a time: from the request to the moment when they are in force. */
export class MemberChanges {
  readonly #options: MemberChangesOptions
  #pending: Pending | undefined

  constructor(options: MemberChangesOptions) {
    this.#options = options
  }

  /**
   * Resolves when the new members are in force, and so many of them know it that nobody who was removed is needed again.
   *
   * @throws MembersRefusedError when nothing was done, NotLeaderError, or MembersOutcomeUnknownError when the leadership
   * is lost while the change is under way
   */
  async change(request: MembersRequest, { force }: ChangeOptions = {}): Promise<void> {
    const { members, status, enqueue } = this.#options
    const { role, leader, ...raft } = status()
    if (role !== 'leader') throw new NotLeaderError(leader)
    if (this.#pending !== undefined) throw new MembersRefusedError('changePending')
    const plan = planMembers(members(), request)
    this.#checkVersions()
    if (force === undefined) this.#checkQuorum(plan.target, { role, leader, ...raft })
    const context = encodeMemberContext({
      details: this.#detailsOf(plan),
      forcedBecause: force?.reason.slice(0, REASON_CHARACTERS_MAX),
    })
    await new Promise<void>((resolve, reject) => {
      this.#pending = { resolve, reject, index: undefined }
      // For Raft the same members at other addresses are no change; forced, they are.
      enqueue({
        kind: 'changeConfiguration',
        target: plan.target,
        context,
        force: force !== undefined || (plan.isMove && this.#keepsParts(plan.target)),
      })
    })
  }

  /** Raft took the change. */
  proposed({ index }: Extract<RaftEffect, { kind: 'configurationProposed' }>): void {
    if (this.#pending !== undefined) this.#pending.index = index
  }

  refused({ reason, leader, nodes }: Extract<RaftEffect, { kind: 'configurationRefused' }>): void {
    this.#fail(reason === 'notLeader' ? new NotLeaderError(leader) : new MembersRefusedError(reason, nodes))
  }

  /** Other members are in force here, or these are confirmed. */
  inForce({ configuration, index, confirmed }: MemberList): void {
    const pending = this.#pending
    if (pending?.index === undefined || index < pending.index || isJoint(configuration) || !confirmed) return
    this.#pending = undefined
    pending.resolve()
  }

  /** This node leads no more, or stops. */
  leadershipLost(leader: NodeId | undefined): void {
    // What Raft did not see yet it will refuse.
    if (this.#pending?.index !== undefined) this.#fail(new MembersOutcomeUnknownError(leader))
  }

  close(): void {
    this.#fail(new MembersOutcomeUnknownError(undefined))
  }

  #fail(error: Error): void {
    const pending = this.#pending
    this.#pending = undefined
    pending?.reject(error)
  }

  /** A release of 1.0 takes the members from its configuration file, whatever the log says. */
  #checkVersions(): void {
    const { nodeId, hasNetwork, members, minorOf } = this.#options
    if (!hasNetwork) throw new MembersRefusedError('alone')
    // Of a node that is away nobody knows; it may be the very one that is to be removed.
    const old = members().nodeIds.filter((member) => minorOf(member) === 0)
    if (minorOf(nodeId) === 0 || old.length > 0) throw new MembersRefusedError('mixedVersions', old)
  }

  /** Members are for being alive: a change must not leave fewer living voters than decide. */
  #checkQuorum({ voters }: ConfigurationTarget, status: RaftStatus): void {
    // Of one whose process has just died the connection tells first: an answer counts for an election timeout.
    const { nodeId: self, isConnected, members } = this.#options
    const dead = voters.filter((voter) => !isAlive(voter, status) || (voter !== self && !isConnected(voter)))
    // A node that has only just been started passes for one that lags behind: waiting helps.
    const silent = dead.filter((voter) => !votersOf(members().configuration).includes(voter))
    if (silent.length > 0 && isMajority(voters.length - dead.length + silent.length, voters.length))
      throw new MembersRefusedError('notCaughtUp', silent)
    if (!isMajority(voters.length - dead.length, voters.length) && voters.length > 0)
      throw new MembersRefusedError(
        'quorumUnsafe',
        dead,
        'The nodes named here do not answer, or lost a part of their log',
      )
  }

  #detailsOf({ target, details }: MembersPlan): MembersPlan['details'] {
    const { members, storeIdOf } = this.#options
    // Outgoing voters are still dialled until the change is complete.
    const wanted = new Set([...target.voters, ...target.learners, ...membersOf(members().configuration)])
    return new Map(
      [...details].flatMap(([nodeId, known]) =>
        wanted.has(nodeId) ? [[nodeId, { ...known, storeId: known.storeId ?? storeIdOf(nodeId) }]] : [],
      ),
    )
  }

  #keepsParts({ voters, learners }: ConfigurationTarget): boolean {
    const present = this.#options.members().configuration
    return isSameSet(voters, present.voters) && isSameSet(learners, present.learners)
  }
}

/** True when this voter would take part in a decision now. */
function isAlive(voter: NodeId, { nodeId, doubtful, followers }: RaftStatus): boolean {
  if (voter === nodeId) return !doubtful
  const follower = followers.find((each) => each.nodeId === voter)
  return follower?.recentlyActive === true && !follower.doubtful
}

function isSameSet(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((nodeId) => b.includes(nodeId))
}

function isMajority(count: number, of: number): boolean {
  return count * 2 > of
}
