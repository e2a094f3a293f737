import type { Transaction } from '../../client/index.ts'

/** Which transaction a request is part of. Frameworks wrap Node's request, so both lead to it. */
export class TransactionsOfCalls {
  readonly #transactions = new WeakMap<object, Transaction>()

  set(request: object, transaction: Transaction): void {
    this.#transactions.set(request, transaction)
  }

  get(request: object): Transaction | undefined {
    const known = this.#transactions.get(request)
    if (known !== undefined) return known
    const { raw } = request as { raw?: unknown }
    return typeof raw === 'object' && raw !== null ? this.#transactions.get(raw) : undefined
  }
}
