import { type Clock, Prng, sleep, toError } from '../../base/index.ts'
import type { Logger } from '../../client/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import type { ServiceHandlers } from './handlers.ts'
import type { BranchKey } from './keys.ts'
import type { KeeperOptions } from './options.ts'
import { Turns } from './turns.ts'

/** What the calls need. */
export interface HandlerCallsParts {
  readonly handlers: ServiceHandlers
  readonly clock: Clock
  readonly seed: number
  readonly logger: Logger
  readonly options: KeeperOptions
}

/** Calls the service's handlers, a bounded number at a time: those of PREPARE do not wait for those of decisions. */
export class HandlerCalls {
  readonly #parts: HandlerCallsParts
  readonly #prng: Prng
  readonly #voting: Turns
  readonly #ending: Turns
  #isStopped = false

  constructor(parts: HandlerCallsParts) {
    this.#parts = parts
    this.#prng = new Prng(parts.seed)
    this.#voting = new Turns(parts.options.concurrency)
    this.#ending = new Turns(parts.options.concurrency)
  }

  /** What fails from now on is not tried again. */
  stop(): void {
    this.#isStopped = true
  }

  /** The service's vote. Never throws. */
  prepare(key: BranchKey): Promise<Vote> {
    return this.#voting.run(() => this.#askVote(key))
  }

  /** Calls `commit` or `abort` until it succeeds: true. False when it was stopped before. */
  async outcome(key: BranchKey, decision: Decision): Promise<boolean> {
    for (let attempt = 0; !(await this.#ending.run(() => this.#try(key, decision))); attempt++) {
      await sleep(this.#parts.clock, this.#retryMs(attempt))
      if (this.#isStopped) return false
    }
    return true
  }

  async #askVote(key: BranchKey): Promise<Vote> {
    const { handlers, logger } = this.#parts
    try {
      const answer: unknown = await handlers.prepare(key)
      if (answer === undefined) return 'commit'
      if (answer === 'readOnly') return 'readOnly'
      // A promise must not be made by mistake: `return false` is no vote to commit.
      logger.error({ gid: key.gid, answer }, 'prepare may return nothing or "readOnly"; the branch votes abort')
    } catch (thrown) {
      logger.info({ gid: key.gid, err: toError(thrown) }, 'prepare failed; the branch votes abort')
    }
    return 'abort'
  }

  async #try(key: BranchKey, decision: Decision): Promise<boolean> {
    const { handlers, logger } = this.#parts
    try {
      await handlers[decision](key)
      return true
    } catch (thrown) {
      logger.warn({ gid: key.gid, decision, err: toError(thrown) }, 'a decision could not be carried out yet')
      return false
    }
  }

  /** Doubles from the shortest to the longest wait; half of it is jitter. */
  #retryMs(attempt: number): number {
    const { retryMinMs, retryMaxMs } = this.#parts.options
    const fullMs = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(attempt, 16))
    return fullMs / 2 + this.#prng.below(Math.ceil(fullMs / 2) + 1)
  }
}
