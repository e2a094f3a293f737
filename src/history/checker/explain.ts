import { assert } from '../../base/index.ts'
import type { Scalar } from '../events.ts'
import type { Transaction } from '../transactions.ts'
import type { Dependencies } from './dependencies.ts'
import { Edge } from './graph.ts'
import type { KeyHistory } from './key-table.ts'
import type { Anomaly, CycleKind, DependencyKind, Step } from './verdict.ts'
import { listed, named } from './words.ts'

const WHAT: Readonly<Record<CycleKind, string>> = {
  G0: 'these transactions wrote in a circle: each appended after another of them',
  G1c: 'these transactions depend on each other in a circle, through what they appended and read',
  'G-single': 'a transaction missed an append of one that it comes after all the same',
  'G2-item': 'these transactions each missed an append of the next, in a circle',
}

/** A cycle as people read it. @param cycle the graph's edges in their order, helpers included */
export function explainCycle(
  transactions: readonly Transaction[],
  dependencies: Dependencies,
  cycle: readonly number[],
): Anomaly {
  const steps = stepsOf(transactions, dependencies, cycle)
  const plain = kindOf(steps)
  const inTime = steps.some(({ kind }) => kind === 'realtime')
  const kind = inTime ? (`${plain}-realtime` as const) : plain
  const what = inTime ? `${WHAT[plain]}; and one of them was over before another began` : WHAT[plain]
  return { kind, what, transactions: steps.map(({ from }) => from), steps, key: undefined }
}

/** Goes along the cycle from transaction to transaction: helper nodes between them are left out. */
function stepsOf(
  transactions: readonly Transaction[],
  { graph, keys }: Dependencies,
  cycle: readonly number[],
): readonly Step[] {
  const start = cycle.findIndex((edge) => graph.from[edge]! < transactions.length)
  assert(start >= 0, 'a cycle goes through a transaction: helpers alone have none')
  const turned = [...cycle.slice(start), ...cycle.slice(0, start)]
  const steps: Step[] = []
  for (let at = 0; at < turned.length; ) {
    const edge = turned[at]!
    let last = edge
    for (at++; at < turned.length && graph.from[turned[at]!]! >= transactions.length; at++) last = turned[at]!
    const [from, to] = [transactions[graph.from[edge]!]!, transactions[graph.to[last]!]!]
    const key = keys[graph.key[edge]!]
    steps.push(stepOf(from, to, graph.kind[edge]!, key, graph.position[edge]!))
  }
  return steps
}

function stepOf(from: Transaction, to: Transaction, bit: number, key: KeyHistory | undefined, position: number): Step {
  if (key === undefined) {
    const because = `${named(from)} was over at index ${from.completed}, before ${named(to)} began`
    return { from, to, kind: 'realtime', because }
  }
  const kind = bit === Edge.ww ? 'ww' : bit === Edge.wr ? 'wr' : 'rw'
  return { from, to, kind, because: SENTENCES[kind](from, to, key, position) }
}

type Sentence = (from: Transaction, to: Transaction, key: KeyHistory, position: number) => string

const SENTENCES: Readonly<Record<Exclude<DependencyKind, 'realtime'>, Sentence>> = {
  ww: (from, to, key, position) => {
    const element = key.order[position]!
    return `${named(to)} appended ${element} to key ${key.key} after ${previousOf(from, key, position)}, which ${named(from)} had appended`
  },
  wr: (from, to, key, position) => {
    const read = key.reads.find(({ transaction }) => transaction === to)
    return `${named(to)} read key ${key.key} as ${listed(read?.list ?? [])}, with ${key.order[position]} that ${named(from)} had appended`
  },
  rw: (from, to, key, position) => {
    const read = key.reads.find(({ transaction }) => transaction === from)
    const element = position < key.order.length ? key.order[position] : unseenOf(to, key)
    const when = position < key.order.length ? 'appended after that' : 'appended, as no read shows'
    return `${named(from)} read key ${key.key} as ${listed(read?.list ?? [])}, without ${element} that ${named(to)} ${when}`
  },
}

function previousOf(writer: Transaction, key: KeyHistory, position: number): Scalar | undefined {
  for (let at = position - 1; at >= 0; at--) {
    const element = key.order[at]!
    if (key.writes.get(element)?.transaction === writer) return element
  }
  return undefined
}

function unseenOf(writer: Transaction, key: KeyHistory): Scalar | undefined {
  for (const { transaction, value, position } of key.writes.values())
    if (transaction === writer && position === undefined) return value
  return undefined
}

/** A cycle's name, by its edges. */
function kindOf(steps: readonly Step[]): CycleKind {
  const reads = steps.filter(({ kind }) => kind === 'rw').length
  if (reads > 0) return reads > 1 ? 'G2-item' : 'G-single'
  return steps.some(({ kind }) => kind === 'wr') ? 'G1c' : 'G0'
}
