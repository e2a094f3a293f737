import { assert, hit, InvariantError, type NodeId } from '../base/index.ts'
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
import { DiskRelief } from './disk-relief.ts'
import { NotLeaderError, ProposalTooLargeError } from './errors.ts'
import { LeadershipTransfer } from './leadership-transfer.ts'
import type { ChangeOptions } from './member-changes.ts'
import { NodeRemovedError } from './member-errors.ts'
import type { MembersRequest } from './members-request.ts'
import type { MembersView } from './members-view.ts'
import { bootstrapMembers, Membership } from './membership.ts'
import {
  completeTuning,
  electionTimeoutTicksOf,
  PAYLOAD_BYTES_MAX,
  type ReplicaLogger,
  type ReplicaOptions,
  type ReplicaTuning,
  raftOptionsOf,
  tickMsOf,
} from './options.ts'
import { RaftDriver } from './raft-driver.ts'
import { RaftStorage } from './raft-storage.ts'
import { randomBytes } from './randomness.ts'
import { ReadBarriers } from './read-barriers.ts'
import { Slices } from './slices.ts'
import { SnapshotStream } from './snapshot-stream.ts'
import { Snapshots } from './snapshots.ts'
import { Ticker } from './ticker.ts'

/** How long a write of a leader may take before it hands over, in election timeouts. */
const SLOW_DISK_TIMEOUTS = 2
/** How long a node that handed over waits for a word of whoever leads now, in election timeouts. */
const HEIR_TIMEOUTS = 4

type RoleChange = Extract<RaftEffect, { kind: 'roleChanged' }>

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
  readonly #membership: Membership
  readonly #applier: Applier
  readonly #reads = new ReadBarriers()
  readonly #driver: RaftDriver
  readonly #snapshots: Snapshots
  readonly #transfer: LeadershipTransfer
  readonly #relief: DiskRelief
  #ticker: Ticker | undefined
  #role: RoleChange['role'] = 'follower'
  #leader: NodeId | undefined
  #removed = false
  /** Somebody was told why the log is not cut. */
  #saidUnmet = false
  #state: 'opened' | 'running' | 'stopped' = 'opened'

  private constructor(options: ReplicaOptions, tuning: ReplicaTuning, storage: RaftStorage) {
    const { clock, later = setImmediate } = options
    const onFatal = (error: Error) => this.#fail(error)
    this.#options = options
    this.#tuning = tuning
    this.#storage = storage
    this.#membership = new Membership({
      replica: options,
      storage,
      status: () => this.#driver.status(),
      isDoubtful: () => this.#driver.isDoubtful,
      enqueue: (event) => this.#driver.enqueue(event),
      schedule: () => this.#driver.schedule(),
      onRemoved: () => this.#leave(),
      onFatal,
    })
    const { members } = this.#membership
    this.#applier = new Applier({
      clock,
      later,
      applied: storage.applied,
      members,
      onProgress: () => this.#snapshots.check(),
      onFatal,
    })
    const raft = new Raft(raftOptionsOf(options, tuning, members.configuration), storage.recovered)
    options.tap?.opened(raft, storage.recovered)
    if (storage.damage !== undefined) warnOfDamage(options.logger, storage.damage)
    this.#driver = new RaftDriver({
      raft,
      storage,
      applier: this.#applier,
      reads: this.#reads,
      uncommittedBytesMax: tuning.uncommittedBytesMax,
      later,
      send: (message) => this.#membership.send(message),
      onRoleChanged: (effect) => this.#roleChanged(effect),
      onConfiguration: (effect) => this.#membership.configuration(effect),
      onSnapshot: (effect) => this.#snapshots.carryOut(effect),
      onTransferFailed: (effect) => this.#transfer.failed(effect),
      takePeerRecords: (writes) => this.#membership.takePeerRecords(writes),
      onFatal,
      onStepped: options.tap && ((effects) => options.tap?.stepped(effects)),
      onSent: options.tap && ((message) => options.tap?.sent(message)),
    })
    this.#snapshots = new Snapshots({
      nodeId: options.nodeId,
      storage,
      applier: this.#applier,
      tuning,
      clock,
      logger: options.logger,
      enqueue: (event) => this.#driver.enqueue(event),
      send: (message) => this.#driver.send(message),
      status: () => raft.status(),
      mayCompact: () => this.#mayCompact(),
      onMembers: (installed) => this.#membership.inForce(installed),
      onFatal,
    })
    this.#transfer = new LeadershipTransfer({
      nodeId: options.nodeId,
      clock,
      patienceMs: HEIR_TIMEOUTS * tuning.electionTimeoutMs,
      status: () => raft.status(),
      minorOf: (nodeId) => this.#membership.minorOf(nodeId),
      enqueue: (event) => this.#driver.enqueue(event),
    })
    this.#relief = new DiskRelief({
      storage,
      clock,
      logger: options.logger,
      tickMs: tickMsOf(tuning),
      patienceTicks: SLOW_DISK_TIMEOUTS * electionTimeoutTicksOf(tuning),
      handOver: () => this.#transfer.transfer(),
    })
  }

  /**
   * Opens the directory and reads the log; nothing happens yet (see `start`).
   *
   * @throws WalLockedError, WalIdentityError, WalNotEmptyError, WalVersionError, WalDamagedError, WalFailedError,
   * ReplicaLogMalformedError, SnapshotDamagedError, SnapshotVersionError
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
      bootstrap: bootstrapMembers(options).data,
      mayRebuild: options.network !== undefined,
      hasOthers: options.members.length > 1 || options.join === true,
      later: options.later,
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
    await this.#snapshots.restore(handler)
    hit('raft.start.restored')
    // Stopped meanwhile.
    if (this.#isStopped) return
    this.#applier.start(handler)
    this.#membership.open()
    if (this.#removed) return
    if (this.#options.network !== undefined) this.#startTicking()
    // The core asks for what is to be applied in its first step, and nothing else would bring one.
    else this.#driver.tick(1)
    this.#applier.whenApplied(this.#driver.status().commitIndex, () => this.#leadAlone())
  }

  propose(payload: Uint8Array, options: ProposeOptions = {}): ProposeResult {
    if (!this.#applier.isLeading) return this.#refused('notLeader')
    const bytesMax = Math.min(PAYLOAD_BYTES_MAX, (this.#tuning.segmentBytesMax ?? Infinity) - SEGMENT_OVERHEAD_BYTES)
    if (payload.length > bytesMax) throw new ProposalTooLargeError(payload.length, bytesMax)
    const { spaceLow, reserveLow } = this.#storage
    if (reserveLow || (spaceLow && options.reserve !== true)) return this.#refused('diskFull')
    return this.#driver.propose(payload) ? { kind: 'accepted' } : this.#refused('backPressure')
  }

  readBarrier(): Promise<void> {
    if (this.#removed) return Promise.reject(new NodeRemovedError(this.#options.nodeId))
    if (this.#state !== 'running') return Promise.reject(new NotLeaderError(undefined))
    this.#driver.schedule()
    return this.#reads.add()
  }

  /**
   * The state as of now (a linearizable point, whatever this node's part), as the bytes of a snapshot: for backups.
   * Close what it gives.
   *
   * @throws NotLeaderError, NodeRemovedError
   */
  async streamSnapshot(): Promise<SnapshotStream> {
    await this.readBarrier()
    const { clock, clusterId, later = setImmediate } = this.#options
    const { position, configuration, state } = this.#applier.freeze()
    const header = { clusterId, position, configuration, takenAtMs: clock.wallMs() }
    return new SnapshotStream(header, state, new Slices(clock, later))
  }

  /** What this node says of itself in hello and welcome, as of now. */
  identity(): NodeIdentity {
    return this.#membership.identity()
  }

  /** The minor version of the protocol to name in hello and welcome. */
  get protocolMinor(): number {
    return this.#membership.protocolMinor
  }

  /** The leader, when one is known: itself only once it may answer. */
  get leader(): NodeId | undefined {
    return this.#leader
  }

  /** The members, as this node sees them. */
  members(): MembersView {
    const view = this.#membership.view()
    // Its own log may not say so: then the others have told it.
    return { ...view, removed: view.removed || this.#removed }
  }

  /** Where a member is reached, as `host:port`. */
  addressOf(nodeId: NodeId): string | undefined {
    return this.#membership.members.addressOf(nodeId)
  }

  /**
   * Changes the members; resolves with them once the change is in force. Only the leader can. It refuses what would leave
   * fewer living voters than decide, and voters that have not caught up, unless `force` says why.
   *
   * @throws NotLeaderError, MembersRefusedError (nothing was done), MembersOutcomeUnknownError
   */
  async changeMembers(request: MembersRequest, options?: ChangeOptions): Promise<MembersView> {
    await this.#membership.change(request, options)
    return this.members()
  }

  /**
   * Hands the leadership to `to`, or to the voter that is furthest; resolves with the new leader.
   *
   * @throws NotLeaderError, TransferFailedError: this node goes on leading
   */
  transferLeadership(to?: NodeId): Promise<NodeId> {
    return this.#transfer.transfer(to)
  }

  /** Before a planned stop: lets another node lead, so that nobody has to wait for an election. Never throws. */
  async handOver(timeoutMs: number): Promise<boolean> {
    if (this.#state !== 'running') return true
    return await this.#transfer.handOver(timeoutMs)
  }

  /**
   * Judges the hello of a peer (role `peer`). Undefined: welcome it.
   *
   * Codes: NODE_NOT_MEMBER, NODE_REMOVED, NODE_RUNS_TWICE, NODE_STORE_CHANGED, NODE_STORE_OLD, WRONG_CLUSTER, SHUTTING_DOWN.
   */
  acceptPeer(hello: Hello): undefined | Rejected {
    if (this.#state === 'stopped' || this.#removed)
      return { kind: 'rejected', code: 'SHUTTING_DOWN', message: 'the node takes part no more; try again later' }
    return this.#membership.judge(hello)
  }

  /** Takes over a connection whose hello `acceptPeer` accepted; its messages go to Raft. */
  addPeerConnection(connection: Connection): void {
    this.#membership.accept(connection)
  }

  /** The last entry that the state machine has applied. `status` tells up to which one they were handed to it. */
  get appliedIndex(): number {
    return this.#applier.appliedIndex
  }

  status(): DecisionLogStatus {
    const { storeId, bytesOnDisk, spaceLow } = this.#storage
    const { peers } = this.#membership
    const { status: snapshot } = this.#snapshots
    return { raft: this.#driver.status(), storeId, bytesOnDisk, spaceLow, snapshot, peers, removed: this.#removed }
  }

  async close(): Promise<void> {
    this.#stop()
    await this.#snapshots.stop()
    await this.#storage.close()
  }

  /**
   * Whether the log may be cut: a member of protocol 1.0 could never get back what is gone. One that this run has not met
   * may be of 1.0, unless the log was cut before: then all had been upgraded once, and nobody goes back.
   */
  #mayCompact(): boolean {
    const { nodeIds } = this.#membership.members
    if (nodeIds.some((nodeId) => this.#membership.minorOf(nodeId) === 0)) return false
    const unmet = nodeIds.filter((nodeId) => this.#membership.minorOf(nodeId) === undefined)
    if (unmet.length === 0 || this.#storage.base.index > 0) return true
    if (!this.#saidUnmet) {
      const what = `the log is not cut, and grows, until this node has met node ${unmet.join(', ')}`
      this.#options.logger.warn({ unmet }, `${what}: start what is down, or remove it from the members`)
    }
    this.#saidUnmet = true
    return false
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
    this.#takeNoPart()
    this.#applier.stop()
    void this.#snapshots.stop()
  }

  get #isStopped(): boolean {
    return this.#state === 'stopped'
  }

  /**
   * A group of one has nobody to wait for, but must not campaign before all that it knows to be committed is applied
   * (raft/election.ts). Only then it is sure who is in the group.
   */
  #leadAlone(): void {
    if (this.#role === 'follower' && this.#membership.isAlone)
      this.#driver.tick(2 * electionTimeoutTicksOf(this.#tuning))
  }

  #startTicking(): void {
    const tickMs = tickMsOf(this.#tuning)
    const ticksMax = Math.ceil(this.#tuning.heartbeatMs / tickMs)
    this.#ticker = new Ticker(this.#options.clock, tickMs, ticksMax, (ticks) => this.#tick(ticks))
  }

  #takeNoPart(): void {
    this.#ticker?.stop()
    this.#driver.stop()
    this.#membership.close()
    this.#reads.refuseAll()
    this.#transfer.close()
    // Whoever waits for its proposals hears that their outcome is not known here.
    this.#applier.following(undefined)
  }

  /** This node is no member any more, for good: it disturbs nobody, but still answers for itself. */
  #leave(): void {
    if (this.#removed || this.#state !== 'running') return
    this.#removed = true
    const error = new NodeRemovedError(this.#options.nodeId)
    this.#options.logger.error({ code: error.code }, error.message)
    this.#leader = undefined
    this.#takeNoPart()
  }

  #tick(ticks: number): void {
    this.#driver.tick(ticks)
    if (this.#role !== 'leader') return
    this.#membership.noteAcknowledged(this.#driver.status())
    if (!this.#membership.isAlone) this.#relief.tick(ticks)
  }

  #roleChanged(effect: RoleChange): void {
    const { role, term, leader } = effect
    this.#role = role
    this.#leader = leader
    this.#options.logger.info({ role, term, leader }, `${role} in term ${term}`)
    this.#transfer.roleChanged(effect)
    this.#snapshots.roleChanged(role === 'leader', term)
    if (role !== 'leader') this.#applier.following(leader)
    this.#membership.roleChanged(effect)
  }

  #refused(reason: 'notLeader' | 'backPressure' | 'diskFull'): ProposeResult {
    return { kind: 'refused', reason, leader: this.#leader }
  }
}

function warnOfDamage(logger: ReplicaLogger, damage: Error): void {
  const { code } = damage as { readonly code?: string }
  const what = 'this node lost a part of what it promised: it does not count until the others have made it whole again'
  logger.error({ err: damage, code }, `${what}. ${damage.message}`)
}

function checkMembers({ nodeId, members, network, join }: ReplicaOptions): void {
  const ids = members.map((member) => member.nodeId)
  if (join !== true && !ids.includes(nodeId))
    throw new InvariantError(`node ${nodeId} is missing from the members ${ids.join(', ')}`)
  assert(new Set(ids).size === ids.length, 'each member has a node id of its own')
  assert((members.length === 1 && join !== true) || network !== undefined, 'a group of several needs a network')
}
