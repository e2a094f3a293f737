import type { History, HistoryEvent, Operation, Scalar } from '../events.ts'

/**
 * A history as Jepsen writes it and Elle reads it: EDN, one map a line. Faults are the `:nemesis`'s, which checkers skip.
 *
 * `{:index 0, :time 123, :process 0, :type :invoke, :f :txn, :value [[:append 3 1] [:r 4 nil]]}`
 */
export function* ednLines(history: History): Generator<string> {
  for (const event of history) yield `${ednOf(event)}\n`
}

function ednOf(event: HistoryEvent): string {
  const place = `:index ${event.index}, :time ${event.timeNs}`
  if (event.kind === 'fault')
    return `{${place}, :process :nemesis, :type :info, :f :${event.f}, :value ${text(event.value)}}`
  const value = event.operations.map(operationOf).join(' ')
  const error = event.error === undefined ? '' : `, :error ${text(event.error)}`
  return `{${place}, :process ${event.process}, :type :${event.type}, :f :txn, :value [${value}]${error}}`
}

function operationOf(operation: Operation): string {
  if (operation.kind === 'append') return `[:append ${scalar(operation.key)} ${scalar(operation.value)}]`
  return `[:r ${scalar(operation.key)} ${operation.list === undefined ? 'nil' : `[${operation.list.map(scalar).join(' ')}]`}]`
}

function scalar(value: Scalar): string {
  return typeof value === 'number' ? String(value) : text(value)
}

/** EDN's strings know fewer escapes than JSON's, and take every other character as it is. */
function text(value: string): string {
  const escaped = value.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n').replace(/\r/g, '\\r').replace(/\t/g, '\\t')
  return `"${escaped}"`
}
