import { type ClusterId, type NodeId, type Prng, toError } from '../../base/index.ts'
import type { CoordinatorOptions, ParticipantPort } from '../../coordinator/index.ts'
import type { ReplicaTuning } from '../../replica/index.ts'
import type { Resource } from '../../resources/index.ts'
import { CoordinatorServer, type HttpExchange, type HttpPlace, type ServerConfig } from '../../server/index.ts'
import { isRefusedForGood } from '../checks/fatal-errors.ts'
import type { RaftChecks } from '../checks/raft-checks.ts'
import { SimDisk } from '../disk/sim-disk.ts'
import type { Process } from '../kernel/process.ts'
import type { Death, SimProcess } from '../kernel/types.ts'
import type { SimWorld } from '../kernel/world.ts'
import { nodeLogger } from './node-logger.ts'

/** What all coordinators of a fleet have in common. */
export interface FleetSettings {
  readonly clusterId: ClusterId
  readonly members: readonly { readonly id: NodeId; readonly address: string }[]
  readonly tuning: Partial<ReplicaTuning>
  readonly coordination: Partial<CoordinatorOptions>
  readonly resolver: ServerConfig['resolver']
  /** What all of them speak at first. */
  readonly protocolMinor: number
  readonly resources: (process: SimProcess) => readonly Resource<unknown>[]
  readonly participants: (process: SimProcess) => ParticipantPort | undefined
  /** Services that are called at URLs. */
  readonly services: () => ServerConfig['participants']
  /** How they are called; undefined where there are none. */
  readonly httpExchange: (process: SimProcess, place: HttpPlace) => HttpExchange | undefined
}

/** How long a supervisor waits before it starts a coordinator that ended by itself. */
const SUPERVISOR_MS = 300

/** One coordinator's machine: its disk, and the process on it, which comes and goes. */
export class SimNode {
  readonly nodeId: NodeId
  readonly name: string
  readonly host: string
  readonly address: string
  readonly disk: SimDisk
  /** A supervisor starts it again when it ended by itself. */
  supervised = true
  /** The minor version of the protocol that its next run speaks: 0 is the release before this one. */
  protocolMinor: number
  /** It never comes back: its machine is gone, or it was removed from the fleet. */
  isGone = false
  /** Why its last run ended by itself, or could not begin. */
  lastError: Error | undefined
  #process: Process | undefined
  #errorsBefore = 0
  #server: CoordinatorServer | undefined
  readonly #world: SimWorld
  readonly #settings: FleetSettings
  readonly #checks: RaftChecks
  readonly #prng: Prng
  /** It was not there when the fleet began. */
  readonly #joins: boolean
  readonly #onFatal: (node: SimNode, error: Error) => void

  constructor(
    world: SimWorld,
    settings: FleetSettings,
    checks: RaftChecks,
    member: { readonly id: NodeId; readonly address: string },
    joins: boolean,
    onFatal: (node: SimNode, error: Error) => void,
  ) {
    this.nodeId = member.id
    this.name = `node-${member.id}`
    this.address = member.address
    this.host = member.address.slice(0, member.address.lastIndexOf(':'))
    this.#world = world
    this.#settings = settings
    this.#checks = checks
    this.#prng = world.random(this.name)
    this.#joins = joins
    this.protocolMinor = settings.protocolMinor
    this.#onFatal = onFatal
    this.disk = new SimDisk(world, this.#prng)
    world.weather.fleetHosts.add(this.host)
  }

  /** Errors that the disk gave to the present or last run. */
  get errorsInRun(): number {
    return this.disk.errorsGiven - this.#errorsBefore
  }

  /** Counts its runs from 1. */
  get incarnation(): number {
    return this.#process?.incarnation ?? 0
  }

  /** The running process, if there is one. */
  get process(): Process | undefined {
    return this.#process?.alive === true ? this.#process : undefined
  }

  /** The server, once it has opened its log and as long as it lives. */
  get server(): CoordinatorServer | undefined {
    return this.process === undefined ? undefined : this.#server
  }

  /** Starts the coordinator. Nothing happens while it runs. */
  start(): void {
    if (this.process !== undefined || this.isGone) return
    this.#server = undefined
    this.lastError = undefined
    this.#errorsBefore = this.disk.errorsGiven
    this.#process = this.#world.spawn({
      name: this.name,
      host: this.host,
      main: (process) => this.#main(process as Process),
      onDeath: (death) => this.#died(death),
      clock: { rate: 1 + (this.#prng.below(2_001) - 1_000) / 10_000_000 },
    })
  }

  /** Ends the process from outside; it stays down until `start`. */
  crash(death: 'killed' | 'power'): void {
    this.process?.kill(death)
  }

  /** SIGTERM: hands over what it can and ends. Resolves when it has ended, in whatever way. */
  stop(): void {
    const { process, server } = this
    if (process === undefined) return
    if (server === undefined) {
      process.exit()
      return
    }
    this.#world.note(this.name, 'is asked to stop (SIGTERM)')
    this.#world.dispatch(process, () => {
      const exit = (): void => process.exit()
      server.stop().then(exit, exit)
    })
  }

  async #main(process: Process): Promise<void> {
    const { clusterId, members, tuning, coordination, resources, participants, httpExchange } = this.#settings
    const nodeChecks = this.#checks.tap(this.nodeId, () => process.alive)
    try {
      const server = await CoordinatorServer.start(this.#config(), nodeLogger(this.#world, process), {
        clock: process.clock,
        disk: this.disk.attach(process),
        network: process.network,
        randomFill: process.randomFill,
        later: process.later,
        resources: resources(process),
        participants: participants(process),
        httpExchange: (place) => httpExchange(process, place) ?? nowhere(place),
        residentBytes: () => 0,
        tuning,
        coordination,
        tap: nodeChecks,
        protocolMinor: this.protocolMinor,
      })
      this.#server = server
      this.#world.note(this.name, `serves ${clusterId} with ${members.length} members`)
      this.#fatal(process, await server.failed)
    } catch (thrown) {
      this.#fatal(process, toError(thrown))
    }
  }

  /** As `concordat serve` does: it says why, and ends. */
  #fatal(process: Process, error: Error): void {
    if (!process.alive) return
    this.lastError = error
    this.#world.note(this.name, () => `can not go on: ${error.message}`)
    this.#onFatal(this, error)
    process.exit()
  }

  #died(death: Death): void {
    this.disk.processDied(death)
    // A directory that the others refuse needs an operator.
    if (death !== 'exit' || isRefusedForGood(this.lastError)) return
    this.#world.after(SUPERVISOR_MS, () => this.supervised && this.start())
  }

  #config(): ServerConfig {
    const { clusterId, members, resolver, services } = this.#settings
    return {
      cluster: clusterId,
      node: this.nodeId,
      data: '/data',
      listen: this.address,
      members: [...members],
      join: this.#joins,
      resources: [],
      participants: services(),
      raft: { heartbeatMs: 50, electionTimeoutMs: 300 },
      // The tuning of a run replaces these.
      snapshots: { bytes: 67_108_864, entries: 250_000, tailBytes: 16_777_216, tailEntries: 50_000 },
      transactions: { openMax: 10_000, keepMs: 3_600_000, keepCount: 100_000 },
      resolver,
      log: { level: 'silent' },
    }
  }
}

function nowhere({ url }: HttpPlace): never {
  throw new Error(`nobody in this run is called at ${url}`)
}
