import type { Clock, ClusterId, NodeId } from '../base/index.ts'
import type { Verdict } from '../coordinator/index.ts'
import {
  type Connection,
  HandshakeRejectedError,
  type LeaderHint,
  Link,
  type Message,
  type Network,
  type PeerRole,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  RejectionCode,
  type ServerMessage,
  type TlsOptions,
  type Welcome,
} from '../transport/index.ts'
import type { Logger } from './logger.ts'
import { type Address, parseAddress } from './options.ts'

/** What a fleet needs. */
export interface FleetOptions {
  readonly addresses: readonly Address[]
  readonly tls: TlsOptions | undefined
  readonly name: string
  /** As what to take part. Default `client`. */
  readonly role?: Exclude<PeerRole, 'peer'>
  /** Undefined: whatever the first coordinator says. */
  readonly clusterId: ClusterId | undefined
  readonly network: Network
  readonly clock: Clock
  readonly random: () => number
  readonly logger: Logger
  /** Runs a task at the end of this turn of the event loop. Default setImmediate; the simulator has its own. */
  readonly schedule?: ((task: () => void) => void) | undefined
}

/** What a fleet tells. */
export interface FleetEvents {
  /** The first coordinator was met. */
  onCluster(clusterId: ClusterId): void
  /** The open connection to the leader, as far as anybody knows one. Comes only when it changes. */
  onLeader(connection: Connection | undefined): void
  /** The leader that we talk to already says itself that it leads: from now on it counts what it is sent. */
  onServing(connection: Connection): void
  /** An answer to a request. */
  onReply(message: ServerMessage, connection: Connection): void
  /** PREPARE or a decision, to a participant. It is answered over the same connection. */
  onOrder(order: ParticipantOrder, connection: Connection): void
  /** A transaction is to die in a deadlock. */
  onDeadlock(verdict: Verdict): void
}

/** What a coordinator says to a participant by itself. */
export type ParticipantOrder = Extract<ServerMessage, { kind: 'prepare' | 'decision' }>

/** Coordinators that are met by name and by hint, at most: a mad one must not make us dial the world. */
const MEMBERS_MAX = 16

/** One coordinator, or an address that may be one. */
interface Member {
  readonly address: string
  readonly isSeed: boolean
  link: Link
  connection: Connection | undefined
  nodeId: NodeId | undefined
  lastError: Error | undefined
}

/**
 * Connections to all coordinators, and which of them leads.
 *
 * A connection to each (not only to the leader) makes a failover as short as it can be: whoever survives pushes the new leader's name
 * over a connection that is open, and the requests go out over another that is open too. Idle ones cost a heartbeat a second.
 */
export class Fleet {
  readonly #options: FleetOptions
  readonly #events: FleetEvents
  readonly #members = new Map<string, Member>()
  #clusterId: ClusterId | undefined
  /** The latest word of anybody. It may be wrong: then that node refuses and names another. */
  #leader: LeaderHint | undefined
  #active: Connection | undefined
  #isClosed = false

  constructor(options: FleetOptions, events: FleetEvents) {
    this.#options = options
    this.#events = events
    this.#clusterId = options.clusterId
  }

  /** Begins to connect. */
  start(): void {
    for (const { host, port } of this.#options.addresses) this.#add(formatAddress(host, port), { host, port }, true)
  }

  /** Dials whatever is down at once: somebody waits. */
  hurry(): void {
    for (const member of this.#members.values()) if (member.connection === undefined) member.link.hurry()
  }

  /** A coordinator that does not lead named the one that does, or nobody. */
  learn(hint: LeaderHint | undefined, from: Connection): void {
    if (hint === undefined) {
      if (from === this.#active) this.#setLeader(undefined)
    } else this.#setLeader(hint)
  }

  /** Why there is no leader to talk to, for an error message. */
  describe(): string {
    const parts = [...this.#members.values()].map((member) => `${member.address}: ${stateOf(member)}`)
    return parts.length === 0 ? 'not connected yet' : parts.join('; ')
  }

  /** The last error of any coordinator that can't be talked to. */
  get lastError(): Error | undefined {
    for (const { connection, lastError } of this.#members.values()) {
      if (connection === undefined && lastError !== undefined) return lastError
    }
    return undefined
  }

  close(): void {
    this.#isClosed = true
    for (const member of this.#members.values()) member.link.close('the client closed')
    this.#members.clear()
    this.#active = undefined
  }

  #add(key: string, { host, port }: Address, isSeed: boolean): Member | undefined {
    const known = this.#members.get(key)
    if (known !== undefined || this.#members.size >= MEMBERS_MAX) return known
    const { network, clock, random, tls } = this.#options
    const link = new Link({
      network,
      host,
      port,
      ...(tls !== undefined && { tls }),
      clock,
      seed: Math.floor(random() * 2 ** 32),
      hello: () => this.#hello(),
      onUp: (connection) => this.#up(member, connection),
      onDown: (error) => this.#down(member, error),
      onMessage: (message) => this.#receive(member, message),
    })
    const member: Member = {
      address: key,
      isSeed,
      link,
      connection: undefined,
      nodeId: undefined,
      lastError: undefined,
    }
    this.#members.set(key, member)
    return member
  }

  #hello(): Message & { kind: 'hello' } {
    return {
      kind: 'hello',
      protocolMajor: PROTOCOL_MAJOR,
      protocolMinor: PROTOCOL_MINOR,
      role: this.#options.role ?? 'client',
      clusterId: this.#clusterId,
      node: undefined,
      name: this.#options.name,
    }
  }

  #up(member: Member, connection: Connection): void {
    const welcome = connection.remote as Welcome
    if (!this.#isOurs(member, welcome)) return
    member.connection = connection
    member.nodeId = welcome.node.nodeId
    member.lastError = undefined
    if (this.#dropTwin(member)) return
    if (welcome.leader !== undefined) this.#setLeader(welcome.leader)
    else if (this.#leader?.nodeId === member.nodeId) this.#setLeader(undefined)
    else this.#refresh()
  }

  #isOurs(member: Member, welcome: Welcome): boolean {
    if (this.#clusterId === undefined) {
      this.#clusterId = welcome.clusterId
      this.#events.onCluster(welcome.clusterId)
    }
    if (welcome.clusterId === this.#clusterId) return true
    // Two seeds of different clusters: the first one counts, and the other is never asked anything.
    const message = `${member.address} belongs to cluster "${welcome.clusterId}", the others to "${this.#clusterId}"; check the addresses`
    member.lastError = new HandshakeRejectedError(RejectionCode.wrongCluster, message)
    this.#options.logger.error({ address: member.address }, message)
    member.link.close('another cluster')
    return false
  }

  /** The same coordinator under two addresses (a name and a hint's number) needs one connection. Seeds stay. */
  #dropTwin(member: Member): boolean {
    for (const other of this.#members.values()) {
      if (other === member || other.nodeId !== member.nodeId || other.connection === undefined) continue
      const surplus = member.isSeed ? other : member
      if (surplus.isSeed) continue
      surplus.link.close('connected twice')
      surplus.connection = undefined
      this.#members.delete(surplus.address)
      this.#refresh()
      return surplus === member
    }
    return false
  }

  #down(member: Member, error: Error): void {
    member.connection = undefined
    member.lastError = error
    this.#options.logger.debug({ address: member.address, err: error }, 'no connection to a coordinator')
    this.#refresh()
  }

  #receive(member: Member, message: Message): void {
    const { connection } = member
    if (connection === undefined) return
    if (message.kind === 'outcome' || message.kind === 'refused' || message.kind === 'adminResult') {
      this.#events.onReply(message, connection)
    } else if (message.kind === 'prepare' || message.kind === 'decision') {
      this.#events.onOrder(message, connection)
    } else if (message.kind === 'deadlock') {
      this.#events.onDeadlock(message)
    } else if (message.kind === 'leader') {
      const wasActive = connection === this.#active
      this.learn(message.leader, connection)
      const isItself = message.leader?.nodeId === member.nodeId
      if (isItself && wasActive && connection === this.#active) this.#events.onServing(connection)
    }
  }

  #setLeader(hint: LeaderHint | undefined): void {
    this.#leader = hint
    if (hint !== undefined && this.#memberOf(hint.nodeId) === undefined) {
      const address = parseAddress(hint.address)
      if (address !== undefined) this.#add(hint.address, address, false)?.link.hurry()
    }
    this.#refresh()
  }

  #memberOf(nodeId: NodeId): Member | undefined {
    for (const member of this.#members.values()) {
      if (member.nodeId === nodeId && member.connection !== undefined) return member
    }
    return undefined
  }

  #refresh(): void {
    if (this.#isClosed) return
    const active = this.#leader === undefined ? undefined : this.#memberOf(this.#leader.nodeId)?.connection
    if (active === this.#active) return
    this.#active = active
    this.#events.onLeader(active)
  }
}

function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function stateOf({ connection, lastError }: Member): string {
  if (connection !== undefined) return 'connected, but it knows no leader that we reach'
  return lastError?.message ?? 'connecting'
}
