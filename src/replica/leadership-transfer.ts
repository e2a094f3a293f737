import type { Clock, NodeId, Timer } from '../base/index.ts'
import type { RaftEffect, RaftEvent, RaftStatus } from '../raft/index.ts'
import { NotLeaderError } from './errors.ts'
import { TransferFailedError } from './member-errors.ts'

/** What handing over needs. */
export interface LeadershipTransferOptions {
  readonly nodeId: NodeId
  readonly clock: Clock
  /** How long a node that was deposed waits for a word of the new leader. */
  readonly patienceMs: number
  readonly status: () => RaftStatus
  /** The minor version of the protocol that a node spoke last. */
  readonly minorOf: (nodeId: NodeId) => number | undefined
  readonly enqueue: (event: RaftEvent) => void
}

interface Waiter {
  readonly resolve: (leader: NodeId) => void
  readonly reject: (error: Error) => void
}

/** A transfer under way, and whoever waits for its end. */
interface Pending {
  /** Undefined: the voter that is furthest, as the core finds. */
  readonly target: NodeId | undefined
  readonly waiters: Waiter[]
  /** Runs from the moment when this node stopped leading until it hears who leads now. */
  patience?: Timer
}

/**
 * Hands the leadership over (thesis §3.10), and tells whoever asked for it how that went. There is one transfer at a time,
 * so what the core says of one is meant for all that wait.
 */
export class LeadershipTransfer {
  readonly #options: LeadershipTransferOptions
  #pending: Pending | undefined

  constructor(options: LeadershipTransferOptions) {
    this.#options = options
  }

  /**
   * Resolves with the new leader, once this node has heard of it. Who asks for the target of a transfer that is under way,
   * or for any, waits for that one.
   *
   * @param to undefined: the voter that is furthest
   * @throws NotLeaderError, TransferFailedError
   */
  async transfer(to?: NodeId): Promise<NodeId> {
    const { status, enqueue } = this.#options
    const { role, leader, transferTarget } = status()
    if (role !== 'leader') throw new NotLeaderError(leader)
    const target = this.#targetOf(to)
    const pending = this.#pending
    if (pending !== undefined) {
      const isSame = to === undefined || to === (pending.target ?? transferTarget)
      if (!isSame) throw new TransferFailedError('busy')
      return await joined(pending)
    }
    const begun: Pending = { target, waiters: [] }
    this.#pending = begun
    enqueue({ kind: 'transferLeadership', to: target })
    return await joined(begun)
  }

  /** Hands over to whoever can take it. @returns true when this node does not lead any longer, within `timeoutMs` */
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
    else this.#rejectAll(new TransferFailedError(reason, this.#pending?.target))
  }

  /** Role or known leader changed. */
  roleChanged({ role, leader }: Extract<RaftEffect, { kind: 'roleChanged' }>): void {
    const pending = this.#pending
    if (pending === undefined) return
    if (role === 'leader') this.#rejectAll(new TransferFailedError('timeout'))
    else if (leader !== undefined) for (const { resolve } of this.#take()) resolve(leader)
    else this.#expectLeader(pending)
  }

  /**
   * Deposed, and nobody leads yet: the next word comes with the new leader's first message. It may never come here: not to
   * a node that was cut off, nor to one that is no member any more.
   */
  #expectLeader(pending: Pending): void {
    const { clock, patienceMs } = this.#options
    pending.patience ??= clock.after(patienceMs, () => this.#rejectAll(new NotLeaderError(undefined)))
  }

  close(): void {
    this.#rejectAll(new NotLeaderError(undefined))
  }

  /** A release of 1.0 would take the request to campaign for damage; it is never sent there. */
  #targetOf(to: NodeId | undefined): NodeId | undefined {
    const { nodeId, status, minorOf } = this.#options
    const isOld = (node: NodeId) => minorOf(node) === 0
    if (isOld(nodeId) || (to !== undefined && isOld(to))) throw new TransferFailedError('noTarget', to)
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
    const pending = this.#pending
    this.#pending = undefined
    if (pending?.patience !== undefined) this.#options.clock.cancel(pending.patience)
    return pending?.waiters ?? []
  }
}

function joined({ waiters }: Pending): Promise<NodeId> {
  return new Promise((resolve, reject) => waiters.push({ resolve, reject }))
}
