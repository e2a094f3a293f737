import type { NodeId } from '../../base/index.ts'
import type { SimNode } from '../fleet/node.ts'

/**
 * Keeps account of durable bytes that were harmed. The promises allow a minority of the voters to be damaged at a time, and a
 * node counts as damaged until it has read its whole disk again and is in no doubt; so every loss is a bug.
 */
export class FaultAtlas {
  readonly #nodes: () => readonly SimNode[]
  /** The run of each damaged node in which it happened. */
  readonly #damaged = new Map<NodeId, number>()

  constructor(nodes: () => readonly SimNode[]) {
    this.#nodes = nodes
  }

  /** True while the node's copies may be less than it promised. */
  isDamaged(node: SimNode): boolean {
    this.#refresh()
    return this.#damaged.has(node.nodeId)
  }

  /** Whether a disk may be harmed now. A node that is damaged already may not: nobody could tell when it is well again. */
  mayDamage(node: SimNode): boolean {
    this.#refresh()
    const voters = this.#voters()
    if (!voters.includes(node.nodeId) || this.#damaged.has(node.nodeId)) return false
    // An old release neither knows doubt nor rebuilds: there damage waits for an operator.
    if (this.#nodes().some(({ isGone, protocolMinor }) => !isGone && protocolMinor === 0)) return false
    const harmed = voters.filter((voter) => this.#damaged.has(voter)).length
    return harmed + 1 <= Math.floor((voters.length - 1) / 2)
  }

  /** Its durable bytes are about to be harmed. */
  noteDamage(node: SimNode): void {
    this.#damaged.set(node.nodeId, node.incarnation)
  }

  /** The machine is gone for good, with all that it held. */
  noteLoss(node: SimNode): void {
    this.#damaged.set(node.nodeId, Number.POSITIVE_INFINITY)
  }

  #refresh(): void {
    for (const node of this.#nodes()) {
      const since = this.#damaged.get(node.nodeId)
      if (since === undefined || node.incarnation <= since) continue
      const status = node.server?.replica.status().raft
      if (status !== undefined && !status.doubtful) this.#damaged.delete(node.nodeId)
    }
  }

  /** The smallest set of voters that any node that runs goes by: of two configurations the stricter counts. */
  #voters(): readonly NodeId[] {
    let voters: readonly NodeId[] = this.#nodes().map(({ nodeId }) => nodeId)
    for (const { server } of this.#nodes()) {
      const configured = server?.replica.status().raft.configuration.voters
      if (configured !== undefined && configured.length > 0 && configured.length < voters.length) voters = configured
    }
    return voters
  }
}
