import { type ClientEvent, type History, MalformedHistoryError, type Operation } from './events.ts'

/** An invocation and what became of it. */
export interface Transaction {
  /** Counts from 0 in the order of invocations. */
  readonly id: number
  readonly process: number
  /** `info` also when the history ends before it. */
  readonly outcome: 'ok' | 'fail' | 'info'
  /** With what was read, when it is `ok`. */
  readonly operations: readonly Operation[]
  /** `index` of the invocation. */
  readonly invoked: number
  /** `index` of the event by which it was over; undefined for `info`, which may happen at any later time. */
  readonly completed: number | undefined
}

/**
 * Puts invocations and their ends together.
 *
 * @throws MalformedHistoryError when events are out of order, an end has no invocation, a process begins a second transaction
 *   while one is under way or after an `info`, or an end is not that of the transaction which was invoked
 */
export function transactionsOf(history: History): readonly Transaction[] {
  const transactions: Transaction[] = []
  const open = new Map<number, { readonly id: number; readonly event: ClientEvent }>()
  const retired = new Set<number>()
  let last = -1
  for (const event of history) {
    if (event.index <= last) throw wrong(event.index, `it comes after the event with index ${last}`)
    last = event.index
    if (event.kind === 'fault') continue
    const under = open.get(event.process)
    if (event.type === 'invoke') {
      if (under !== undefined)
        throw wrong(event.index, `process ${event.process} still has the transaction of index ${under.event.index}`)
      if (retired.has(event.process))
        throw wrong(event.index, `process ${event.process} ended with an info and must not go on`)
      const id = transactions.length
      open.set(event.process, { id, event })
      transactions.push(transactionOf(id, event, undefined))
      continue
    }
    if (under === undefined) throw wrong(event.index, `process ${event.process} has nothing under way that could end`)
    if (!isSame(under.event.operations, event.operations, event.type))
      throw wrong(event.index, `its operations are not those of its invocation at index ${under.event.index}`)
    open.delete(event.process)
    if (event.type === 'info') retired.add(event.process)
    transactions[under.id] = transactionOf(under.id, under.event, event)
  }
  return transactions
}

function transactionOf(id: number, invocation: ClientEvent, end: ClientEvent | undefined): Transaction {
  const { process, index: invoked, operations } = invocation
  if (end === undefined || end.type === 'info')
    return { id, process, outcome: 'info', operations, invoked, completed: undefined }
  const outcome = end.type === 'ok' ? 'ok' : 'fail'
  return {
    id,
    process,
    outcome,
    operations: outcome === 'ok' ? end.operations : operations,
    invoked,
    completed: end.index,
  }
}

/** An end that is not `ok` may leave the operations out. */
function isSame(asked: readonly Operation[], ended: readonly Operation[], type: ClientEvent['type']): boolean {
  if (type !== 'ok' && ended.length === 0) return true
  if (asked.length !== ended.length) return false
  return asked.every((operation, at) => {
    const other = ended[at]!
    if (operation.kind !== other.kind || operation.key !== other.key) return false
    if (operation.kind === 'append') return other.kind === 'append' && operation.value === other.value
    return type !== 'ok' || (other.kind === 'read' && other.list !== undefined)
  })
}

function wrong(index: number, what: string): MalformedHistoryError {
  return new MalformedHistoryError(`the event with index ${index} makes no history: ${what}`)
}
