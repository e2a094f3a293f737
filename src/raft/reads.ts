import type { NodeId } from '../base/index.ts'
import { assert } from '../base/index.ts'
import { type LogIndex, NO_INDEX, type ReadId, type ReadKey } from './types.ts'

/** A read of this node, or one that another node forwarded. */
export type WaitingRead =
  | { readonly kind: 'own'; readonly readId: ReadId }
  | { readonly kind: 'forwarded'; readonly from: NodeId; readonly readKey: ReadKey }

/**
 * The linearizable reads that wait for a leader to be confirmed (ReadIndex, thesis §6.4), in batches.
 *
 * A round asks all followers "am I still your leader?" by a number in AppendEntries; a majority that echoes the number
 * proves that no later leader existed when the round began. A read counts only on a round that began AFTER the read
 * arrived. So reads that come during a round wait for the next one, and however many come, one round serves them all.
 *
 * Rounds are numbered within one leadership: a node leads a term once at most, and answers of other terms never count,
 * so a number is never used twice.
 */
export class Reads {
  #round = 0
  /** Reads that the round under way will answer; undefined when none is. */
  #asked: WaitingRead[] | undefined
  #askedIndex: LogIndex = NO_INDEX
  /** Reads that came since. */
  #waiting: WaitingRead[] = []

  /** The newest round; each AppendEntries carries it. */
  get round(): number {
    return this.#round
  }

  /** True while a round waits for echoes. */
  get isRoundUnderWay(): boolean {
    return this.#asked !== undefined
  }

  /** True when a read waits for a round to begin. */
  get isAnyWaiting(): boolean {
    return this.#waiting.length > 0
  }

  add(read: WaitingRead): void {
    this.#waiting.push(read)
  }

  /** Begins a round for everything that waits. `commitIndex` is where these reads will be served. */
  begin(commitIndex: LogIndex): void {
    assert(this.#asked === undefined, 'one round is under way at most')
    this.#round++
    this.#asked = this.#waiting
    this.#askedIndex = commitIndex
    this.#waiting = []
  }

  /** A majority echoed the round: its reads may be served at `index`. */
  finish(): { readonly reads: readonly WaitingRead[]; readonly index: LogIndex } {
    assert(this.#asked !== undefined, 'only a round under way can finish')
    const reads = this.#asked
    this.#asked = undefined
    return { reads, index: this.#askedIndex }
  }

  /** All reads that have no answer yet: the leadership is lost. */
  takeAll(): readonly WaitingRead[] {
    const all = [...(this.#asked ?? []), ...this.#waiting]
    this.#asked = undefined
    this.#waiting = []
    return all
  }
}
