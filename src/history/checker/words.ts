import type { Operation, Scalar } from '../events.ts'
import type { Transaction } from '../transactions.ts'

/** Longer lists are shown by their ends. */
const SHOWN_MAX = 12

/** A transaction's name in reports: T and the index of its invocation, by which it is found in the history. */
export function named(transaction: Transaction): string {
  return `T${transaction.invoked}`
}

/** A list as people read it. */
export function listed(list: readonly Scalar[]): string {
  if (list.length <= SHOWN_MAX) return `[${list.join(' ')}]`
  const [first, last] = [list.slice(0, 2), list.slice(-SHOWN_MAX + 4)]
  return `[${first.join(' ')} … ${last.join(' ')}] (${list.length} elements)`
}

/** What a transaction did, for example `append 2 to 7, read 9 [1 4]`. */
export function operationsText(operations: readonly Operation[]): string {
  return operations
    .map((operation) => {
      if (operation.kind === 'append') return `append ${operation.value} to ${operation.key}`
      return `read ${operation.key}${operation.list === undefined ? '' : ` ${listed(operation.list)}`}`
    })
    .join(', ')
}
