import { assert, InvariantError, type NodeId } from '../base/index.ts'
import { Raft, type RaftEffect } from '../raft/index.ts'
import type { Connection, Hello, NodeIdentity, Rejected } from '../transport/index.ts'
import { Applier } from './applier.ts'
import type {
  DecisionLog,
  DecisionLogHandler,
  DecisionLogStatus,
  ProposeOptions,
  ProposeResult,
} from './decision-log.ts'
import { NodeNotMemberError, type NodeStoreChangedError, NotLeaderError, ProposalTooLargeError } from './errors.ts'
import {
  completeTuning,
  electionTimeoutTicksOf,
  PAYLOAD_BYTES_MAX,
  type ReplicaOptions,
  type ReplicaTuning,
  raftOptionsOf,
  tickMsOf,
} from './options.ts'
import { type IdentityError, PeerIdentities, storeChanged } from './peer-identities.ts'
import { PeerLinks } from './peer-links.ts'
import { RaftDriver } from './raft-driver.ts'
import { RaftStorage } from './raft-storage.ts'
import { randomBytes } from './randomness.ts'
import { ReadBarriers } from './read-barriers.ts'
import type { PeerRecord } from './records.ts'
import { Ticker } from './ticker.ts'

/** Room in a segment besides a payload: its header page, and the frames around the payload. */
const SEGMENT_OVERHEAD_BYTES = 8 * 1024

/**
 * One member of the replicated log: Raft over a durable log and the network. The only place where consensus meets I/O.
 *
 * The listener belongs to the server. It asks `acceptPeer` about a hello of role `peer`, and hands the connection to
 * `addPeerConnection`. A group of one needs neither.
 *
 * @example
 * const replica = await Replica.open({ nodeId, clusterId, members, directory, disk: nodeDisk, network: tcpNetwork(),
 *   clock: systemClock, seed, logger, onFatal: (error) => stopWith(error) })
 * await replica.start(coordinator)
 */
export class Replica implements DecisionLog {
  readonly #options: ReplicaOptions
  readonly #tuning: ReplicaTuning
  readonly #storage: RaftStorage
  readonly #identities: PeerIdentities
  readonly #links: PeerLinks
  readonly #applier: Applier
  readonly #reads = new ReadBarriers()
  readonly #driver: RaftDriver
  #ticker: Ticker | undefined
  #leader: NodeId | undefined
  #state: 'opened' | 'running' | 'stopped' = 'opened'

  private constructor(options: ReplicaOptions, tuning: ReplicaTuning, storage: RaftStorage) {
    const { clock, later = setImmediate } = options
    const onFatal = (error: Error) => this.#fail(error)
    this.#options = options
    this.#tuning = tuning
    this.#storage = storage
    this.#identities = new PeerIdentities(storage.peers)
    this.#applier = new Applier({ clock, later, lastApplied: storage.recovered.lastApplied, onFatal })
    const raft = new Raft(raftOptionsOf(options, tuning), storage.recovered)
    options.tap?.opened(raft, storage.recovered)
    this.#driver = new RaftDriver({
      raft,
      storage,
      applier: this.#applier,
      reads: this.#reads,
      uncommittedBytesMax: tuning.uncommittedBytesMax,
      later,
      send: (message) => this.#links.send(message),
      onRoleChanged: (effect) => this.#roleChanged(effect),
      takePeerRecords: (writes) => this.#takePeerRecords(writes),
      onFatal,
      onStepped: options.tap && ((effects) => options.tap?.stepped(effects)),
      onSent: options.tap && ((message) => options.tap?.sent(message)),
    })
    this.#links = new PeerLinks({
      replica: options,
      identities: this.#identities,
      identity: () => this.identity(),
      onMessage: (message) => this.#driver.enqueue({ kind: 'receive', message }),
      onUnreachable: (peer) => this.#driver.enqueue({ kind: 'unreachable', peer }),
      onIdentity: () => this.#driver.schedule(),
      onRejected: onFatal,
    })
  }

  /**
   * Opens the directory and reads the log; nothing happens yet (see `start`).
   *
   * @throws WalLockedError, WalIdentityError, WalNotEmptyError, WalVersionError, WalDamagedError, WalFailedError,
   * ReplicaLogMalformedError
   */
  static async open(options: ReplicaOptions): Promise<Replica> {
    checkMembers(options)
    const tuning = completeTuning(options.options)
    let replica: Replica | undefined
    const storage = await RaftStorage.open({
      disk: options.disk,
      directory: options.directory,
      clusterId: options.clusterId,
      nodeId: options.nodeId,
      clock: options.clock,
      random: () => randomBytes(options, 16),
      segmentBytesMax: tuning.segmentBytesMax,
      // The log fails an append before it says so: whoever waits for it here is told by the failed call as well.
      onFailure: (error) => (replica === undefined ? options.onFatal(error) : replica.#fail(error)),
    })
    try {
      replica = new Replica(options, tuning, storage)
      return replica
    } catch (error) {
      await storage.close()
      throw error
    }
  }

  async start(handler: DecisionLogHandler): Promise<void> {
    assert(this.#state === 'opened', 'a replica is started once')
    this.#state = 'running'
    this.#applier.start(handler)
    if (this.#options.members.length === 1) return this.#lead()
    this.#links.open()
    const tickMs = tickMsOf(this.#tuning)
    const ticksMax = Math.ceil(this.#tuning.heartbeatMs / tickMs)
    this.#ticker = new Ticker(this.#options.clock, tickMs, ticksMax, (ticks) => this.#tick(ticks))
  }

  propose(payload: Uint8Array, options: ProposeOptions = {}): ProposeResult {
    if (!this.#applier.isLeading) return this.#refused('notLeader')
    const bytesMax = Math.min(PAYLOAD_BYTES_MAX, (this.#tuning.segmentBytesMax ?? Infinity) - SEGMENT_OVERHEAD_BYTES)
    if (payload.length > bytesMax) throw new ProposalTooLargeError(payload.length, bytesMax)
    if (this.#storage.spaceLow && options.reserve !== true) return this.#refused('diskFull')
    return this.#driver.propose(payload) ? { kind: 'accepted' } : this.#refused('backPressure')
  }

  readBarrier(): Promise<void> {
    if (this.#state !== 'running') return Promise.reject(new NotLeaderError(undefined))
    this.#driver.schedule()
    return this.#reads.add()
  }

  /** What this node says of itself in hello and welcome, as of now. */
  identity(): NodeIdentity {
    const { storeId, durableIndex } = this.#storage
    return { nodeId: this.#options.nodeId, storeId, durableIndex }
  }

  /** The leader, when one is known: itself only once it may answer. */
  get leader(): NodeId | undefined {
    return this.#leader
  }

  /**
   * Judges the hello of a peer (role `peer`). Undefined: welcome it.
   *
   * Codes: NODE_NOT_MEMBER, NODE_STORE_CHANGED, NODE_STORE_OLD, WRONG_CLUSTER, SHUTTING_DOWN.
   */
  acceptPeer(hello: Hello): undefined | Rejected {
    const { logger, clusterId } = this.#options
    const { node } = hello
    if (this.#state === 'stopped') return rejected('SHUTTING_DOWN', 'the node is stopping; try again later')
    if (hello.clusterId !== clusterId) return rejected('WRONG_CLUSTER', `this node belongs to cluster "${clusterId}"`)
    const error = this.#objectionTo(node)
    if (error === undefined) {
      this.#driver.schedule()
      return undefined
    }
    logger.error({ peer: node?.nodeId, code: error.code }, `refused a peer: ${error.message}`)
    return rejected(error.code, error instanceof NodeNotMemberError ? error.message : error.fact)
  }

  /** Takes over a connection whose hello `acceptPeer` accepted; its messages go to Raft. */
  addPeerConnection(connection: Connection): void {
    const { remote } = connection
    assert(remote.node !== undefined, 'a peer said who it is')
    this.#links.accept(connection, remote.node.nodeId)
  }

  status(): DecisionLogStatus {
    const { storeId, bytesOnDisk, spaceLow } = this.#storage
    return { raft: this.#driver.status(), storeId, bytesOnDisk, spaceLow, peers: this.#links.states }
  }

  async close(): Promise<void> {
    this.#stop()
    await this.#storage.close()
  }

  /** Stops everything for good and tells the owner, once. */
  #fail(error: Error): void {
    if (this.#state === 'stopped') return
    this.#stop()
    const { code } = error as { readonly code?: string }
    this.#options.logger.error({ err: error, code }, `this node stops: ${error.message}`)
    this.#options.onFatal(error)
  }

  #stop(): void {
    if (this.#state === 'stopped') return
    this.#state = 'stopped'
    this.#ticker?.stop()
    this.#driver.stop()
    this.#links.close()
    this.#reads.refuseAll()
    // Whoever waits for its proposals hears that their outcome is not known here.
    this.#applier.following(undefined)
    this.#applier.stop()
  }

  /** A group of one has nobody to wait for: it campaigns at once, and needs no ticks afterwards. */
  #lead(): void {
    this.#driver.tick(2 * electionTimeoutTicksOf(this.#tuning))
  }

  #tick(ticks: number): void {
    this.#driver.tick(ticks)
    const status = this.#driver.status()
    for (const { nodeId, matchIndex } of status.followers) {
      this.#identities.raise(nodeId, Math.min(matchIndex, status.commitIndex))
    }
  }

  #roleChanged({ role, term, leader }: Extract<RaftEffect, { kind: 'roleChanged' }>): void {
    this.#leader = leader
    this.#options.logger.info({ role, term, leader }, `${role} in term ${term}`)
    if (role !== 'leader') this.#applier.following(leader)
  }

  #takePeerRecords(writes: boolean): readonly PeerRecord[] {
    if (!writes && !this.#identities.isUrgent) return []
    return this.#identities.takeUnsaved(this.#options.clock.monotonicMs())
  }

  #objectionTo(node: NodeIdentity | undefined): NodeNotMemberError | IdentityError | undefined {
    if (node === undefined) return new NodeNotMemberError('a peer must say which node it is')
    if (node.nodeId === this.#options.nodeId) return objectionToOwnId(node, this.#storage.storeId)
    if (this.#links.has(node.nodeId)) return this.#identities.check(node, this.#identities.floorOf(node.nodeId))
    return new NodeNotMemberError(
      `node ${node.nodeId} is no member of this group (${this.#options.members.map((member) => member.nodeId).join(', ')}): ` +
        "correct its node id, or the members in this node's configuration",
    )
  }

  #refused(reason: 'notLeader' | 'backPressure' | 'diskFull'): ProposeResult {
    return { kind: 'refused', reason, leader: this.#leader }
  }
}

/** Somebody comes under our own id: a second directory for it, or this node itself by a wrong address. */
function objectionToOwnId(node: NodeIdentity, storeId: string): NodeNotMemberError | NodeStoreChangedError {
  if (node.storeId !== storeId) return storeChanged(node, storeId)
  return new NodeNotMemberError(`node ${node.nodeId} dialled itself: correct the members' addresses`)
}

function rejected(code: string, message: string): Rejected {
  return { kind: 'rejected', code, message }
}

function checkMembers({ nodeId, members, network }: ReplicaOptions): void {
  const ids = members.map((member) => member.nodeId)
  if (!ids.includes(nodeId)) throw new InvariantError(`node ${nodeId} is missing from the members ${ids.join(', ')}`)
  assert(new Set(ids).size === ids.length, 'each member has a node id of its own')
  assert(members.length === 1 || network !== undefined, 'a group of several needs a network')
}
