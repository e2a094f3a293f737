import { type ClusterId, type NodeId, parseClusterId, parseNodeId, parseTxid } from '../../base/index.ts'
import type { CoordinatorOptions } from '../../coordinator/index.ts'
import type { ReplicaTuning } from '../../replica/index.ts'
import type { CoordinatorServer, ServerConfig } from '../../server/index.ts'
import { codeOf, isRefusedForGood } from '../checks/fatal-errors.ts'
import { LedgerChecks } from '../checks/ledger-checks.ts'
import { RaftChecks } from '../checks/raft-checks.ts'
import type { Process } from '../kernel/process.ts'
import type { CoordinatorView, FleetView, SimProcess, Workload } from '../kernel/types.ts'
import type { SimWorld } from '../kernel/world.ts'
import { type FleetSettings, SimNode } from './node.ts'
import { ReadProbes } from './read-probes.ts'

/** How a fleet is set up. */
export interface FleetOptions {
  readonly nodes: number
  readonly tuning: Partial<ReplicaTuning>
  readonly coordination: Partial<CoordinatorOptions>
  readonly resolver: ServerConfig['resolver']
  /** The minor version of the protocol that all speak at first. */
  readonly protocolMinor: number
}

const PORT = 7400
/** So long without the leader, after all faults, no node is that is not refused. */
const SHUNNED_MS = 20_000

/** What coordinators need of a workload. */
type FleetWork = Pick<Workload, 'resources' | 'participantPort' | 'services' | 'httpExchange'>

/** All coordinators: whole servers on machines of their own. */
export class SimFleet implements FleetView {
  readonly clusterId: ClusterId = parseClusterId('sim')
  readonly nodes: SimNode[]
  /** Errors with which coordinators ended by themselves. */
  readonly fatals: { readonly node: string; readonly code: string; readonly atMs: number }[] = []
  readonly raftChecks: RaftChecks
  /** Says whether a coordinator had to end: see fatal-errors.ts. */
  excuses: (node: SimNode, error: Error) => boolean = () => false
  readonly #world: SimWorld
  readonly #ledgerChecks: LedgerChecks
  readonly #settings: FleetSettings
  readonly #shunnedSinceMs = new Map<SimNode, number>()
  readonly #nodeOf = new Map<string, SimNode>()
  #workload: FleetWork = { resources: () => [] }

  constructor(world: SimWorld, options: FleetOptions) {
    this.#world = world
    this.#ledgerChecks = new LedgerChecks(world)
    const members = Array.from({ length: options.nodes }, (_, i) => memberOf(i + 1))
    this.raftChecks = new RaftChecks(
      world,
      members.map(({ id }) => id),
    )
    this.#settings = {
      ...options,
      clusterId: this.clusterId,
      members,
      resources: (process: SimProcess) => this.#workload.resources(process),
      participants: (process: SimProcess) => this.#workload.participantPort?.(process),
      services: () => this.#workload.services ?? [],
      httpExchange: (process, place) => this.#workload.httpExchange?.(process, place),
    }
    this.nodes = members.map((member) => this.#make(member, false))
  }

  /** A new machine, which waits to be added. */
  addNode(): SimNode {
    const node = this.#make(memberOf(this.nodes.length + 1), true)
    // Nobody adds a machine with the old release.
    node.protocolMinor = 1
    this.nodes.push(node)
    node.start()
    return node
  }

  /** The coordinator that leads and says so, if there is one. */
  get leader(): SimNode | undefined {
    return this.nodes.find(({ server }) => server?.coordinator.isLeading === true)
  }

  /** What an operator writes into the configuration of an application that starts now: no coordinator that is gone for good. */
  get addresses(): readonly string[] {
    return this.nodes.filter(({ isGone }) => !isGone).map(({ address }) => address)
  }

  /** @param workload says what each coordinator's resolver looks after, and whom it asks for votes */
  start(workload: FleetWork): void {
    this.#workload = workload
    for (const node of this.nodes) node.start()
    new ReadProbes(this.#world, this).start()
  }

  /** Who takes part, by the leader's word; without a leader, everybody. */
  get members(): readonly NodeId[] {
    const configuration = this.leader?.server?.replica.status().raft.configuration
    if (configuration === undefined) return this.nodes.map(({ nodeId }) => nodeId)
    return [...configuration.voters, ...configuration.learners]
  }

  coordinators = (): readonly CoordinatorView[] => {
    const views: CoordinatorView[] = []
    const { members } = this
    for (const node of this.nodes) {
      const { nodeId, server } = node
      // One that waits to be added, or was removed, knows nothing, and nobody asks it.
      if (server === undefined || !members.includes(nodeId) || this.#isShunned(node)) continue
      const { coordinator } = server
      const { leading, undeliveredCount, openCount, heuristicCount } = coordinator.status()
      const knowledge = (txid: string) => coordinator.knowledge(parseTxid(txid))
      const transaction = (txid: string) => coordinator.transaction(parseTxid(txid))
      views.push({ nodeId, leading, knowledge, transaction, undeliveredCount, openCount, heuristicCount })
    }
    return views
  }

  /** This process has done something: compares the ledgers of nodes that have applied the same. */
  checkStep(process: Process): void {
    const node = this.#nodeOf.get(process.name)
    if (node?.server !== undefined) this.#ledgerChecks.look(node.nodeId, node.server)
  }

  /** What still keeps the fleet from rest: empty when one leads, all are equal, and nothing is open. */
  unsettled(): readonly string[] {
    const { leader } = this
    if (leader?.server === undefined) return ['no coordinator leads']
    const { configuration } = leader.server.replica.status().raft
    const reasons: string[] = []
    if (configuration.votersOutgoing.length > 0) reasons.push('the members are in the middle of a joint change')
    const applied = new Map<NodeId, number>()
    for (const member of this.members) {
      const node = this.nodes.find(({ nodeId }) => nodeId === member)!
      const { server } = node
      // The others have to do without one that is gone, or too damaged to be recognised.
      if (server === undefined && (node.isGone || isRefusedForGood(node.lastError))) continue
      if (server === undefined) reasons.push(`${node.name} is down${because(node)}`)
      else {
        this.#noteShunned(node, leader.server)
        if (!this.#isShunned(node)) applied.set(member, restOf(node.name, server, reasons))
      }
    }
    if (new Set(applied.values()).size > 1) {
      reasons.push(`applied indexes differ: ${[...applied].map(([id, index]) => `${id}: ${index}`).join(', ')}`)
    }
    return reasons
  }

  /** Whether nobody who could help this node talks to it, and has not for long. */
  #isShunned(node: SimNode): boolean {
    const sinceMs = this.#shunnedSinceMs.get(node)
    return sinceMs !== undefined && this.#world.nowMs - sinceMs >= SHUNNED_MS
  }

  /** A directory that lost its id to damage is refused by whoever knew it; those who did not may keep it waiting in doubt. */
  #noteShunned(node: SimNode, leader: CoordinatorServer): void {
    const { nodeId, server } = node
    const isDoubtful = server?.replica.status().raft.doubtful === true
    const isApart = leader.replica.status().peers.some((peer) => peer.nodeId === nodeId && !peer.connected)
    if (!isDoubtful || !isApart) this.#shunnedSinceMs.delete(node)
    else if (!this.#shunnedSinceMs.has(node)) this.#shunnedSinceMs.set(node, this.#world.nowMs)
  }

  #make(member: FleetSettings['members'][number], joins: boolean): SimNode {
    const onFatal = (node: SimNode, error: Error): void => this.#fatal(node, error)
    const made = new SimNode(this.#world, this.#settings, this.raftChecks, member, joins, onFatal)
    this.#nodeOf.set(made.name, made)
    return made
  }

  #fatal(node: SimNode, error: Error): void {
    const code = codeOf(error)
    this.fatals.push({ node: node.name, code, atMs: this.#world.nowMs })
    this.#world.mark(`fatal ${code}`)
    if (!this.excuses(node, error))
      this.#world.fail('fatal', `${node.name} ended by itself: ${error.stack ?? error.message}`)
  }
}

function memberOf(number: number): FleetSettings['members'][number] {
  return { id: parseNodeId(number), address: `127.0.1.${number}:${PORT}` }
}

function because({ lastError }: SimNode): string {
  return lastError === undefined ? '' : ` (${lastError.message})`
}

/** Adds why this coordinator is not at rest; the index that it has applied. */
function restOf(name: string, { coordinator }: CoordinatorServer, reasons: string[]): number {
  const { openCount, undeliveredCount, queuedCount, log } = coordinator.status()
  if (openCount + undeliveredCount + queuedCount > 0) {
    reasons.push(`${name} has ${openCount} open, ${undeliveredCount} undelivered, ${queuedCount} queued`)
  }
  const { doubtful, configuration, nodeId, lastApplied } = log.raft
  // A learner that nobody is rebuilding (an operator took its vote) stays in doubt until it is promoted: it promises nothing.
  if (doubtful && configuration.voters.includes(nodeId)) reasons.push(`${name} is in doubt`)
  if (configuration.rebuilding.includes(nodeId)) reasons.push(`${name} is being rebuilt`)
  return lastApplied
}
