import { assert, type NodeId } from '../base/index.ts'
import {
  type Connection,
  type Endpoint,
  HandshakeRejectedError,
  type Hello,
  Link,
  type Message,
  type NodeIdentity,
  PROTOCOL_MAJOR,
  type Welcome,
} from '../transport/index.ts'
import { NodeNotMemberError } from './errors.ts'
import { formatEndpoint } from './member-list.ts'
import type { ReplicaOptions } from './options.ts'
import type { PeerIdentities } from './peer-identities.ts'

/** What a link needs and tells. */
export interface PeerLinkOptions {
  readonly replica: ReplicaOptions
  readonly protocolMinor: number
  readonly identities: PeerIdentities
  /** Our identity now. */
  readonly identity: () => NodeIdentity
  /** Why this identity can't be whom we dialled, beside what its directory says. */
  readonly objectionTo: (node: NodeIdentity) => Error | undefined
  readonly onUp: (connection: Connection) => void
  readonly onDown: (error: Error, attempts: number) => void
  readonly onMessage: (message: Message) => void
}

/** The connection that we dial to one peer, and dial again. */
export class PeerLink {
  readonly nodeId: NodeId
  readonly endpoint: Endpoint
  readonly #options: PeerLinkOptions
  readonly #link: Link
  /** What the peer must at least have: taken before it was asked, since acknowledgements may overtake its answer. */
  #floor = 0
  #connection: Connection | undefined
  /** The last reason that was logged: a peer that stays away is no news each second. */
  #loggedReason: string | undefined

  /** Begins to dial. */
  constructor(nodeId: NodeId, endpoint: Endpoint, options: PeerLinkOptions) {
    const { replica } = options
    assert(replica.network !== undefined, 'a group of several needs a network')
    this.nodeId = nodeId
    this.endpoint = endpoint
    this.#options = options
    this.#link = new Link({
      network: replica.network,
      host: endpoint.host,
      port: endpoint.port,
      ...(replica.tls !== undefined && { tls: replica.tls }),
      clock: replica.clock,
      seed: replica.seed + replica.nodeId * 65_536 + nodeId,
      hello: () => this.#hello(),
      onUp: (connection) => this.#up(connection),
      onDown: (error, attempts) => this.#down(error, attempts),
      onMessage: options.onMessage,
    })
  }

  /** The connection, while one is up and the peer is who it should be. */
  get connection(): Connection | undefined {
    return this.#connection
  }

  /** The peer is back, so the attempt need not wait for its back-off. */
  hurry(): void {
    if (this.#connection === undefined) this.#link.hurry()
  }

  close(reason: string): void {
    this.#connection = undefined
    this.#link.close(reason)
  }

  #hello(): Hello {
    const { replica, protocolMinor, identities, identity } = this.#options
    this.#floor = identities.floorOf(this.nodeId)
    return {
      kind: 'hello',
      protocolMajor: PROTOCOL_MAJOR,
      protocolMinor,
      role: 'peer',
      clusterId: replica.clusterId,
      node: identity(),
      name: `node-${replica.nodeId}`,
    }
  }

  #up(connection: Connection): void {
    const objection = this.#objectionTo((connection.remote as Welcome).node)
    if (objection !== undefined) {
      this.#log('error', objection)
      // Without a connection nothing is sent to it; what it sends to us is refused at its own hello.
      connection.close(objection.message)
      return
    }
    this.#connection = connection
    this.#loggedReason = undefined
    this.#options.replica.logger.info(this.#details(), `connected to node ${this.nodeId}`)
    this.#options.onUp(connection)
  }

  #objectionTo(node: NodeIdentity): Error | undefined {
    if (node.nodeId === this.nodeId)
      return this.#options.objectionTo(node) ?? this.#options.identities.check(node, this.#floor)
    return new NodeNotMemberError(
      `${formatEndpoint(this.endpoint)} should lead to node ${this.nodeId} and leads to node ${node.nodeId}: correct the members' addresses`,
    )
  }

  #down(error: Error, attempts: number): void {
    this.#connection = undefined
    // A refusal waits for an operator; a peer that is away comes back by itself.
    this.#log(error instanceof HandshakeRejectedError ? 'error' : 'warn', error)
    this.#options.onDown(error, attempts)
  }

  #log(level: 'warn' | 'error', error: Error): void {
    const reason = (error as { readonly code?: string }).code ?? error.message
    if (this.#loggedReason === reason) return
    this.#loggedReason = reason
    const details = { ...this.#details(), code: reason }
    this.#options.replica.logger[level](details, `no connection to node ${this.nodeId}: ${error.message}`)
  }

  #details(): object {
    return { peer: this.nodeId, address: formatEndpoint(this.endpoint) }
  }
}
