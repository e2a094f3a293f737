import { assert, type NodeId } from '../base/index.ts'
import type { RaftMessage } from '../raft/index.ts'
import {
  type Connection,
  HandshakeRejectedError,
  type Hello,
  Link,
  type Message,
  type NodeIdentity,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  type Welcome,
} from '../transport/index.ts'
import { NodeNotMemberError, NodeStoreChangedError, NodeStoreOldError } from './errors.ts'
import type { Member, ReplicaOptions } from './options.ts'
import type { IdentityError, PeerIdentities } from './peer-identities.ts'

/** What the links need and tell. */
export interface PeerLinksOptions {
  readonly replica: ReplicaOptions
  readonly identities: PeerIdentities
  /** Our identity now. */
  readonly identity: () => NodeIdentity
  readonly onMessage: (message: RaftMessage) => void
  readonly onUnreachable: (peer: NodeId) => void
  /** An identity was heard: there may be something to write. */
  readonly onIdentity: () => void
  /** A peer proved that our directory is not the one we are known by. */
  readonly onRejected: (error: IdentityError) => void
}

/** A peer and the connection that we dialled to it. */
interface Peer {
  readonly member: Member
  link: Link | undefined
  /** What the peer must at least have: taken before it was asked, since acknowledgements may overtake its answer. */
  floor: number
  connected: boolean
  /** The last reason that was logged: a peer that stays away is no news each second. */
  loggedReason: string | undefined
}

/**
 * The connections among the members. Each node dials each other one and sends on what it dialled; what peers send
 * comes in on the connections that they dialled.
 */
export class PeerLinks {
  readonly #options: PeerLinksOptions
  readonly #peers: ReadonlyMap<NodeId, Peer>
  readonly #inbound = new Set<Connection>()
  #closed = false

  constructor(options: PeerLinksOptions) {
    this.#options = options
    const others = options.replica.members.filter((member) => member.nodeId !== options.replica.nodeId)
    this.#peers = new Map(
      others.map((member) => [
        member.nodeId,
        { member, link: undefined, floor: 0, connected: false, loggedReason: undefined },
      ]),
    )
  }

  /** For status pages: who is reached. */
  get states(): readonly { readonly nodeId: NodeId; readonly address: string; readonly connected: boolean }[] {
    return [...this.#peers.values()].map(({ member, connected }) => ({
      nodeId: member.nodeId,
      address: addressOf(member),
      connected,
    }))
  }

  has(nodeId: NodeId): boolean {
    return this.#peers.has(nodeId)
  }

  /** Begins to dial everyone. */
  open(): void {
    for (const peer of this.#peers.values()) peer.link = this.#dial(peer)
  }

  /** @returns false when the message was not queued */
  send(message: RaftMessage): boolean {
    return this.#peers.get(message.to)?.link?.send(message) ?? false
  }

  /** A member dialled us and was accepted. */
  accept(connection: Connection, from: NodeId): void {
    if (this.#closed) {
      connection.close('the node is stopping')
      return
    }
    this.#inbound.add(connection)
    connection.onMessage = (message) => this.#receive(message, from)
    connection.onClose = () => this.#inbound.delete(connection)
    // It is up, so our own attempt need not wait for its back-off.
    const peer = this.#peers.get(from)
    if (peer?.connected === false) peer.link?.hurry()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const peer of this.#peers.values()) {
      peer.connected = false
      peer.link?.close('the node is stopping')
    }
    for (const connection of [...this.#inbound]) connection.close('the node is stopping')
  }

  #receive(message: Message, from: NodeId): void {
    if (this.#closed) return
    switch (message.kind) {
      case 'requestVote':
      case 'requestVoteResponse':
      case 'appendEntries':
      case 'appendEntriesResponse':
        // The core stops the process over a message that can't be; a peer that is wrongly set up must not cause that.
        if (message.from === from && message.to === this.#options.replica.nodeId) this.#options.onMessage(message)
        return
      default:
        return
    }
  }

  #dial(peer: Peer): Link {
    const { replica } = this.#options
    const { member } = peer
    assert(replica.network !== undefined, 'a group of several needs a network')
    return new Link({
      network: replica.network,
      host: member.host,
      port: member.port,
      ...(replica.tls !== undefined && { tls: replica.tls }),
      clock: replica.clock,
      seed: replica.seed + replica.nodeId * 65_536 + member.nodeId,
      hello: () => this.#hello(peer),
      onUp: (connection) => this.#up(peer, connection),
      onDown: (error, attempts) => this.#down(peer, error, attempts),
      // The other side speaks on the connection that it dialled itself.
      onMessage: () => {},
    })
  }

  #hello(peer: Peer): Hello {
    const { replica, identities, identity } = this.#options
    peer.floor = identities.floorOf(peer.member.nodeId)
    return {
      kind: 'hello',
      protocolMajor: PROTOCOL_MAJOR,
      protocolMinor: PROTOCOL_MINOR,
      role: 'peer',
      clusterId: replica.clusterId,
      node: identity(),
      name: `node-${replica.nodeId}`,
    }
  }

  #up(peer: Peer, connection: Connection): void {
    const objection = this.#objectionTo(peer, (connection.remote as Welcome).node)
    if (objection !== undefined) {
      this.#log(peer, 'error', objection)
      // Without a connection nothing is sent to it; what it sends to us is refused at its own hello.
      connection.close(objection.message)
      return
    }
    this.#options.onIdentity()
    peer.connected = true
    peer.loggedReason = undefined
    this.#options.replica.logger.info(detailsOf(peer.member), `connected to node ${peer.member.nodeId}`)
  }

  #objectionTo({ member, floor }: Peer, node: NodeIdentity): Error | undefined {
    if (node.nodeId === member.nodeId) return this.#options.identities.check(node, floor)
    return new NodeNotMemberError(
      `${addressOf(member)} should lead to node ${member.nodeId} and leads to node ${node.nodeId}: correct the members' addresses`,
    )
  }

  #down(peer: Peer, error: Error, attempts: number): void {
    peer.connected = false
    const rejected = rejectionOf(error)
    if (rejected !== undefined) {
      this.#options.onRejected(rejected)
      return
    }
    // A refusal waits for an operator; a peer that is away comes back by itself.
    this.#log(peer, error instanceof HandshakeRejectedError ? 'error' : 'warn', error)
    if (attempts === 0) this.#options.onUnreachable(peer.member.nodeId)
  }

  #log(peer: Peer, level: 'warn' | 'error', error: Error): void {
    const reason = (error as { readonly code?: string }).code ?? error.message
    if (peer.loggedReason === reason) return
    peer.loggedReason = reason
    const details = { ...detailsOf(peer.member), code: reason }
    this.#options.replica.logger[level](details, `no connection to node ${peer.member.nodeId}: ${error.message}`)
  }
}

/** The peer refused us for what our directory is. */
function rejectionOf(error: Error): IdentityError | undefined {
  if (!(error instanceof HandshakeRejectedError)) return undefined
  if (error.peerCode === 'NODE_STORE_CHANGED') return new NodeStoreChangedError(error.message, { cause: error })
  if (error.peerCode === 'NODE_STORE_OLD') return new NodeStoreOldError(error.message, { cause: error })
  return undefined
}

function addressOf({ host, port }: Member): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function detailsOf(member: Member): object {
  return { peer: member.nodeId, address: addressOf(member) }
}
