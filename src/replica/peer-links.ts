import type { NodeId } from '../base/index.ts'
import type { RaftMessage } from '../raft/index.ts'
import {
  type Connection,
  type Endpoint,
  HandshakeRejectedError,
  type Message,
  minorOf,
  type NodeIdentity,
} from '../transport/index.ts'
import { NodeRunsTwiceError } from './member-errors.ts'
import { formatEndpoint } from './member-list.ts'
import type { ReplicaOptions } from './options.ts'
import type { PeerIdentities } from './peer-identities.ts'
import { PeerLink } from './peer-link.ts'

/** What the links need and tell. */
export interface PeerLinksOptions {
  readonly replica: ReplicaOptions
  /** The minor version that we speak. */
  readonly protocolMinor: number
  readonly identities: PeerIdentities
  /** Our identity now. */
  readonly identity: () => NodeIdentity
  readonly onMessage: (message: RaftMessage) => void
  /** We dialled this peer, and it took us for who we are. */
  readonly onAccepted: (peer: NodeId) => void
  /** Nothing more goes to the peer on what we dialled; told once more when nothing more comes on what it dialled either. */
  readonly onUnreachable: (peer: NodeId) => void
  /** The peer won't have us; `code` says why. */
  readonly onRejected: (peer: NodeId, error: HandshakeRejectedError) => void
}

/** How a peer is reached, for status pages. */
export interface PeerState {
  readonly nodeId: NodeId
  readonly address: string
  readonly connected: boolean
}

/**
 * The connections among the members. Each node dials each other one and sends on what it dialled; only to a node that
 * it can't reach, or whose address it does not know (yet), it answers on what that node dialled.
 *
 * Whom to dial changes as members come and go. Whom to take is decided elsewhere (admission.ts).
 */
export class PeerLinks {
  readonly #options: PeerLinksOptions
  readonly #links = new Map<NodeId, PeerLink>()
  readonly #inbound = new Map<NodeId, Set<Connection>>()
  readonly #minors = new Map<NodeId, number>()
  #closed = false

  constructor(options: PeerLinksOptions) {
    this.#options = options
  }

  get states(): readonly PeerState[] {
    return [...this.#links.values()].map(({ nodeId, endpoint, connection }) => ({
      nodeId,
      address: formatEndpoint(endpoint),
      connected: connection !== undefined,
    }))
  }

  /** Dials these nodes and nobody else. A node at another address than before is dialled anew. */
  dial(endpoints: ReadonlyMap<NodeId, Endpoint>): void {
    if (this.#closed) return
    for (const [nodeId, link] of this.#links) {
      const wanted = endpoints.get(nodeId)
      if (wanted?.host === link.endpoint.host && wanted.port === link.endpoint.port) continue
      link.close('the members changed')
      this.#links.delete(nodeId)
    }
    for (const [nodeId, endpoint] of endpoints) {
      if (this.#links.has(nodeId) || nodeId === this.#options.replica.nodeId) continue
      this.#links.set(nodeId, this.#open(nodeId, endpoint))
    }
  }

  /** Ends what this node dialled: at its next hello it hears why. */
  expel(nodeId: NodeId): void {
    for (const connection of this.#inbound.get(nodeId) ?? []) connection.close('this node was removed')
  }

  /** Whether the peer took our hello. */
  isConnected(nodeId: NodeId): boolean {
    return this.#links.get(nodeId)?.connection !== undefined
  }

  /** The minor version that a peer spoke last; undefined when it was not met in this run. */
  minorOf(nodeId: NodeId): number | undefined {
    return this.#minors.get(nodeId)
  }

  /** @returns false when the message was not queued */
  send(message: RaftMessage): boolean {
    if (minorOf(message) > this.#options.protocolMinor) return false
    const dialled = this.#links.get(message.to)?.connection
    if (dialled !== undefined) return dialled.send(message)
    // Release 1.0 answers only on what it dialled: a fleet that is being upgraded must behave as it does.
    if (this.#options.protocolMinor === 0) return false
    for (const connection of this.#inbound.get(message.to) ?? []) if (connection.send(message)) return true
    return false
  }

  /** Another process speaks for this node at the same time. Undefined: as far as anybody can see from here, none does. */
  conflictWith({ nodeId, storeId, run }: NodeIdentity): NodeRunsTwiceError | undefined {
    if (run === undefined) return undefined
    for (const connection of this.#openConnections(nodeId)) {
      const other = connection.remote.node
      // Another directory is another mistake, and has a name of its own.
      if (other?.run === undefined || other.storeId !== storeId) continue
      if (other.run.incarnation !== run.incarnation) return new NodeRunsTwiceError(nodeId)
    }
    return undefined
  }

  /** A peer dialled us and was accepted. */
  accept(connection: Connection, from: NodeId): void {
    if (this.#closed) {
      connection.close('the node is stopping')
      return
    }
    const connections = this.#inbound.get(from) ?? new Set()
    this.#inbound.set(from, connections.add(connection))
    connection.onMessage = (message) => this.#receive(message, from)
    connection.onClose = () => {
      connections.delete(connection)
      if (connections.size > 0 || this.#inbound.get(from) !== connections) return
      this.#inbound.delete(from)
      // A leader that died is seen on both connections, and its last word may come between the two.
      if (!this.#closed && !this.isConnected(from)) this.#options.onUnreachable(from)
    }
    this.#minors.set(from, connection.protocolMinor)
    // It is up, so our own attempt need not wait for its back-off.
    this.#links.get(from)?.hurry()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const link of this.#links.values()) link.close('the node is stopping')
    for (const connections of this.#inbound.values())
      for (const connection of [...connections]) connection.close('the node is stopping')
  }

  #open(nodeId: NodeId, endpoint: Endpoint): PeerLink {
    const { replica, protocolMinor, identities, identity } = this.#options
    return new PeerLink(nodeId, endpoint, {
      replica,
      protocolMinor,
      identities,
      identity,
      objectionTo: (node) => this.conflictWith(node),
      onUp: (connection) => {
        this.#minors.set(nodeId, connection.protocolMinor)
        this.#options.onAccepted(nodeId)
      },
      onDown: (error, attempts) => this.#down(nodeId, error, attempts),
      onMessage: (message) => this.#receive(message, nodeId),
    })
  }

  #down(nodeId: NodeId, error: Error, attempts: number): void {
    if (error instanceof HandshakeRejectedError) this.#options.onRejected(nodeId, error)
    if (attempts === 0) this.#options.onUnreachable(nodeId)
  }

  #receive(message: Message, from: NodeId): void {
    if (this.#closed || !isRaftMessage(message)) return
    // The core stops the process over a message that can't be; a peer that is wrongly set up must not cause that.
    if (message.from !== from || message.to !== this.#options.replica.nodeId) return
    if (minorOf(message) <= this.#options.protocolMinor) this.#options.onMessage(message)
  }

  *#openConnections(nodeId: NodeId): Iterable<Connection> {
    const dialled = this.#links.get(nodeId)?.connection
    if (dialled?.isOpen) yield dialled
    for (const connection of this.#inbound.get(nodeId) ?? []) if (connection.isOpen) yield connection
  }
}

const RAFT_MESSAGES: ReadonlySet<string> = new Set<RaftMessage['kind']>([
  'requestVote',
  'requestVoteResponse',
  'appendEntries',
  'appendEntriesResponse',
  'timeoutNow',
  'readIndex',
  'readIndexResponse',
  'installSnapshot',
  'installSnapshotResponse',
])

function isRaftMessage(message: Message): message is RaftMessage {
  return RAFT_MESSAGES.has(message.kind)
}
