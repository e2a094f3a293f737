import type { Clock, NodeId } from '../base/index.ts'
import type { RaftEffect, RaftEvent, RaftStatus } from '../raft/index.ts'
import { NotLeaderError } from './errors.ts'
import { TransferFailedError } from './member-errors.ts'

/** What handing over needs. */
export interface LeadershipTransferOptions {
  readonly nodeId: NodeId
  readonly clock: Clock
  readonly status: () => RaftStatus
  /** The minor version of the protocol that a node spoke last. */
  readonly minorOf: (nodeId: NodeId) => number | undefined
  readonly enqueue: (event: RaftEvent) => void
}

interface Waiter {
  readonly resolve: (leader: NodeId) => void
  readonly reject: (error: Error) => void
}

/** Hands the leadership over (thesis §3.10), and tells whoever asked for it how that went. */
export class LeadershipTransfer {
  readonly #options: LeadershipTransferOptions
  #waiters: Waiter[] = []

  constructor(options: LeadershipTransferOptions) {
    this.#options = options
  }

  /**
   * Resolves with the new leader, once this node has heard of it.
   *
   * @param to undefined: the voter that is furthest
   * @throws NotLeaderError, TransferFailedError
   */
  async transfer(to?: NodeId): Promise<NodeId> {
    const { role, leader } = this.#options.status()
    if (role !== 'leader') throw new NotLeaderError(leader)
    const target = this.#targetOf(to)
    return await new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
      this.#options.enqueue({ kind: 'transferLeadership', to: target })
    })
  }

  /** Hands over to whoever can take it. @returns true when another node leads within `timeoutMs` */
  async handOver(timeoutMs: number): Promise<boolean> {
    const { clock } = this.#options
    return await new Promise((resolve) => {
      const timer = clock.after(timeoutMs, () => resolve(false))
      const end = (handedOver: boolean) => {
        clock.cancel(timer)
        resolve(handedOver)
      }
      this.transfer().then(
        () => end(true),
        (error: unknown) => end(error instanceof NotLeaderError),
      )
    })
  }

  failed({ reason }: Extract<RaftEffect, { kind: 'transferFailed' }>): void {
    if (reason === 'notLeader') this.#rejectAll(new NotLeaderError(this.#options.status().leader))
    else this.#rejectAll(new TransferFailedError(reason))
  }

  /** Role or known leader changed. */
  roleChanged({ role, leader }: Extract<RaftEffect, { kind: 'roleChanged' }>): void {
    if (this.#waiters.length === 0) return
    // Deposed, and nobody leads yet: the next word comes with the new leader's first message.
    if (role === 'leader') this.#rejectAll(new TransferFailedError('timeout'))
    else if (leader !== undefined) for (const { resolve } of this.#take()) resolve(leader)
  }

  close(): void {
    this.#rejectAll(new NotLeaderError(undefined))
  }

  /** A release of 1.0 would take the request to campaign for damage; it is never sent there. */
  #targetOf(to: NodeId | undefined): NodeId | undefined {
    const { nodeId, status, minorOf } = this.#options
    const isOld = (node: NodeId) => minorOf(node) === 0
    if (isOld(nodeId) || (to !== undefined && isOld(to))) throw new TransferFailedError('noTarget')
    const { configuration, followers } = status()
    if (to !== undefined || !configuration.voters.some(isOld)) return to
    const heirs = followers.filter(
      (each) => configuration.voters.includes(each.nodeId) && !isOld(each.nodeId) && each.recentlyActive,
    )
    const [best] = heirs.sort((a, b) => b.matchIndex - a.matchIndex)
    if (best === undefined) throw new TransferFailedError('noTarget')
    return best.nodeId
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#take()) reject(error)
  }

  #take(): readonly Waiter[] {
    const waiters = this.#waiters
    this.#waiters = []
    return waiters
  }
}
