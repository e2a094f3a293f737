import { setTimeout as pause } from 'node:timers/promises'
import {
  AdminRefusedError,
  type AskOptions,
  askLeader,
  CoordinatorUnreachableError,
  type LeaderQuestions,
  type Method,
} from '../server/asking/index.ts'

const PAUSE_MS = 250

/** How long to go on. */
export interface Patience {
  /** While coordinators do not answer, or no leader is known. */
  readonly unreachableMs: number
  /** While the leader says that it will take it later. */
  readonly refusedMs: number
  /** Called after each refusal that passes by itself. */
  readonly onRefused?: (refusal: AdminRefusedError) => void | Promise<void>
}

/**
 * Asks the leader until it says yes or no. In the midst of an election, or while a learner catches up, "not now" is no
 * answer that helps an operator. All questions that come here may be asked twice: the second time nothing changes.
 *
 * @throws CoordinatorUnreachableError, AdminRefusedError
 */
export async function insist<M extends Method>(
  addresses: readonly string[],
  question: LeaderQuestions[M]['question'] & { readonly method: M },
  options: AskOptions,
  { unreachableMs, refusedMs, onRefused }: Patience,
): Promise<LeaderQuestions[M]['answer']> {
  const begin = performance.now()
  for (;;) {
    try {
      return await askLeader<M>(addresses, question, options)
    } catch (error) {
      const passed = performance.now() - begin
      if (error instanceof CoordinatorUnreachableError && passed < unreachableMs) {
        await pause(PAUSE_MS)
      } else if (error instanceof AdminRefusedError && error.retryable && passed < refusedMs) {
        await onRefused?.(error)
        await pause(PAUSE_MS)
      } else {
        throw error
      }
    }
  }
}
