import { toError } from '../../base/index.ts'
import {
  type BranchIdentity,
  type Evidence,
  type InDoubtPort,
  type PreparedBranch,
  ResourceUnavailableError,
  type SettleResult,
} from '../../resources/index.ts'
import type { Decision } from '../../txn/index.ts'
import type { HttpService } from './http-service.ts'

/**
 * How the resolver finds and settles what is left behind in a service: branches of dead applications, which no commit
 * request ever named. Those whose transaction may still live are not listed.
 */
export class HttpInDoubt implements InDoubtPort {
  readonly #service: HttpService

  /** @param service belongs to the caller */
  constructor(service: HttpService) {
    this.#service = service
  }

  list(): Promise<readonly PreparedBranch[]> {
    return this.#ask(() => this.#service.inDoubt())
  }

  commit(identity: BranchIdentity): Promise<SettleResult> {
    return this.#settle(identity, 'commit')
  }

  abort(identity: BranchIdentity): Promise<SettleResult> {
    return this.#settle(identity, 'abort')
  }

  /** The resolver asks for evidence of local branches only; a service acknowledges by itself. */
  async evidence(): Promise<Evidence> {
    return 'none'
  }

  async forgetEvidence(): Promise<void> {}

  async close(): Promise<void> {}

  async #settle({ txid, branch }: BranchIdentity, decision: Decision): Promise<SettleResult> {
    const { kind } = await this.#ask(() => this.#service.decide(txid, branch, decision))
    // Whoever delivers the decision hears of the contradiction too, and records it.
    return kind === 'done' ? { kind } : { kind: 'unknownGid' }
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      return await question()
    } catch (thrown) {
      const { message } = toError(thrown)
      throw new ResourceUnavailableError(this.#service.name, message, { cause: thrown, kind: 'service' })
    }
  }
}
