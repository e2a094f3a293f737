import type { History, Scalar } from '../events.ts'
import { type Transaction, transactionsOf } from '../transactions.ts'

/**
 * The definition itself, tried out: whether the transactions of a small history can run one at a time, in an order in which
 * none comes before one that was over before it began, each seeing what it saw. One that ended with `info` may be left out.
 */
export function isStrictlySerializable(history: History): boolean {
  const transactions = transactionsOf(history).filter(({ outcome }) => outcome !== 'fail')
  return canGoOn(transactions, new Map())
}

type Lists = ReadonlyMap<Scalar, readonly Scalar[]>

function canGoOn(left: readonly Transaction[], lists: Lists): boolean {
  if (left.every(({ outcome }) => outcome === 'info')) return true
  return left.some((next) => {
    const comesTooEarly = left.some(({ completed }) => completed !== undefined && completed < next.invoked)
    if (comesTooEarly) return false
    const after = run(next, lists)
    return (
      after !== undefined &&
      canGoOn(
        left.filter((other) => other !== next),
        after,
      )
    )
  })
}

/** What the lists are afterwards; undefined when the transaction would have seen something else. */
function run({ operations, outcome }: Transaction, lists: Lists): Lists | undefined {
  const after = new Map(lists)
  for (const operation of operations) {
    const list = after.get(operation.key) ?? []
    if (operation.kind === 'append') after.set(operation.key, [...list, operation.value])
    else if (outcome === 'ok' && JSON.stringify(operation.list) !== JSON.stringify(list)) return undefined
  }
  return after
}
