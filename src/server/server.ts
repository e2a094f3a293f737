import { readFileSync } from 'node:fs'
import { isParticipantName, type NodeId, resourceOfJoined, sleep, toError } from '../base/index.ts'
import { Coordinator, DeadlockDetector, Resolver } from '../coordinator/index.ts'
import { Replica, type ReplicaTuning } from '../replica/index.ts'
import type { Resource } from '../resources/index.ts'
import {
  type Connection,
  type Hello,
  type LeaderHint,
  type Listener,
  listen,
  PROTOCOL_MAJOR,
  ProtocolError,
  type Rejected,
  RejectionCode,
  type TlsOptions,
  type Welcome,
} from '../transport/index.ts'
import { isLoopback, parseAddress } from './address.ts'
import { AdminDesk } from './admin-desk.ts'
import { BackupDesk } from './backup-desk.ts'
import { CLIENT_DEFAULTS, type ClientLimits } from './client-quota.ts'
import { ClientSession } from './client-session.ts'
import type { ServerConfig } from './config.ts'
import { ConfigError } from './config-error.ts'
import { GuardDesk } from './guard-desk.ts'
import { InDoubtDesk } from './in-doubt-desk.ts'
import { makeStatus } from './make-status.ts'
import { MembersDesk } from './members-desk.ts'
import { ParticipantRegistry } from './participant-registry.ts'
import { ParticipantSession } from './participant-session.ts'
import { askReleases } from './releases.ts'
import { ResourceChecks } from './resource-checks.ts'
import { type ChosenSeams, chooseSeams, drawSeed, type ServerSeams } from './seams.ts'
import type { ServerLogger } from './server-logger.ts'
import { HttpServices, openHttpServices } from './services/http-services.ts'
import { SettleDesk } from './settle-desk.ts'

/** How long the decisions that are under way may take once the server was asked to stop. */
const DRAIN_MS = 5_000

/** How long another coordinator may take to say what it knows. */
const RELEASE_MS = 1_000

/** How long another node may take to lead. It takes a round trip; whoever can't is given up after an election timeout. */
const HAND_OVER_MS = 1_000

/**
 * One coordinator: a replica of the decision log, the coordinator over it, the resolver, and the port where peers and
 * clients come.
 *
 * @example
 * const server = await CoordinatorServer.start(loadConfig('concordat.yaml'), pino())
 * await server.stop()
 */
export class CoordinatorServer {
  /** Resolves with the error that made this node unable to go on: end the process. */
  readonly failed: Promise<Error>
  readonly #config: ServerConfig
  readonly #logger: ServerLogger
  readonly #seams: ChosenSeams
  readonly #replica: Replica
  readonly #resources: readonly Resource<unknown>[]
  readonly #coordinator: Coordinator
  readonly #resolver: Resolver
  readonly #deadlocks: DeadlockDetector
  readonly #checks: ResourceChecks
  readonly #backups: BackupDesk
  readonly #desk: AdminDesk
  readonly #participants: ParticipantRegistry
  readonly #services: HttpServices
  readonly #sessions = new Set<ClientSession | ParticipantSession>()
  readonly #startedMs: number
  #listener: Listener | undefined

  private constructor(
    config: ServerConfig,
    logger: ServerLogger,
    seams: ChosenSeams,
    replica: Replica,
    resources: readonly Resource<unknown>[],
    services: ReturnType<typeof openHttpServices>,
    failed: Promise<Error>,
  ) {
    const { clock } = seams
    this.#config = config
    this.#logger = logger
    this.#seams = seams
    this.#startedMs = clock.monotonicMs()
    this.#replica = replica
    this.#resources = resources
    this.failed = failed
    this.#participants = new ParticipantRegistry(config.participants.map(({ name }) => name))
    const { keepMs, keepCount, openMax } = config.transactions
    this.#coordinator = new Coordinator({
      log: replica,
      clusterId: config.cluster,
      clock,
      seed: drawSeed(seams),
      options: { keepMs, keepCount, openMax, ...seams.coordination },
      logger,
      participants: seams.participants ?? this.#participants,
      observers: [
        { leading: () => this.#announceLeader(config.node), following: (leader) => this.#announceLeader(leader) },
      ],
    })
    this.#services = new HttpServices(services, {
      coordinator: this.#coordinator,
      registry: this.#participants,
      logger,
    })
    this.#resolver = new Resolver({
      coordinator: this.#coordinator,
      clusterId: config.cluster,
      resources: [...resources.map(({ name, inDoubt }) => ({ name, port: inDoubt })), ...this.#services.inDoubt],
      clock,
      seed: drawSeed(seams),
      options: { scanMs: config.resolver.scanMs, graceMs: config.resolver.graceMs },
      logger,
    })
    this.#deadlocks = new DeadlockDetector({ resources, clock, logger })
    this.#checks = new ResourceChecks({ resources, clock, logger })
    this.#backups = new BackupDesk(replica, clock)
    const inDoubt = new InDoubtDesk({
      coordinator: this.#coordinator,
      log: replica,
      resolver: this.#resolver,
      resources: [...resources, ...this.#services.inspected],
      clusterId: config.cluster,
      node: config.node,
      clock,
    })
    this.#desk = new AdminDesk({
      coordinator: this.#coordinator,
      log: replica,
      clusterId: config.cluster,
      members: new MembersDesk(config.node, replica),
      guard: new GuardDesk(this.#coordinator, replica),
      backups: this.#backups,
      inDoubt,
      settle: new SettleDesk({
        coordinator: this.#coordinator,
        log: replica,
        inDoubt,
        resources,
        clusterId: config.cluster,
        node: config.node,
        clock,
        releases: () => this.#releases(),
      }),
      status: () => this.status(),
    })
  }

  /**
   * Opens the data directory, takes the port and joins the fleet.
   *
   * @param given what is not to be the machine's own: the simulator gives all of it
   * @throws ConfigError for an address that can't be used, and whatever the log or the port refuses
   */
  static async start(
    config: ServerConfig,
    logger: ServerLogger,
    given: Partial<ServerSeams> = {},
  ): Promise<CoordinatorServer> {
    const tls = readTls(config)
    const seams = chooseSeams(given, tls)
    const endpoint = listenEndpoint(config, seams.isExposed)
    let fail: (error: Error) => void = () => {}
    const failed = new Promise<Error>((resolve) => {
      fail = resolve
    })
    const services = openHttpServices(config, seams)
    const resources = await seams.openResources(config.resources)
    const replica = await Replica.open({
      nodeId: config.node,
      clusterId: config.cluster,
      members: config.members.map(({ id, address }) => ({ nodeId: id, ...parseAddress(address) })),
      join: config.join,
      directory: config.data,
      disk: seams.disk,
      network: seams.network,
      tls,
      clock: seams.clock,
      seed: drawSeed(seams),
      randomFill: seams.randomFill,
      later: seams.later,
      options: { ...config.raft, ...snapshotTuning(config), ...seams.tuning },
      tap: seams.tap,
      protocolMinor: seams.protocolMinor,
      logger,
      onFatal: fail,
    })
    const server = new CoordinatorServer(config, logger, seams, replica, resources, services, failed)
    try {
      await server.#open(endpoint, tls)
      server.#checks.start()
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  /** The port it listens on. */
  get port(): number {
    return this.#listener?.port ?? 0
  }

  /** For checks in tests and in the simulator: the coordinator itself. */
  get coordinator(): Coordinator {
    return this.#coordinator
  }

  /** The same: this node's part of the replicated log. */
  get replica(): Replica {
    return this.#replica
  }

  /** This node's own view of itself and the fleet. */
  status(): ReturnType<typeof makeStatus> {
    return makeStatus({
      coordinator: this.#coordinator.status(),
      resolver: this.#resolver.status(),
      deadlocks: this.#deadlocks.status,
      fatalOf: (resource) => this.#checks.fatalOf(resource),
      config: this.#config,
      members: this.#replica.members(),
      participants: this.#participants.list(),
      uptimeMs: this.#seams.clock.monotonicMs() - this.#startedMs,
      residentBytes: this.#seams.residentBytes(),
      wallMs: this.#seams.clock.wallMs(),
    })
  }

  /**
   * Hands the leadership over, so that nobody waits for an election; takes no new transactions, waits for the decisions
   * that are under way (at most five seconds), and closes everything.
   */
  async stop(): Promise<void> {
    // First of all: what is under way goes on at the new leader, within a round trip. Draining could take seconds.
    await this.#replica.handOver(HAND_OVER_MS)
    await Promise.race([this.#coordinator.drain(), sleep(this.#seams.clock, DRAIN_MS), this.failed])
    this.#checks.close()
    this.#deadlocks.close()
    this.#backups.close()
    await this.#resolver.close()
    for (const session of this.#sessions) session.close('this coordinator is stopping')
    await this.#listener?.close()
    await this.#coordinator.close()
    this.#services.close()
    await Promise.allSettled(this.#resources.map((resource) => resource.inDoubt.close()))
  }

  async #open(endpoint: { readonly host: string; readonly port: number }, tls: TlsOptions | undefined): Promise<void> {
    this.#listener = await listen({
      network: this.#seams.network,
      ...endpoint,
      ...(tls === undefined ? {} : { tls }),
      clusterId: this.#config.cluster,
      accept: (hello) => this.#greet(hello),
      onConnection: (connection) => this.#take(connection),
      clock: this.#seams.clock,
      logger: this.#logger,
    })
    await this.#coordinator.start()
    this.#resolver.start()
    const { cluster, node, data } = this.#config
    const tlsNote =
      tls === undefined ? 'without TLS, so on loopback only' : tls.requestClientCertificate ? 'mutual TLS' : 'TLS'
    this.#logger.info(
      { ...endpoint, data },
      `coordinator ${node} of ${cluster} listens on ${endpoint.host}:${this.port} (${tlsNote})`,
    )
  }

  #greet(hello: Hello): Welcome | Rejected {
    if (hello.role === 'peer') {
      const objection = this.#replica.acceptPeer(hello)
      if (objection !== undefined) return objection
    }
    if (hello.role === 'kv') return noStore(hello.name)
    if (hello.role === 'participant' && !isParticipantName(hello.name)) return nameless(hello.name)
    return {
      kind: 'welcome',
      protocolMajor: PROTOCOL_MAJOR,
      protocolMinor: this.#replica.protocolMinor,
      clusterId: this.#config.cluster,
      node: this.#replica.identity(),
      leader: this.#hint(this.#coordinator.status().leader),
    }
  }

  #take(connection: Connection): void {
    const { role } = connection.remote as Hello
    if (role === 'peer') {
      this.#replica.addPeerConnection(connection)
      return
    }
    const session = role === 'participant' ? this.#takeParticipant(connection) : this.#takeClient(connection)
    this.#sessions.add(session)
  }

  #takeClient(connection: Connection): ClientSession {
    return new ClientSession(connection, {
      coordinator: this.#coordinator,
      desk: this.#desk,
      deadlocks: this.#deadlocks,
      limits: clientLimits(this.#config),
      hint: (leader) => this.#hint(leader),
      onEnd: (ended, reason) => {
        this.#sessions.delete(ended)
        this.#coordinator.clientGone()
        this.#sayWhy(connection, reason)
      },
    })
  }

  #takeParticipant(connection: Connection): ParticipantSession {
    const session = new ParticipantSession(connection, {
      coordinator: this.#coordinator,
      book: this.#participants,
      deadlocks: this.#deadlocks,
      hint: (leader) => this.#hint(leader),
      onEnd: (ended, reason) => {
        this.#sessions.delete(ended)
        this.#participants.leave(ended.name, ended)
        const isForGood = resourceOfJoined(ended.name) !== undefined && !this.#participants.knows(ended.name)
        if (isForGood) this.#coordinator.participantGone(ended.name)
        this.#sayWhy(connection, reason)
      },
    })
    this.#participants.enter(session.name, session)
    return session
  }

  /** Applications come and go; one that can't speak the protocol is somebody's mistake. */
  #sayWhy({ remote, remoteAddress }: Connection, reason: Error): void {
    const { name, role } = remote as Hello
    const level = reason instanceof ProtocolError ? 'warn' : 'debug'
    const { code } = reason as { readonly code?: string }
    this.#logger[level]({ remoteAddress, name, code }, `the connection of ${role} ${name} ended: ${reason.message}`)
  }

  /** What the other members can read. Asked over connections of their own: nothing of it is the replica's affair. */
  #releases(): ReturnType<typeof askReleases> {
    const { members } = this.#replica.members()
    const addresses = members.flatMap(({ nodeId, address }) =>
      nodeId === this.#config.node || address === undefined ? [] : [address],
    )
    const tls = readTls(this.#config)
    const options = { timeoutMs: RELEASE_MS, clock: this.#seams.clock }
    return askReleases(addresses, tls === undefined ? options : { ...options, tls })
  }

  #hint(leader: NodeId | undefined): LeaderHint | undefined {
    const address = leader === undefined ? undefined : this.#replica.addressOf(leader)
    return leader === undefined || address === undefined ? undefined : { nodeId: leader, address }
  }

  #announceLeader(leader: NodeId | undefined): void {
    const hint = this.#hint(leader)
    for (const session of this.#sessions) session.announce(hint)
  }
}

/** Where to listen. Without TLS only this machine may reach the port: whoever reaches it can decide transactions. */
function listenEndpoint(config: ServerConfig, isExposed: boolean): { readonly host: string; readonly port: number } {
  const own = config.members.find(({ id }) => id === config.node)
  const address = config.listen ?? own?.address ?? ''
  const endpoint = parseAddress(address)
  if (isExposed && config.tls === undefined && !isLoopback(endpoint.host)) {
    throw new ConfigError(
      `without TLS a coordinator listens on loopback only, and ${address} is not; set tls.key, tls.cert and tls.ca, or listen on 127.0.0.1`,
    )
  }
  return endpoint
}

function nameless(name: string): Rejected {
  const message = `${JSON.stringify(name.slice(0, 80))} is no name for a participant; use 1 to 64 characters of A-Z a-z 0-9 . _ -`
  return { kind: 'rejected', code: 'PARTICIPANT_NAME_INVALID', message }
}

function noStore(name: string): Rejected {
  const message = `this is a coordinator, and the hello looks for the key-value participant ${JSON.stringify(name.slice(0, 80))}; give that participant's own address`
  return { kind: 'rejected', code: RejectionCode.wrongService, message }
}

function clientLimits({ clients = {} }: ServerConfig): ClientLimits {
  const { openMax, branchesMax, bytesMax } = CLIENT_DEFAULTS
  return {
    openMax: clients.openMax ?? openMax,
    branchesMax: clients.branchesMax ?? branchesMax,
    bytesMax: clients.bytesMax ?? bytesMax,
  }
}

function snapshotTuning({ snapshots }: ServerConfig): Partial<ReplicaTuning> {
  const { bytes, entries, tailBytes, tailEntries } = snapshots
  return { snapshotBytes: bytes, snapshotEntries: entries, tailBytes, tailEntries }
}

function readTls({ tls }: ServerConfig): TlsOptions | undefined {
  if (tls === undefined) return undefined
  const read = (key: string, file: string): string => {
    try {
      return readFileSync(file, 'utf8')
    } catch (cause) {
      throw new ConfigError(`tls.${key}: ${file} can't be read (${toError(cause).message})`, { cause })
    }
  }
  return {
    key: read('key', tls.key),
    cert: read('cert', tls.cert),
    ...(tls.ca === undefined ? {} : { ca: read('ca', tls.ca), requestClientCertificate: true }),
  }
}
