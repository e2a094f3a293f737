import type { Txid } from '../base/index.ts'
import { type AmbientTransaction, ambientTransaction, type Resource } from '../resources/index.ts'
import { notAwaited } from './committer.ts'
import { NestedTransactionError, TransactionEndedError } from './errors.ts'
import type { Transaction } from './transaction.ts'

/**
 * A running transaction as plain calls within its callback see it. What was started in the callback and outlives it (a timer,
 * a promise that nobody awaits) keeps this for ever, and is refused: it must neither run by itself nor in another transaction.
 * So after the end nothing but the id is kept.
 */
export class Ambient implements AmbientTransaction {
  readonly txid: Txid
  #transaction: Transaction | undefined
  /** By the resource's name: how much work is under way. */
  readonly #underWay = new Map<string, number>()

  constructor(transaction: Transaction) {
    this.txid = transaction.txid
    this.#transaction = transaction
  }

  /** The transaction, while it runs. */
  get transaction(): Transaction | undefined {
    return this.#transaction
  }

  async enlist<Session>(resource: Resource<Session>): Promise<Session> {
    return this.#running().enlist(resource)
  }

  started(resource: string): () => void {
    this.#running()
    this.#underWay.set(resource, (this.#underWay.get(resource) ?? 0) + 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const left = this.#underWay.get(resource)! - 1
      if (left > 0) this.#underWay.set(resource, left)
      else this.#underWay.delete(resource)
    }
  }

  /** The callback has returned. @throws TransactionAbortedError when work was not awaited: only a part of it may be done */
  end(): void {
    this.close()
    const resource = this.unawaited
    if (resource !== undefined) throw notAwaited(this.txid, resource)
  }

  /** A resource in which work is under way. */
  get unawaited(): string | undefined {
    const [resource] = this.#underWay.keys()
    return resource
  }

  /** Takes no more work. */
  close(): void {
    this.#transaction = undefined
  }

  #running(): Transaction {
    if (this.#transaction === undefined) throw new TransactionEndedError(this.txid)
    return this.#transaction
  }
}

/**
 * The transaction whose callback this code is called from, or undefined outside of any, in `outside()`, and in what outlives
 * its callback.
 *
 * @example
 * // In the transaction that runs, or else in one of its own:
 * const tx = currentTransaction()
 * await (tx ? work(tx) : concordat.transaction(work))
 */
export function currentTransaction(): Transaction | undefined {
  return ambientTransaction()?.transaction as Transaction | undefined
}

/** @throws NestedTransactionError within the callback of a transaction that runs */
export function refuseNested(): void {
  const found = currentTransaction()
  if (found !== undefined) throw new NestedTransactionError(found.txid)
}
