import type { NodeId } from '../base/index.ts'
import type { ReadId } from '../raft/index.ts'
import { NotLeaderError } from './errors.ts'

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Linearizable reads that wait. All that came in one turn share one ReadIndex. */
export class ReadBarriers {
  #arriving: Waiter[] = []
  readonly #asked = new Map<ReadId, readonly Waiter[]>()
  #lastReadId = 0

  /** Joins the next batch. */
  add(): Promise<void> {
    return new Promise((resolve, reject) => this.#arriving.push({ resolve, reject }))
  }

  /** Names the batch of what came since the last call; undefined when nothing did. */
  takeBatch(): ReadId | undefined {
    if (this.#arriving.length === 0) return undefined
    this.#lastReadId++
    const readId = this.#lastReadId as ReadId
    this.#asked.set(readId, this.#arriving)
    this.#arriving = []
    return readId
  }

  /** The index that Raft named is applied. */
  resolve(readId: ReadId): void {
    for (const waiter of this.#take(readId)) waiter.resolve()
  }

  refuse(readId: ReadId, leader: NodeId | undefined): void {
    for (const waiter of this.#take(readId)) waiter.reject(new NotLeaderError(leader))
  }

  /** Nothing more will be answered. */
  refuseAll(): void {
    this.takeBatch()
    for (const readId of [...this.#asked.keys()]) this.refuse(readId, undefined)
  }

  #take(readId: ReadId): readonly Waiter[] {
    const waiters = this.#asked.get(readId) ?? []
    this.#asked.delete(readId)
    return waiters
  }
}
