import { type ClusterId, type NodeId, parseClusterId, parseNodeId, systemClock, type Txid } from '../base/index.ts'
import {
  type Connection,
  type LeaderHint,
  type Listener,
  listen,
  type Message,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  type ServerMessage,
  tcpNetwork,
} from '../transport/index.ts'

type Request = Extract<Message, { kind: 'commit' | 'abort' | 'inquire' }>
/** Undefined: say nothing. */
export type Answer = (request: Request, node: FakeCoordinator) => ServerMessage | undefined

/** Coordinators on loopback TCP that speak the protocol and decide nothing by themselves. */
export class FakeFleet {
  readonly clusterId: ClusterId = parseClusterId('fake')
  readonly nodes: FakeCoordinator[] = []
  readonly committed = new Set<Txid>()
  leader: NodeId | undefined
  /** How the leader answers. */
  answer: Answer = (request) => {
    this.committed.add(request.txid)
    return { kind: 'outcome', requestId: request.requestId, txid: request.txid, outcome: { kind: 'committed' } }
  }

  static async start(size: number): Promise<FakeFleet> {
    const fleet = new FakeFleet()
    for (let number = 1; number <= size; number++) {
      const node = new FakeCoordinator(fleet, parseNodeId(number))
      await node.start()
      fleet.nodes.push(node)
    }
    fleet.leader = fleet.nodes[0]?.nodeId
    return fleet
  }

  get addresses(): { readonly host: string; readonly port: number }[] {
    return this.nodes.map(({ port }) => ({ host: '127.0.0.1', port }))
  }

  hint(): LeaderHint | undefined {
    const node = this.nodes.find(({ nodeId }) => nodeId === this.leader)
    return node === undefined ? undefined : { nodeId: node.nodeId, address: `127.0.0.1:${node.port}` }
  }

  /** A new leader, or none, that every living coordinator tells its clients. */
  elect(nodeId: NodeId | undefined): void {
    this.leader = nodeId
    for (const node of this.nodes) node.push({ kind: 'leader', leader: this.hint() })
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()))
  }
}

export class FakeCoordinator {
  readonly nodeId: NodeId
  readonly received: Message[] = []
  /** Another cluster's id, to play a stranger. */
  clusterId: ClusterId
  port = 0
  readonly #fleet: FakeFleet
  #listener: Listener | undefined

  constructor(fleet: FakeFleet, nodeId: NodeId) {
    this.#fleet = fleet
    this.nodeId = nodeId
    this.clusterId = fleet.clusterId
  }

  async start(): Promise<void> {
    this.#listener = await listen({
      network: tcpNetwork(),
      host: '127.0.0.1',
      port: this.port,
      clock: systemClock,
      accept: () => ({
        kind: 'welcome',
        protocolMajor: PROTOCOL_MAJOR,
        protocolMinor: PROTOCOL_MINOR,
        clusterId: this.clusterId,
        node: { nodeId: this.nodeId, storeId: `store-${this.nodeId}`, durableIndex: 0 },
        leader: this.#fleet.hint(),
      }),
      onConnection: (connection) => {
        connection.onMessage = (message) => this.#take(connection, message)
      },
    })
    this.port = this.#listener.port
  }

  /** Closes the port and every connection, as a crash does. */
  async stop(): Promise<void> {
    await this.#listener?.close()
    this.#listener = undefined
  }

  push(message: ServerMessage): void {
    for (const connection of this.#listener?.connections ?? []) connection.send(message)
  }

  /** Messages of one kind so far. */
  got<Kind extends Message['kind']>(kind: Kind): Extract<Message, { kind: Kind }>[] {
    return this.received.filter((message): message is Extract<Message, { kind: Kind }> => message.kind === kind)
  }

  get connections(): number {
    return this.#listener?.connections.size ?? 0
  }

  #take(connection: Connection, message: Message): void {
    this.received.push(message)
    if (message.kind !== 'commit' && message.kind !== 'abort' && message.kind !== 'inquire') return
    const answer =
      this.#fleet.leader === this.nodeId
        ? this.#fleet.answer(message, this)
        : refused(message.requestId, 'NOT_LEADER', true, this.#fleet.hint())
    if (answer !== undefined) connection.send(answer)
  }
}

export function refused(requestId: number, code: string, retryable: boolean, leader?: LeaderHint): ServerMessage {
  return { kind: 'refused', requestId, code, message: `fake ${code}`, retryable, leader }
}
