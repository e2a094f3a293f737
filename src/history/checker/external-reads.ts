import type { Scalar } from '../events.ts'
import type { Transaction } from '../transactions.ts'
import { listed } from './words.ts'

/** What a transaction saw of a key as others had left it: its first `length` elements are those of `list`. */
export interface ExternalRead {
  readonly key: Scalar
  /** As it was read. What follows `length` are the transaction's own appends. */
  readonly list: readonly Scalar[]
  readonly length: number
}

/** How a transaction contradicts itself. */
export interface Contradiction {
  readonly key: Scalar
  readonly list: readonly Scalar[]
  readonly expected: string
}

interface View {
  /** What others had left, once a read has shown it. */
  base: { readonly list: readonly Scalar[]; readonly length: number } | undefined
  readonly own: Scalar[]
}

/** Takes a transaction's own appends off what it read, and holds its reads of a key against each other. */
export function externalReads(transaction: Transaction): {
  readonly reads: readonly ExternalRead[]
  readonly contradictions: readonly Contradiction[]
} {
  const views = new Map<Scalar, View>()
  const reads: ExternalRead[] = []
  const contradictions: Contradiction[] = []
  for (const operation of transaction.operations) {
    let view = views.get(operation.key)
    if (view === undefined) {
      view = { base: undefined, own: [] }
      views.set(operation.key, view)
    }
    if (operation.kind === 'append') {
      view.own.push(operation.value)
      continue
    }
    const { key, list } = operation
    if (list === undefined) continue
    const length = list.length - view.own.length
    const { base } = view
    if (!endsWith(list, view.own))
      contradictions.push({ key, list, expected: `it should end with ${view.own.join(' ')}, which it appended itself` })
    else if (base === undefined) {
      view.base = { list, length }
      reads.push({ key, list, length })
    } else if (length !== base.length || !isPrefix(base.list, base.length, list))
      contradictions.push({
        key,
        list,
        expected: `it had found ${listed(base.list.slice(0, base.length))} of others there before`,
      })
    // The longer reading tells the order of its own appends, too.
    else if (list.length > base.list.length) reads.push({ key, list, length })
  }
  return { reads, contradictions }
}

function endsWith(list: readonly Scalar[], end: readonly Scalar[]): boolean {
  const from = list.length - end.length
  return from >= 0 && end.every((item, at) => list[from + at] === item)
}

/** Whether the first `length` elements are the same. */
export function isPrefix(one: readonly Scalar[], length: number, other: readonly Scalar[]): boolean {
  if (length > one.length || length > other.length) return false
  for (let at = 0; at < length; at++) if (one[at] !== other[at]) return false
  return true
}
