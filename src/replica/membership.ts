import { assert, type NodeId } from '../base/index.ts'
import type { RaftEffect, RaftEvent, RaftMessage, RaftStatus } from '../raft/index.ts'
import {
  type Connection,
  type Endpoint,
  type HandshakeRejectedError,
  type Hello,
  type NodeIdentity,
  PROTOCOL_MINOR,
  type Rejected,
} from '../transport/index.ts'
import { Admission } from './admission.ts'
import { type ChangeOptions, MemberChanges } from './member-changes.ts'
import { MemberList } from './member-list.ts'
import type { MembersRequest } from './members-request.ts'
import { type MembersView, viewMembers } from './members-view.ts'
import type { ReplicaOptions } from './options.ts'
import { PeerIdentities } from './peer-identities.ts'
import { PeerLinks, type PeerState } from './peer-links.ts'
import type { ConfigurationEffect } from './raft-driver.ts'
import type { RaftStorage } from './raft-storage.ts'
import { randomName } from './randomness.ts'
import type { PeerRecord } from './records.ts'
import { StoreRefusals } from './store-refusals.ts'

/** What the membership needs and tells. */
export interface MembershipOptions {
  readonly replica: ReplicaOptions
  readonly storage: RaftStorage
  readonly status: () => RaftStatus
  readonly isDoubtful: () => boolean
  readonly enqueue: (event: RaftEvent) => void
  /** There may be something to write. */
  readonly schedule: () => void
  /** This node was removed from the group: it takes no part any more. */
  readonly onRemoved: () => void
  /** This node's directory is not the one that it is known by. */
  readonly onFatal: (error: Error) => void
}

/** Who takes part, as far as this node knows, and everything that follows: whom it dials, whom it takes, what may change. */
export class Membership {
  /** The minor version of the protocol to name in hello and welcome. */
  readonly protocolMinor: number
  readonly #options: MembershipOptions
  readonly #nodeId: NodeId
  readonly #identities: PeerIdentities
  readonly #links: PeerLinks
  readonly #admission: Admission
  readonly #refusals = new StoreRefusals()
  readonly #changes: MemberChanges
  /** The name of this run (NodeRun). */
  readonly #incarnation: number
  #members: MemberList
  #role: RaftStatus['role'] = 'follower'
  #state: 'prepared' | 'open' | 'closed' = 'prepared'

  constructor(options: MembershipOptions) {
    const { replica, storage, status, enqueue } = options
    this.protocolMinor = replica.protocolMinor ?? PROTOCOL_MINOR
    this.#options = options
    this.#nodeId = replica.nodeId
    this.#incarnation = randomName(replica)
    this.#members = initialMembers(replica, storage)
    this.#identities = new PeerIdentities(storage.peers)
    this.#links = new PeerLinks({
      replica,
      protocolMinor: this.protocolMinor,
      identities: this.#identities,
      identity: () => this.identity(),
      onMessage: (message) => enqueue({ kind: 'receive', message }),
      onUnreachable: (peer) => enqueue({ kind: 'unreachable', peer }),
      onAccepted: (peer) => this.#acceptedBy(peer),
      onRejected: (peer, error) => this.#rejectedBy(peer, error),
    })
    this.#admission = new Admission({
      replica,
      identities: this.#identities,
      members: () => this.#members,
      self: () => this.identity(),
      appliedIndex: () => status().lastApplied,
      conflictWith: (node) => this.#links.conflictWith(node),
    })
    this.#changes = new MemberChanges({
      nodeId: replica.nodeId,
      hasNetwork: replica.network !== undefined,
      members: () => this.#members,
      status,
      minorOf: (nodeId) => this.minorOf(nodeId),
      isConnected: (nodeId) => this.#links.isConnected(nodeId),
      storeIdOf: (nodeId) => this.#storeIdOf(nodeId),
      enqueue,
    })
  }

  get members(): MemberList {
    return this.#members
  }

  /** This node decides without anybody else. */
  get isAlone(): boolean {
    const { voters, votersOutgoing } = this.#members.configuration
    return voters.length === 1 && voters[0] === this.#nodeId && votersOutgoing.length === 0
  }

  /** How the others are reached. */
  get peers(): readonly PeerState[] {
    return this.#links.states
  }

  /** What this node says of itself in hello and welcome, as of now. */
  identity(): NodeIdentity {
    const { storage, isDoubtful } = this.#options
    const { storeId, durableIndex } = storage
    const run = { incarnation: this.#incarnation, doubtful: isDoubtful() }
    return { nodeId: this.#nodeId, storeId, durableIndex, run }
  }

  view(): MembersView {
    return viewMembers(this.#members, this.#options.status(), (nodeId) => this.#links.isConnected(nodeId))
  }

  /** The minor version that a node spoke last; undefined when it was not met in this run. */
  minorOf(nodeId: NodeId): number | undefined {
    return nodeId === this.#nodeId ? this.protocolMinor : this.#links.minorOf(nodeId)
  }

  /** Begins to dial the others; leaves at once when the directory remembers that this node was removed. */
  open(): void {
    this.#state = 'open'
    this.#dial()
    this.#leaveIfRetired()
  }

  /** Ends every connection and whatever change is under way. */
  close(): void {
    this.#state = 'closed'
    this.#links.close()
    this.#changes.close()
  }

  /** @returns false when the message was not queued */
  send(message: RaftMessage): boolean {
    return this.#links.send(message)
  }

  /** Resolves when the change is in force here. See `Replica.changeMembers`. */
  change(request: MembersRequest, options?: ChangeOptions): Promise<void> {
    return this.#changes.change(request, options)
  }

  /** Judges the hello of a peer. Undefined: welcome it. */
  judge(hello: Hello): Rejected | undefined {
    const objection = this.#admission.judge(hello)
    if (objection === undefined) this.#options.schedule()
    return objection
  }

  /** Takes over a connection whose hello was judged well. */
  accept(connection: Connection): void {
    const { node } = connection.remote
    assert(node !== undefined, 'a peer said who it is')
    this.#links.accept(connection, node.nodeId)
  }

  configuration(effect: ConfigurationEffect): void {
    if (effect.kind === 'configurationProposed') this.#changes.proposed(effect)
    else if (effect.kind === 'configurationRefused') this.#changes.refused(effect)
    else this.inForce(this.#members.next(effect))
  }

  /** Other members count from now on: an entry was applied, or a snapshot installed. */
  inForce(members: MemberList): void {
    const { logger } = this.#options.replica
    const { configuration, index, forcedBecause } = members
    const isNew = index !== this.#members.index
    this.#members = members
    if (isNew) logger.info({ ...configuration, index, forcedBecause }, `the members are ${members.nodeIds.join(', ')}`)
    for (const [member, { storeId }] of members.details)
      if (storeId !== undefined && member !== this.#nodeId) this.#identities.bind(member, storeId)
    this.#changes.inForce(members)
    if (this.#state !== 'open') return
    for (const gone of members.dismissed) this.#links.expel(gone)
    this.#dial()
    this.#leaveIfRetired()
  }

  roleChanged({ role, leader }: Extract<RaftEffect, { kind: 'roleChanged' }>): void {
    this.#role = role
    if (role === 'leader') return
    this.#changes.leadershipLost(leader)
    if (this.#state === 'open') this.#leaveIfRetired()
  }

  /** A leader notes what its followers acknowledged of what is committed. */
  noteAcknowledged({ followers, commitIndex }: RaftStatus): void {
    for (const { nodeId, matchIndex, doubtful } of followers)
      if (!doubtful) this.#identities.raise(nodeId, Math.min(matchIndex, commitIndex))
  }

  /** What was learnt of peers and is to be written, given that this turn writes (or not). */
  takePeerRecords(writes: boolean): readonly PeerRecord[] {
    if (!writes && !this.#identities.isUrgent) return []
    return this.#identities.takeUnsaved(this.#options.replica.clock.monotonicMs())
  }

  /** A leader that is removed leads until its followers know that. */
  #leaveIfRetired(): void {
    if (this.#role !== 'leader' && this.#members.isDismissed(this.#nodeId)) this.#options.onRemoved()
  }

  #dial(): void {
    const { members: contacts, network } = this.#options.replica
    if (network === undefined) return
    const endpoints = new Map<NodeId, Endpoint>(this.#members.details)
    // Until it is a member itself, a node relies on its contacts; what it applies meanwhile is the group's past.
    const isMember = this.#members.isMember(this.#nodeId)
    for (const contact of contacts) {
      const isMissing = !endpoints.has(contact.nodeId) && this.#members.isMember(contact.nodeId)
      if (isMissing || (!isMember && !this.#members.isDismissed(contact.nodeId))) endpoints.set(contact.nodeId, contact)
    }
    endpoints.delete(this.#nodeId)
    this.#links.dial(endpoints)
  }

  #acceptedBy(peer: NodeId): void {
    this.#refusals.acceptedBy(peer)
    this.#options.schedule()
  }

  #rejectedBy(peer: NodeId, error: HandshakeRejectedError): void {
    const { replica, onRemoved, onFatal } = this.#options
    if (error.peerCode === 'NODE_REMOVED') {
      onRemoved()
      return
    }
    const contacts = replica.members.map((member) => member.nodeId).filter((nodeId) => nodeId !== this.#nodeId)
    const reason = this.#refusals.refusedBy(peer, error, this.#members.configuration, contacts)
    if (reason !== undefined) onFatal(reason)
  }

  #storeIdOf(nodeId: NodeId): string | undefined {
    if (nodeId === this.#nodeId) return this.#options.storage.storeId
    return this.#links.isConnected(nodeId) ? this.#identities.storeIdOf(nodeId) : undefined
  }
}

/** What a new directory begins with. */
export function bootstrapMembers({ members, join }: ReplicaOptions): MemberList {
  return join === true ? MemberList.empty() : MemberList.bootstrap(members)
}

/** The members as of what the state machine has applied: by the directory, or by the configuration when that is new. */
function initialMembers(options: ReplicaOptions, { configuration, recovered }: RaftStorage): MemberList {
  if (configuration === undefined) return bootstrapMembers(options)
  return MemberList.from({ ...configuration, index: recovered.lastApplied })
}
