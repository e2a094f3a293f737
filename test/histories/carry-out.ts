import type { Concordat, Transaction } from '../../src/client/index.ts'
import type { EventType, Operation, Scalar } from '../../src/history/index.ts'
import type { KeyValueStore } from '../../src/kv/index.ts'
import { nameOf, type Plan, prefixOf, storeOf } from './plan.ts'

/** With its default of 30 s, a transaction that meets a dead participant would see little of a short run. */
const TIMEOUT_MS = 2_500

/** What a transaction came to, as a history has it. */
export interface End {
  readonly type: Exclude<EventType, 'invoke'>
  /** When it is `ok`. */
  readonly operations?: readonly Operation[]
  readonly error?: string
}

/** The applications' side of list-append: a list is a text of its elements, and an append reads it and puts it back. */
export class ListAppender {
  readonly #concordat: Concordat
  readonly #stores: readonly KeyValueStore[]

  constructor(concordat: Concordat, stores: readonly KeyValueStore[]) {
    this.#concordat = concordat
    this.#stores = stores
  }

  /** Never throws: whatever goes wrong is an end, too. */
  async carryOut(plan: Plan): Promise<End> {
    try {
      if (plan.kind === 'alone') return await this.#alone(plan.operations[0]!)
      const operations = await this.#concordat.transaction({ timeoutMs: TIMEOUT_MS }, (tx) =>
        plan.kind === 'scan' ? this.#scan(tx, plan) : this.#oneByOne(tx, plan.operations),
      )
      return { type: 'ok', operations }
    } catch (error) {
      return endOf(error)
    }
  }

  async #oneByOne(tx: Transaction, operations: readonly Operation[]): Promise<readonly Operation[]> {
    const done: Operation[] = []
    for (const operation of operations) {
      const branch = await tx.enlist(this.#storeOf(operation.key))
      const list = parse(await branch.get(nameOf(operation.key)))
      if (operation.kind === 'append') await branch.put(nameOf(operation.key), format([...list, operation.value]))
      done.push(operation.kind === 'append' ? operation : { ...operation, list })
    }
    return done
  }

  async #scan(tx: Transaction, { operations, generation }: Plan): Promise<readonly Operation[]> {
    const found = new Map<string, unknown>()
    for (const store of this.#stores) {
      const branch = await tx.enlist(store)
      const { entries } = await branch.scan({ prefix: prefixOf(generation) })
      for (const { key, value } of entries) found.set(key, value)
    }
    return operations.map((operation) => {
      return operation.kind === 'read' ? { ...operation, list: parse(found.get(nameOf(operation.key))) } : operation
    })
  }

  async #alone(operation: Operation): Promise<End> {
    const store = this.#storeOf(operation.key)
    const name = nameOf(operation.key)
    const text = await store.get(name)
    if (operation.kind === 'read') return { type: 'ok', operations: [{ ...operation, list: parse(text) }] }
    const isDone = await store.compareAndSet(name, text, format([...parse(text), operation.value]))
    return isDone ? { type: 'ok', operations: [operation] } : { type: 'fail', error: 'the list had changed' }
  }

  #storeOf(key: Scalar): KeyValueStore {
    return this.#stores[storeOf(key, this.#stores.length)]!
  }
}

/** What an error says of the outcome. Unknown is what says so, and whatever is none of our errors: nothing follows from it. */
function endOf(thrown: unknown): End {
  const { code, reason, cause } = thrown as Partial<Record<'code' | 'reason' | 'cause', unknown>>
  if (typeof code !== 'string' || !/^(TXN|KV|COORDINATOR|REQUEST)_/.test(code))
    return { type: 'info', error: `unexpected: ${String(thrown)}` }
  const causeCode = (cause as { readonly code?: unknown } | undefined)?.code
  const error = [code, reason, causeCode].filter((word) => typeof word === 'string').join(' ')
  return { type: code.endsWith('_OUTCOME_UNKNOWN') ? 'info' : 'fail', error }
}

function parse(text: unknown): readonly number[] {
  return typeof text === 'string' ? text.split(' ').map(Number) : []
}

function format(list: readonly Scalar[]): string {
  return list.join(' ')
}
