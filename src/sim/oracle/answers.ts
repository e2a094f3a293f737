import type { Checker } from './checker.ts'

/** What a client can hear about a transaction. */
export type Heard = 'committed' | 'aborted' | 'unknown' | 'preparing' | 'forgotten'

/** One answer that a client got. */
export interface GivenAnswer {
  /** Who heard it, for the story. */
  readonly by: string
  readonly heard: Heard
  /** When the question was asked. Only what was answered before that must be seen. */
  readonly askedMs: number
}

interface Told {
  readonly outcome: 'committed' | 'aborted'
  readonly by: string
  readonly atMs: number
}

/**
 * Every answer about every transaction, and whether they fit together:
 *
 * - P2, P8: nobody hears "committed" of a transaction of which somebody heard "aborted", in whatever order.
 * - P8: a question asked after a final answer was heard gets the same final answer: outcomes read linearizably. Only
 *   "forgotten" may follow, which is what is left of a very old one.
 * - P3: "committed" is heard only of what somebody wants to commit.
 */
export class Answers {
  readonly #checker: Checker
  readonly #told = new Map<string, Told>()
  readonly #asked = new Set<string>()

  constructor(checker: Checker) {
    this.#checker = checker
  }

  /** From now on somebody wants it committed. */
  wantsCommit(txid: string): void {
    this.#asked.add(txid)
  }

  /** The final answer that somebody heard, if anybody did. */
  finalOf(txid: string): 'committed' | 'aborted' | undefined {
    return this.#told.get(txid)?.outcome
  }

  heard(txid: string, { by, heard, askedMs }: GivenAnswer): void {
    const told = this.#told.get(txid)
    if (heard === 'committed' || heard === 'aborted') {
      if (heard === 'committed' && !this.#asked.has(txid)) {
        this.#checker.fail('P3', `${by} heard "committed" of ${txid}, and nobody wanted to commit it`)
      }
      if (told === undefined) this.#told.set(txid, { outcome: heard, by, atMs: this.#checker.nowMs })
      else if (told.outcome !== heard) {
        this.#checker.fail('P8', `${by} heard "${heard}" of ${txid}; ${told.by} had heard "${told.outcome}"`)
      }
      return
    }
    if (told !== undefined && heard !== 'forgotten' && askedMs > told.atMs) {
      this.#checker.fail(
        'linearizable',
        `${by} asked about ${txid} at ${askedMs} ms and heard "${heard}"; ${told.by} had heard "${told.outcome}" at ${told.atMs} ms`,
      )
    }
  }

  /** Every transaction with a final answer. */
  finals(): Iterable<readonly [txid: string, outcome: 'committed' | 'aborted']> {
    return [...this.#told].map(([txid, { outcome }]) => [txid, outcome] as const)
  }
}
