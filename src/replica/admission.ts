import type { NodeId } from '../base/index.ts'
import type { Hello, NodeIdentity, Rejected } from '../transport/index.ts'
import { NodeNotMemberError, type NodeStoreChangedError } from './errors.ts'
import { NodeRemovedError, NodeRunsTwiceError } from './member-errors.ts'
import type { MemberList } from './member-list.ts'
import type { ReplicaOptions } from './options.ts'
import { type IdentityError, type PeerIdentities, storeChanged } from './peer-identities.ts'

/** What admission looks at. */
export interface AdmissionOptions {
  readonly replica: ReplicaOptions
  readonly identities: PeerIdentities
  readonly members: () => MemberList
  /** Who we are now. */
  readonly self: () => NodeIdentity
  /** Up to where the members are known here. */
  readonly appliedIndex: () => number
  readonly conflictWith: (node: NodeIdentity) => NodeRunsTwiceError | undefined
}

type Objection = NodeNotMemberError | NodeRemovedError | NodeRunsTwiceError | IdentityError

/**
 * Decides which peers may dial us.
 *
 * 1. Members may, with the directory that their id is bound to.
 * 2. Who was removed may not, and hears so, once that is confirmed.
 * 3. A stranger may if its log reaches further than what is applied here: members may have come that this node has not
 *    heard of yet, and one of them may be the only one that can tell it. (Thesis §4.1: servers take requests from
 *    servers that are not in their configuration.) Its id is bound to no directory by that.
 */
export class Admission {
  readonly #options: AdmissionOptions
  /** Why each node was refused last: who comes again every few seconds is no news. */
  readonly #refused = new Map<NodeId | undefined, string>()

  constructor(options: AdmissionOptions) {
    this.#options = options
  }

  /** Undefined: welcome it. */
  judge({ clusterId, node }: Hello): Rejected | undefined {
    const { replica } = this.#options
    if (clusterId !== replica.clusterId)
      return rejected('WRONG_CLUSTER', `this node belongs to cluster "${replica.clusterId}"`)
    const error =
      node === undefined ? new NodeNotMemberError('a peer must say which node it is') : this.#objectionTo(node)
    if (error === undefined) {
      this.#refused.delete(node?.nodeId)
      return undefined
    }
    if (this.#refused.get(node?.nodeId) !== error.code) {
      this.#refused.set(node?.nodeId, error.code)
      replica.logger.error({ peer: node?.nodeId, code: error.code }, `refused a peer: ${error.message}`)
    }
    return rejected(error.code, 'fact' in error ? error.fact : error.message)
  }

  #objectionTo(node: NodeIdentity): Objection | undefined {
    const { replica, identities, members, self, appliedIndex, conflictWith } = this.#options
    const { nodeId } = node
    if (nodeId === replica.nodeId) return objectionToOwnId(node, self())
    if (members().isDismissed(nodeId)) return new NodeRemovedError(nodeId)
    const isMember = members().isMember(nodeId) || members().isRetired(nodeId)
    if (!isMember && node.durableIndex <= appliedIndex()) return this.#stranger(nodeId)
    // In this order: whoever is refused must not be remembered as one that was found whole.
    return conflictWith(node) ?? identities.check(node, identities.floorOf(nodeId), isMember)
  }

  #stranger(nodeId: NodeId): NodeNotMemberError {
    return new NodeNotMemberError(
      `node ${nodeId} is no member of this group (${this.#options.members().nodeIds.join(', ') || 'nobody yet'}): ` +
        'add it, or correct its node id or the addresses that it dials',
    )
  }
}

/** Somebody comes under our own id: a second directory for it, a copy of ours, or this node itself by a wrong address. */
function objectionToOwnId(
  node: NodeIdentity,
  self: NodeIdentity,
): NodeNotMemberError | NodeRunsTwiceError | NodeStoreChangedError {
  if (node.storeId !== self.storeId) return storeChanged(node, self.storeId)
  if (node.run !== undefined && node.run.incarnation !== self.run?.incarnation)
    return new NodeRunsTwiceError(node.nodeId)
  return new NodeNotMemberError(`node ${node.nodeId} dialled itself: correct the members' addresses`)
}

function rejected(code: string, message: string): Rejected {
  return { kind: 'rejected', code, message }
}
