import { z } from 'zod'
import { ConcordatError } from '../base/index.ts'
import type { Coordinator } from '../coordinator/index.ts'
import { type DecisionLog, NotLeaderError } from '../replica/index.ts'
import type { Guard } from '../txn/index.ts'

const liftQuestion = z.strictObject({ reason: z.string().trim().min(1, 'say why').max(500) })

/** Which txids nobody decides about; null when there are none. */
export interface GuardAnswer {
  readonly guard: Guard | null
}

/** Nobody can say whether the guard is lifted. */
class GuardNotLiftedError extends ConcordatError {
  readonly code = 'GUARD_NOT_LIFTED'
  override readonly retryable = true
}

/** Operators' questions about what a lost part of the log left in doubt. */
export class GuardDesk {
  readonly #coordinator: Coordinator
  readonly #log: DecisionLog

  constructor(coordinator: Coordinator, log: DecisionLog) {
    this.#coordinator = coordinator
    this.#log = log
  }

  /** Undefined: the method is no such question. @throws z.ZodError for a question that can't be read */
  answer(method: string, question: unknown): Promise<GuardAnswer> | undefined {
    if (method === 'guard') return this.#show()
    return method === 'guard.lift' ? this.#lift(liftQuestion.parse(question).reason) : undefined
  }

  async #show(): Promise<GuardAnswer> {
    await this.#log.readBarrier()
    return { guard: this.#coordinator.guard ?? null }
  }

  async #lift(reason: string): Promise<GuardAnswer> {
    // A follower can't; it says who leads.
    const { leading, leader } = this.#coordinator.status()
    if (!leading) throw new NotLeaderError(leader)
    const lifted = await new Promise<boolean>((resolve) => this.#coordinator.liftGuard(reason, resolve))
    if (!lifted)
      throw new GuardNotLiftedError('the leadership was lost meanwhile; look whether the guard is still there')
    return await this.#show()
  }
}
