import { type ClusterId, type NodeId, parseClusterId, parseNodeId, systemClock } from '../base/index.ts'
import {
  type Hello,
  type Listener,
  listen,
  type Network,
  PROTOCOL_MAJOR,
  type Rejected,
  type Welcome,
} from '../transport/index.ts'
import type { Disk } from '../wal/index.ts'
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

/** Several nodes that can be stopped and started again on what they left. */
export class Fleet {
  readonly nodes = new Map<NodeId, TestNode>()
  readonly members: readonly Member[]
  readonly network: Network
  readonly tuning: Partial<ReplicaTuning>
  /** What single nodes are opened with. */
  readonly more = new Map<NodeId, Partial<ReplicaOptions>>()
  /** Nodes that were not there from the beginning. */
  readonly joined: Member[] = []
  readonly #diskOf: (nodeId: NodeId) => { readonly disk: Disk; readonly directory: string }

  constructor(
    network: Network,
    members: readonly Member[],
    diskOf: (nodeId: NodeId) => { readonly disk: Disk; readonly directory: string },
    tuning: Partial<ReplicaTuning> = {},
  ) {
    this.network = network
    this.members = members
    this.tuning = tuning
    this.#diskOf = diskOf
  }

  get running(): readonly TestNode[] {
    return [...this.nodes.values()]
  }

  async start(...numbers: number[]): Promise<void> {
    const ids = numbers.length === 0 ? this.members.map((member) => member.nodeId) : numbers.map(parseNodeId)
    for (const nodeId of ids) {
      const { network, tuning } = this
      const members = [...this.members, ...this.joined.filter((member) => member.nodeId === nodeId)]
      const more = this.more.get(nodeId) ?? {}
      this.nodes.set(nodeId, await TestNode.start({ network, members, tuning, more, nodeId, ...this.#diskOf(nodeId) }))
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

  async stopAll(): Promise<void> {
    await Promise.all(this.running.map((node) => this.stop(node.nodeId)))
  }

  leader(): Promise<TestNode> {
    return eventually('a leader serves', () => this.running.find((node) => node.recorder.leads))
  }

  followers(leader: TestNode): TestNode[] {
    return this.running.filter((node) => node !== leader)
  }

  /** Waits until every running node applied `count` entries. */
  async applied(count: number): Promise<void> {
    await eventually(`all applied ${count}`, () => this.running.every((node) => node.recorder.applied.length >= count))
  }
}
