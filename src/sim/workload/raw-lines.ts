import type { ClusterId, NodeId } from '../../base/index.ts'
import {
  type Connection,
  type LeaderHint,
  Link,
  type Message,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  type ServerMessage,
  type Welcome,
} from '../../transport/index.ts'
import type { SimProcess } from '../kernel/types.ts'

/** What lines need to know. */
export interface RawLinesOptions {
  readonly addresses: readonly string[]
  readonly clusterId: ClusterId
  readonly name: string
  readonly onMessage: (message: ServerMessage) => void
}

/** Connections of the production transport to every coordinator, without the client's care: whoever holds them decides whom to ask. */
export class RawLines {
  readonly #process: SimProcess
  readonly #options: RawLinesOptions
  readonly #links: Link[] = []
  readonly #addresses = new Set<string>()
  readonly #byNode = new Map<NodeId, Link>()
  #leader: NodeId | undefined

  constructor(process: SimProcess, options: RawLinesOptions) {
    this.#process = process
    this.#options = options
    for (const address of options.addresses) this.#add(address)
  }

  /** Coordinators that are known. */
  get count(): number {
    return this.#links.length
  }

  /** False when it was not sent. @param to its number from 0, or whoever is said to lead */
  send(to: number | 'leader', message: Message): boolean {
    const leading = this.#leader === undefined ? undefined : this.#byNode.get(this.#leader)
    const link = to === 'leader' ? leading : this.#links[to]
    return link?.send(message) ?? false
  }

  /** To every coordinator: those that don't lead leave it alone. */
  broadcast(message: Message): void {
    for (const link of this.#links) link.send(message)
  }

  #add(address: string): void {
    if (this.#addresses.has(address)) return
    this.#addresses.add(address)
    const { clusterId, name } = this.#options
    const colon = address.lastIndexOf(':')
    const link: Link = new Link({
      network: this.#process.network,
      host: address.slice(0, colon),
      port: Number(address.slice(colon + 1)),
      clock: this.#process.clock,
      seed: this.#process.random.uint32(),
      hello: () => ({
        kind: 'hello',
        protocolMajor: PROTOCOL_MAJOR,
        protocolMinor: PROTOCOL_MINOR,
        role: 'client',
        clusterId,
        node: undefined,
        name,
      }),
      onUp: (connection) => this.#up(link, connection),
      onDown: () => {},
      onMessage: (message) => this.#receive(message),
    })
    this.#links.push(link)
  }

  #up(link: Link, { remote }: Connection): void {
    const { node, leader } = remote as Welcome
    this.#byNode.set(node.nodeId, link)
    this.#learn(leader)
  }

  /** A member that joined later is known by what the others say. */
  #learn(hint: LeaderHint | undefined): void {
    if (hint === undefined) return
    this.#leader = hint.nodeId
    if (!this.#byNode.has(hint.nodeId)) this.#add(hint.address)
  }

  #receive(message: Message): void {
    switch (message.kind) {
      case 'leader':
        return this.#learn(message.leader)
      case 'refused':
        this.#learn(message.leader)
        return this.#options.onMessage(message)
      case 'outcome':
        return this.#options.onMessage(message)
      default:
    }
  }
}
