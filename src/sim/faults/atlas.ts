import type { NodeId } from '../../base/index.ts'
import type { Majorities } from '../checks/configurations.ts'
import type { SimNode } from '../fleet/node.ts'

/**
 * Keeps account of durable bytes that were harmed. The promises allow a minority of the voters to be damaged at a time, and a
 * node counts as damaged until it has read its whole disk again and is in no doubt; so every loss is a bug.
 */
export class FaultAtlas {
  readonly #nodes: () => readonly SimNode[]
  readonly #majorities: () => Majorities
  readonly #promised: (nodeId: NodeId) => number
  /** The run of each damaged node in which it happened. */
  readonly #damaged = new Map<NodeId, number>()
  /** Changes of the members that operators are trying: until they are done nobody knows who will count. */
  #changes = 0

  /**
   * @param majorities every set of voters that counts, or may count soon
   * @param promised up to which entry a node may have promised something in its earlier runs
   */
  constructor(nodes: () => readonly SimNode[], majorities: () => Majorities, promised: (nodeId: NodeId) => number) {
    this.#nodes = nodes
    this.#promised = promised
    this.#majorities = majorities
  }

  /** True while the node's copies may be less than it promised. */
  isDamaged(node: SimNode): boolean {
    this.#refresh()
    return this.#damaged.has(node.nodeId)
  }

  /** Whether all nodes hold what they promised: then members may be changed without losing count. */
  get isWhole(): boolean {
    this.#refresh()
    return this.#damaged.size === 0
  }

  /** Whether a disk may be harmed now. A node that is damaged already may not: nobody could tell when it is well again. */
  mayDamage(node: SimNode): boolean {
    this.#refresh()
    const { nodeId } = node
    // An old release neither knows doubt nor rebuilds: there damage waits for an operator.
    const hasOld = this.#nodes().some(({ isGone, protocolMinor }) => !isGone && protocolMinor === 0)
    if (hasOld || this.#changes > 0 || this.#damaged.has(nodeId)) return false
    return this.#majorities().every((voters) => {
      const harmed = voters.filter((voter) => voter === nodeId || this.#damaged.has(voter)).length
      return voters.includes(nodeId) && harmed <= Math.floor((voters.length - 1) / 2)
    })
  }

  /** Its durable bytes are about to be harmed. */
  noteDamage(node: SimNode): void {
    this.#damaged.set(node.nodeId, node.incarnation)
  }

  /** The machine is gone for good, with all that it held. It counts until it is no voter any more. */
  noteLoss(node: SimNode): void {
    this.#damaged.set(node.nodeId, Number.POSITIVE_INFINITY)
  }

  /** Somebody begins to change the members; call the result when it is over. */
  beginChange(): () => void {
    this.#changes++
    return () => {
      this.#changes--
    }
  }

  #refresh(): void {
    const voters = new Set(this.#majorities().flat())
    for (const node of this.#nodes()) {
      const since = this.#damaged.get(node.nodeId)
      if (since === undefined) continue
      const status = node.incarnation > since ? node.server?.replica.status().raft : undefined
      // What looked like a torn end was cut off without a word: only who has caught up again has all that it promised.
      const hasAll = status !== undefined && !status.doubtful && status.commitIndex >= this.#promised(node.nodeId)
      // A write that is to go astray goes at some time: the process that was meant need not be the one that writes it.
      const isWell = hasAll && node.disk.misdirectBy === undefined
      if (isWell || (since === Number.POSITIVE_INFINITY && !voters.has(node.nodeId))) this.#damaged.delete(node.nodeId)
    }
  }
}
