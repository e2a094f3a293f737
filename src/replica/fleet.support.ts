import { type ClusterId, type NodeId, parseClusterId, parseNodeId, systemClock } from '../base/index.ts'
import {
  type Hello,
  type Listener,
  listen,
  memoryNetwork,
  type Network,
  PROTOCOL_MAJOR,
  type Rejected,
  type Welcome,
} from '../transport/index.ts'
import { type Disk, type Draw, MemoryDisk, type MemoryDiskOptions } from '../wal/index.ts'
import type { ChangeOptions } from './member-changes.ts'
import type { MembersRequest } from './members-request.ts'
import type { Member, ReplicaOptions, ReplicaTuning } from './options.ts'
import { Recorder } from './recorder.support.ts'
import { Replica } from './replica.ts'

export const CLUSTER: ClusterId = parseClusterId('trips')

/** Calls `check` until it answers something; fails with `what` after `timeoutMs`. */
export async function eventually<T>(what: string, check: () => T | undefined | false, timeoutMs = 15_000): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const result = check()
    if (result !== undefined && result !== false) return result
    if (performance.now() > deadline) throw new Error(`it did not happen in ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export interface NodeOptions {
  readonly network: Network
  readonly disk: Disk
  readonly directory: string
  readonly members: readonly Member[]
  readonly nodeId: NodeId
  readonly tuning?: Partial<ReplicaTuning>
  /** Whatever else this node is opened with. */
  readonly more?: Partial<ReplicaOptions>
}

/** One node as a server would run it: a replica, its listener, and a recorder over it. */
export class TestNode {
  readonly replica: Replica
  readonly recorder = new Recorder()
  readonly fatal: Error[]
  readonly rejections: Rejected[] = []
  readonly nodeId: NodeId
  #listener: Listener | undefined

  private constructor(replica: Replica, nodeId: NodeId, fatal: Error[]) {
    this.replica = replica
    this.nodeId = nodeId
    this.fatal = fatal
  }

  static async start(options: NodeOptions): Promise<TestNode> {
    const node = await TestNode.open(options)
    try {
      await node.replica.start(node.recorder)
      return node
    } catch (error) {
      await node.stop()
      throw error
    }
  }

  /** Listens, but is not started. */
  static async open(options: NodeOptions): Promise<TestNode> {
    const { nodeId, members, network, tuning } = options
    const fatal: Error[] = []
    const replica = await Replica.open(replicaOptions(options, (error) => fatal.push(error), tuning))
    const node = new TestNode(replica, nodeId, fatal)
    const own = members.find((member) => member.nodeId === nodeId)!
    node.#listener = await listen({
      network,
      host: own.host,
      port: own.port,
      clusterId: CLUSTER,
      clock: systemClock,
      accept: (hello) => node.#greet(hello),
      onConnection: (connection) => replica.addPeerConnection(connection),
    })
    return node
  }

  /** Ends it in an orderly way. */
  async stop(): Promise<void> {
    await this.#listener?.close()
    await this.replica.close()
  }

  /** Proposes, and fails when the log refuses. */
  propose(text: string): void {
    const result = this.replica.propose(Buffer.from(text))
    if (result.kind !== 'accepted') throw new Error(`${text} was refused: ${result.reason}`)
  }

  #greet(hello: Hello): Welcome | Rejected {
    const rejected = this.replica.acceptPeer(hello)
    if (rejected !== undefined) {
      this.rejections.push(rejected)
      return rejected
    }
    return {
      kind: 'welcome',
      protocolMajor: PROTOCOL_MAJOR,
      protocolMinor: this.replica.protocolMinor,
      clusterId: CLUSTER,
      node: this.replica.identity(),
      leader: undefined,
    }
  }
}

export function replicaOptions(
  { network, disk, directory, members, nodeId, more }: NodeOptions,
  onFatal: (error: Error) => void,
  tuning: Partial<ReplicaTuning> = {},
): ReplicaOptions {
  return {
    nodeId,
    clusterId: CLUSTER,
    members,
    directory,
    disk,
    network,
    clock: systemClock,
    seed: 42,
    options: { segmentBytesMax: 256 * 1024, ...tuning },
    logger: silentLogger,
    onFatal,
    ...more,
  }
}

export const silentLogger = { debug() {}, info() {}, warn() {}, error() {} }

/** Members 1…count on these ports. */
export function membersOn(ports: readonly number[]): Member[] {
  return ports.map((port, at) => ({ nodeId: parseNodeId(at + 1), host: '127.0.0.1', port }))
}

/** Members 1…count, on ports 7001 and up. */
export function membersUpTo(count: number): Member[] {
  return membersOn(Array.from({ length: count }, (_, at) => 7001 + at))
}

const PASSING_REFUSALS = ['MEMBERS_NOT_READY', 'MEMBERS_NOT_CAUGHT_UP', 'MEMBERS_CHANGE_PENDING', 'NOT_LEADER']

export interface FleetOptions {
  /** What it begins with. Default: nodes 1, 2 and 3. */
  readonly members?: readonly Member[]
  readonly tuning?: Partial<ReplicaTuning>
  /** Where each of them has its log. Default: /log. */
  readonly directory?: string
  /** Default: one of its own. */
  readonly network?: Network
  /** The disk on which a node starts first. Default: an empty one that never fails. */
  readonly newDisk?: (nodeId: NodeId) => MemoryDisk
}

/** Several nodes, each on a disk of its own, that can be stopped and started again on what they left. */
export class Fleet {
  readonly nodes = new Map<NodeId, TestNode>()
  /** A test may give a node that is stopped another disk. */
  readonly disks = new Map<NodeId, MemoryDisk>()
  readonly members: readonly Member[]
  readonly network: Network
  readonly tuning: Partial<ReplicaTuning>
  readonly directory: string
  /** What single nodes are opened with. */
  readonly more = new Map<NodeId, Partial<ReplicaOptions>>()
  /** Nodes that were not there from the beginning. */
  readonly joined: Member[] = []
  readonly #newDisk: (nodeId: NodeId) => MemoryDisk

  constructor(options: FleetOptions = {}) {
    this.members = options.members ?? membersUpTo(3)
    this.network = options.network ?? memoryNetwork()
    this.tuning = options.tuning ?? {}
    this.directory = options.directory ?? '/log'
    this.#newDisk = options.newDisk ?? (() => new MemoryDisk())
  }

  get running(): readonly TestNode[] {
    return [...this.nodes.values()]
  }

  /** The disk of a node, or the one that it will start on. */
  diskOf(nodeId: NodeId): MemoryDisk {
    const disk = this.disks.get(nodeId) ?? this.#newDisk(nodeId)
    this.disks.set(nodeId, disk)
    return disk
  }

  async start(...numbers: number[]): Promise<void> {
    const ids = numbers.length === 0 ? this.members.map((member) => member.nodeId) : numbers.map(parseNodeId)
    for (const nodeId of ids) {
      const { network, tuning, directory } = this
      const members = [...this.members, ...this.joined.filter((member) => member.nodeId === nodeId)]
      const more = this.more.get(nodeId) ?? {}
      const disk = this.diskOf(nodeId)
      this.nodes.set(nodeId, await TestNode.start({ network, members, tuning, more, nodeId, disk, directory }))
    }
  }

  /** Starts a node that waits to be added. */
  async join(number: number, port: number): Promise<Member> {
    const member = { nodeId: parseNodeId(number), host: '127.0.0.1', port }
    this.joined.push(member)
    this.more.set(member.nodeId, { join: true })
    await this.start(number)
    return member
  }

  async stop(nodeId: NodeId): Promise<void> {
    const node = this.nodes.get(nodeId)
    this.nodes.delete(nodeId)
    await node?.stop()
  }

  /** The power of a node goes: what was synced is left, and of the rest what `draw` keeps. Its next disk has `options`. */
  async crash(nodeId: NodeId, draw: Draw = () => 0, options: MemoryDiskOptions = {}): Promise<void> {
    this.disks.set(nodeId, this.diskOf(nodeId).crash(draw, options))
    await this.stop(nodeId)
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.running.map((node) => this.stop(node.nodeId)))
  }

  leader(): Promise<TestNode> {
    return eventually('a leader serves', () => this.running.find((node) => node.recorder.leads))
  }

  /** Asks whoever leads to change the members, again and again while a refusal may pass by itself. */
  async changeMembers(request: MembersRequest, options: ChangeOptions = {}): Promise<void> {
    for (;;) {
      const leader = await this.leader()
      try {
        await leader.replica.changeMembers(request, options)
        return
      } catch (error) {
        if (!PASSING_REFUSALS.includes((error as { readonly code: string }).code)) throw error
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }

  followers(leader: TestNode): TestNode[] {
    return this.running.filter((node) => node !== leader)
  }

  /** Waits until every running node applied `count` entries. */
  async applied(count: number): Promise<void> {
    await eventually(`all applied ${count}`, () => this.running.every((node) => node.recorder.applied.length >= count))
  }
}
