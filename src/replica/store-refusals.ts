import type { NodeId } from '../base/index.ts'
import { type Configuration, votersOf } from '../raft/index.ts'
import type { HandshakeRejectedError } from '../transport/index.ts'
import { NodeStoreChangedError, NodeStoreOldError } from './errors.ts'
import type { IdentityError } from './peer-identities.ts'

/**
 * Who refuses us for what our data directory is, and when that is reason enough to stop.
 *
 * - NODE_STORE_OLD, from anybody: that peer knows our directory, and has our acknowledgement of an entry that is not in it.
 *   There is no innocent explanation, and one more vote of ours could lose a decision.
 * - NODE_STORE_CHANGED may be the peer's mistake: it met our id first when somebody had started it with a wrong directory.
 *   So one peer may keep us from itself, but not from the others. It takes so many voters that the rest is no quorum: by
 *   then we can't be of use to anyone, and most of the group says that we are not the node that it knows.
 */
export class StoreRefusals {
  readonly #by = new Set<NodeId>()

  /** The peer took us for who we are. */
  acceptedBy(peer: NodeId): void {
    this.#by.delete(peer)
  }

  /** @returns what to stop with, when this node must stop */
  refusedBy(
    peer: NodeId,
    error: HandshakeRejectedError,
    configuration: Configuration,
    contacts: readonly NodeId[],
  ): IdentityError | undefined {
    if (error.peerCode === 'NODE_STORE_OLD') return new NodeStoreOldError(error.message, { cause: error })
    if (error.peerCode !== 'NODE_STORE_CHANGED') return undefined
    this.#by.add(peer)
    if (this.#restIsQuorum(configuration, contacts)) return undefined
    return new NodeStoreChangedError(error.message, { cause: error })
  }

  #restIsQuorum({ voters, votersOutgoing, ...others }: Configuration, contacts: readonly NodeId[]): boolean {
    const isEmpty = votersOf({ voters, votersOutgoing, ...others }).length === 0
    // A node that waits to be added knows nobody but those in its configuration file.
    const halves = isEmpty ? [contacts] : [voters, votersOutgoing]
    return halves.every((half) => half.length === 0 || this.#accepting(half) * 2 > half.length)
  }

  #accepting(voters: readonly NodeId[]): number {
    return voters.filter((voter) => !this.#by.has(voter)).length
  }
}
