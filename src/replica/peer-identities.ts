import type { NodeId } from '../base/index.ts'
import type { NodeIdentity } from '../transport/index.ts'
import { NodeStoreChangedError, NodeStoreOldError } from './errors.ts'
import type { PeerRecord } from './records.ts'

/** A lower bound of what a peer acknowledged is written at most this often, and only along with other writes. */
const SAVE_EVERY_MS = 5000

/** Why a node's directory can't be the one that it is known by. */
export type IdentityError = NodeStoreChangedError | NodeStoreOldError

/**
 * What this node knows of the other nodes' data directories (DESIGN §6, §7).
 *
 * A node's votes and acknowledgements are promises, and its directory is where it remembers them. A node that comes
 * back with an empty, another or an older directory has forgotten some: with its vote, committed entries could be lost.
 *
 * 1. The directory of a node is bound at first contact, durably.
 * 2. `acknowledged` never exceeds what was both committed and acknowledged: an uncommitted tail may rightly be
 *    overwritten, and then a node has less than it once acknowledged.
 */
export class PeerIdentities {
  readonly #known = new Map<NodeId, PeerRecord>()
  /** The run of each node that was measured and found whole: a process that lives on forgets nothing. */
  readonly #admittedRuns = new Map<NodeId, number>()
  /** What the disk does not know yet. A first contact is urgent, a raised bound is not. */
  readonly #unsaved = new Set<NodeId>()
  #urgent = false
  #savedAtMs = Number.NEGATIVE_INFINITY

  constructor(known: ReadonlyMap<NodeId, PeerRecord>) {
    for (const [nodeId, record] of known) this.#known.set(nodeId, record)
  }

  /** Whether a first contact waits to be written. */
  get isUrgent(): boolean {
    return this.#urgent
  }

  /** The lowest index that the node must have. Take it BEFORE asking the node for its identity. */
  floorOf(nodeId: NodeId): number {
    return this.#known.get(nodeId)?.acknowledged ?? 0
  }

  /** The directory that a node's id is bound to, as far as this node knows. */
  storeIdOf(nodeId: NodeId): string | undefined {
    return this.#known.get(nodeId)?.storeId
  }

  /**
   * Judges an identity that a node stated after `floor` was taken; at first contact `binds` its id to its directory.
   * A node that knows of its own loss may have less than it acknowledged: it counts for nothing until it has it again.
   *
   * A run is measured once. Its later hellos may be older than they look: while one waited for its connection, the same
   * process may have acknowledged more over another.
   */
  check(node: NodeIdentity, floor: number, binds = true): IdentityError | undefined {
    const known = this.#known.get(node.nodeId)
    const run = node.run?.incarnation
    if (known === undefined) {
      if (!binds) return undefined
      this.bind(node.nodeId, node.storeId)
      if (run !== undefined) this.#admittedRuns.set(node.nodeId, run)
      return undefined
    }
    if (known.storeId !== node.storeId) return storeChanged(node, known.storeId)
    const isAdmitted = run !== undefined && this.#admittedRuns.get(node.nodeId) === run
    if (!isAdmitted && node.durableIndex < floor && node.run?.doubtful !== true) return storeOld(node, floor)
    if (run !== undefined) this.#admittedRuns.set(node.nodeId, run)
    return undefined
  }

  /**
   * The replicated log says which directory an id is bound to. That is the word of a majority, and it replaces what this
   * node saw itself: it may have met the id first when somebody had started it with a wrong directory.
   */
  bind(nodeId: NodeId, storeId: string): void {
    const known = this.#known.get(nodeId)
    if (known?.storeId === storeId) return
    this.#known.set(nodeId, { nodeId, storeId, acknowledged: 0 })
    this.#admittedRuns.delete(nodeId)
    this.#unsaved.add(nodeId)
    this.#urgent = true
  }

  /** The node acknowledged `index`, and it is committed. */
  raise(nodeId: NodeId, index: number): void {
    const known = this.#known.get(nodeId)
    if (known === undefined || index <= known.acknowledged) return
    this.#known.set(nodeId, { ...known, acknowledged: index })
    this.#unsaved.add(nodeId)
  }

  /** What to write now, given that something else is written or a first contact is urgent. */
  takeUnsaved(nowMs: number): readonly PeerRecord[] {
    if (this.#unsaved.size === 0) return []
    if (!this.#urgent && nowMs - this.#savedAtMs < SAVE_EVERY_MS) return []
    const records = [...this.#unsaved].map((nodeId) => this.#known.get(nodeId)!)
    this.#unsaved.clear()
    this.#urgent = false
    this.#savedAtMs = nowMs
    return records
  }
}

/** @param known the directory that the node's id is bound to */
export function storeChanged({ nodeId, storeId }: NodeIdentity, known: string): NodeStoreChangedError {
  return new NodeStoreChangedError(`node ${nodeId} is known with another data directory (${known}, now ${storeId})`)
}

function storeOld({ nodeId, durableIndex }: NodeIdentity, floor: number): NodeStoreOldError {
  return new NodeStoreOldError(
    `node ${nodeId} came with a log that ends at entry ${durableIndex}, but acknowledged entry ${floor} before`,
  )
}
