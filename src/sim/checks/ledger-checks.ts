import type { NodeId } from '../../base/index.ts'
import type { CoordinatorServer } from '../../server/index.ts'
import type { CheckWorld } from './raft-checks.ts'

/** Digests of this many indexes are remembered, at most: nodes that lag further are compared when they have caught up. */
const REMEMBERED_MAX = 20_000

/** Equal ledgers at equal applied index: two replicas that differ once never agree again. */
export class LedgerChecks {
  readonly #world: CheckWorld
  readonly #digests = new Map<number, { readonly digest: string; readonly by: NodeId }>()
  readonly #seen = new Map<CoordinatorServer, number>()

  constructor(world: CheckWorld) {
    this.#world = world
  }

  /** Call when a node has done something, between two of its macrotasks. */
  look(nodeId: NodeId, server: CoordinatorServer): void {
    // Not the core's lastApplied: a node that stops, or is removed, drops what it was handed over.
    const index = server.replica.appliedIndex
    if (this.#seen.get(server) === index) return
    this.#seen.set(server, index)
    const digest = server.coordinator.digest()
    const known = this.#digests.get(index)
    if (known === undefined) {
      this.#digests.set(index, { digest, by: nodeId })
      if (this.#digests.size > REMEMBERED_MAX) this.#digests.delete(this.#digests.keys().next().value!)
    } else if (known.digest !== digest) {
      this.#world.fail('equalLedgers', `nodes ${known.by} and ${nodeId} differ after index ${index}`)
    }
  }
}
