import { assert } from '../../base/index.ts'
import type { History, HistoryEvent, Operation } from '../events.ts'

/**
 * A history by hand. A line is a transaction: when it began and ended, how, and what it did, for example
 * `1..4 ok append x 1, read y [1 2]`. Each is a process of its own.
 */
export function planted(lines: readonly string[]): History {
  const events = lines.flatMap((line, process) => {
    const match = /^(\d+)\.\.(\d+) (ok|fail|info) (.+)$/.exec(line)
    assert(match !== null, `not a transaction: ${line}`)
    const [, from, to, type = '', text = ''] = match
    const operations = text.split(', ').map(operationOf)
    const asked = operations.map((one): Operation => (one.kind === 'read' ? { ...one, list: undefined } : one))
    return [
      { kind: 'client', index: Number(from), timeNs: Number(from), process, type: 'invoke', operations: asked },
      { kind: 'client', index: Number(to), timeNs: Number(to), process, type, operations },
    ] as HistoryEvent[]
  })
  return events.sort((a, b) => a.index - b.index)
}

function operationOf(text: string): Operation {
  const append = /^append (\w+) (\d+)$/.exec(text)
  if (append !== null) return { kind: 'append', key: append[1]!, value: Number(append[2]) }
  const read = /^read (\w+) \[([\d ]*)\]$/.exec(text)
  assert(read !== null, `not an operation: ${text}`)
  const list = read[2] === '' ? [] : read[2]!.split(' ').map(Number)
  return { kind: 'read', key: read[1]!, list }
}
