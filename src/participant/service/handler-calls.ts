import { type Clock, hit, Prng, sleep, toError } from '../../base/index.ts'
import type { Logger } from '../../client/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import type { BranchEnd } from './branch-table.ts'
import type { ServiceHandlers } from './handlers.ts'
import { type Journal, JournalOverError, type Verdict } from './journal.ts'
import type { BranchKey } from './keys.ts'
import type { KeeperOptions } from './options.ts'
import { Turns } from './turns.ts'

/** What the calls need. */
export interface HandlerCallsParts {
  readonly handlers: ServiceHandlers<unknown>
  readonly journal: Journal<unknown>
  readonly clock: Clock
  readonly seed: number
  readonly logger: Logger
  readonly options: KeeperOptions
}

/** Calls the service's handlers, a bounded number at a time: those of PREPARE do not wait for those of decisions. */
export class HandlerCalls {
  readonly #parts: HandlerCallsParts
  readonly #prng: Prng
  readonly #voting: Places
  readonly #ending: Places
  #isStopped = false

  constructor(parts: HandlerCallsParts) {
    this.#parts = parts
    this.#prng = new Prng(parts.seed)
    this.#voting = new Places(parts)
    this.#ending = new Places(parts)
  }

  /** What fails from now on is not tried again. */
  stop(): void {
    this.#isStopped = true
  }

  /**
   * The service's vote, as the journal has it. Asks again while the journal can't tell, for `limitMs` at most.
   *
   * @param isSpoilt its work failed: it votes abort
   * @param isWanted whether a vote still counts
   * @returns undefined when there is none
   * @throws JournalOverError
   */
  async vote(
    key: BranchKey,
    limitMs: number,
    isSpoilt: boolean,
    isWanted: () => boolean,
  ): Promise<Verdict | undefined> {
    const { clock, journal, logger } = this.#parts
    const endMs = clock.monotonicMs() + limitMs
    const ask = async (sql: unknown): Promise<Vote> => {
      const vote = isSpoilt ? 'abort' : await this.#voting.inside(() => this.#askVote(key, sql))
      hit('service.prepare.called', key.txid)
      return vote
    }
    for (let attempt = 0; ; attempt++) {
      const leftMs = endMs - clock.monotonicMs()
      if (leftMs <= 0 || this.#isStopped || !isWanted()) return undefined
      try {
        return await this.#voting.around(() => journal.vote(key, leftMs, ask, isWanted))
      } catch (thrown) {
        if (thrown instanceof JournalOverError) throw thrown
        logger.warn({ gid: key.gid, err: toError(thrown) }, 'a vote could not be written down yet')
      }
      await sleep(clock, this.#retryMs(attempt))
    }
  }

  /** Carries a decision out, however often it takes. Undefined when it was stopped before. @throws JournalOverError */
  async outcome(key: BranchKey, decision: Decision): Promise<BranchEnd | 'lost' | undefined> {
    for (let attempt = 0; ; attempt++) {
      const end = await this.#ending.around(() => this.#try(key, decision))
      if (end !== undefined) return end
      await sleep(this.#parts.clock, this.#retryMs(attempt))
      if (this.#isStopped) return undefined
    }
  }

  async #askVote(key: BranchKey, sql: unknown): Promise<Vote> {
    const { handlers, logger } = this.#parts
    try {
      const answer: unknown = await handlers.prepare(key, sql)
      if (answer === undefined) return 'commit'
      if (answer === 'readOnly') return 'readOnly'
      // A promise must not be made by mistake: `return false` is no vote to commit.
      logger.error({ gid: key.gid, answer }, 'prepare may return nothing or "readOnly"; the branch votes abort')
    } catch (thrown) {
      logger.info({ gid: key.gid, err: toError(thrown) }, 'prepare failed; the branch votes abort')
    }
    return 'abort'
  }

  async #try(key: BranchKey, decision: Decision): Promise<BranchEnd | 'lost' | undefined> {
    const { handlers, journal, logger } = this.#parts
    try {
      return await journal.end(key, decision, async (sql) => {
        await this.#ending.inside(async () => handlers[decision](key, sql))
        hit('service.outcome.called', key.txid)
      })
    } catch (thrown) {
      if (thrown instanceof JournalOverError) throw thrown
      logger.warn({ gid: key.gid, decision, err: toError(thrown) }, 'a decision could not be carried out yet')
      return undefined
    }
  }

  /** Doubles from the shortest to the longest wait; half of it is jitter. */
  #retryMs(attempt: number): number {
    const { retryMinMs, retryMaxMs } = this.#parts.options
    const fullMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(attempt, 16))
    return fullMs / 2 + this.#prng.below(Math.ceil(fullMs / 2) + 1)
  }
}

/**
 * Who is bounded: a handler alone, so that many entries share one write of the log; or, where both are one local transaction,
 * the whole of it, for it holds a session of the pool.
 */
class Places {
  readonly #turns: Turns
  readonly #isShared: boolean

  constructor({ journal, options }: HandlerCallsParts) {
    this.#turns = new Turns(options.concurrency)
    this.#isShared = journal.isShared
  }

  around<T>(work: () => Promise<T>): Promise<T> {
    return this.#isShared ? this.#turns.run(work) : work()
  }

  inside<T>(work: () => Promise<T>): Promise<T> {
    return this.#isShared ? work() : this.#turns.run(work)
  }
}
