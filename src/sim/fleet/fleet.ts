import { type ClusterId, type NodeId, parseClusterId, parseNodeId, parseTxid } from '../../base/index.ts'
import type { CoordinatorOptions } from '../../coordinator/index.ts'
import type { ReplicaTuning } from '../../replica/index.ts'
import type { Resource } from '../../resources/index.ts'
import type { ServerConfig } from '../../server/index.ts'
import { codeOf, isDamageReport } from '../checks/fatal-errors.ts'
import { LedgerChecks } from '../checks/ledger-checks.ts'
import { RaftChecks } from '../checks/raft-checks.ts'
import type { CoordinatorView, FleetView, SimProcess } from '../kernel/types.ts'
import type { SimWorld } from '../kernel/world.ts'
import { SimNode } from './node.ts'

/** How a fleet is set up. */
export interface FleetOptions {
  readonly nodes: number
  readonly tuning: Partial<ReplicaTuning>
  readonly coordination: Partial<CoordinatorOptions>
  readonly resolver: ServerConfig['resolver']
}

const PORT = 7400

/** All coordinators: whole servers on machines of their own. */
export class SimFleet implements FleetView {
  readonly clusterId: ClusterId = parseClusterId('sim')
  readonly addresses: readonly string[]
  readonly nodes: readonly SimNode[]
  /** Errors with which coordinators ended by themselves. */
  readonly fatals: { readonly node: string; readonly code: string; readonly atMs: number }[] = []
  readonly raftChecks: RaftChecks
  /** Says whether a coordinator had to end: see fatal-errors.ts. */
  excuses: (node: SimNode, error: Error) => boolean = () => false
  readonly #world: SimWorld
  readonly #ledgerChecks: LedgerChecks
  #resources: (process: SimProcess) => readonly Resource<unknown>[] = () => []

  constructor(world: SimWorld, options: FleetOptions) {
    this.#world = world
    this.raftChecks = new RaftChecks(world)
    this.#ledgerChecks = new LedgerChecks(world)
    const members = Array.from({ length: options.nodes }, (_, i) => ({
      id: parseNodeId(i + 1),
      address: `127.0.1.${i + 1}:${PORT}`,
    }))
    this.addresses = members.map(({ address }) => address)
    const settings = {
      clusterId: this.clusterId,
      members,
      tuning: options.tuning,
      coordination: options.coordination,
      resolver: options.resolver,
      resources: (process: SimProcess) => this.#resources(process),
    }
    this.nodes = members.map(
      (member) => new SimNode(world, settings, this.raftChecks, member, (node, error) => this.#fatal(node, error)),
    )
  }

  /** @param resources what each coordinator's resolver looks after */
  start(resources: (process: SimProcess) => readonly Resource<unknown>[]): void {
    this.#resources = resources
    for (const node of this.nodes) node.start()
  }

  /** The node whose process this is. */
  nodeOf(process: SimProcess): SimNode | undefined {
    return this.nodes.find((node) => node.process === process)
  }

  coordinators = (): readonly CoordinatorView[] => {
    const views: CoordinatorView[] = []
    for (const { nodeId, server } of this.nodes) {
      if (server === undefined) continue
      const { coordinator } = server
      const { leading, undeliveredCount, openCount, heuristicCount } = coordinator.status()
      const knowledge = (txid: string) => coordinator.knowledge(parseTxid(txid))
      views.push({ nodeId, leading, knowledge, undeliveredCount, openCount, heuristicCount })
    }
    return views
  }

  /** Compares the ledgers of nodes that have applied the same. */
  checkStep(node: SimNode): void {
    const { server } = node
    if (server !== undefined) this.#ledgerChecks.look(node.nodeId, server)
  }

  /** What still keeps the fleet from rest: empty when one leads, all are equal, and nothing is open. */
  unsettled(): readonly string[] {
    const reasons: string[] = []
    const applied = new Map<NodeId, number>()
    let leaders = 0
    for (const node of this.nodes) {
      const { server, nodeId, name } = node
      if (server === undefined) {
        // The others have to do without it.
        if (isDamageReport(node.lastError)) continue
        reasons.push(`${name} is down${node.lastError === undefined ? '' : ` (${node.lastError.message})`}`)
        continue
      }
      const { leading, openCount, undeliveredCount, queuedCount, log } = server.coordinator.status()
      if (leading) leaders++
      if (openCount + undeliveredCount + queuedCount > 0) {
        reasons.push(`${name} has ${openCount} open, ${undeliveredCount} undelivered, ${queuedCount} queued`)
      }
      applied.set(nodeId, log.raft.lastApplied)
    }
    if (leaders !== 1) reasons.push(`${leaders} coordinators lead`)
    if (new Set(applied.values()).size > 1) {
      reasons.push(`applied indexes differ: ${[...applied].map(([id, index]) => `${id}: ${index}`).join(', ')}`)
    }
    return reasons
  }

  #fatal(node: SimNode, error: Error): void {
    const code = codeOf(error)
    this.fatals.push({ node: node.name, code, atMs: this.#world.nowMs })
    this.#world.mark(`fatal ${code}`)
    if (!this.excuses(node, error))
      this.#world.fail('fatal', `${node.name} ended by itself: ${error.stack ?? error.message}`)
  }
}
