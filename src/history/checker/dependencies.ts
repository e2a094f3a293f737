import type { Transaction } from '../transactions.ts'
import { Edge, EdgeList, Graph, NO_KEY } from './graph.ts'
import { lostWrites } from './key-anomalies.ts'
import type { KeyHistory, KeyTable } from './key-table.ts'

/** What comes before what. The first nodes are the transactions, by their ids; the others are helpers. */
export interface Dependencies {
  readonly graph: Graph
  /** By the key number of an edge. */
  readonly keys: readonly KeyHistory[]
}

/**
 * Every order of the transactions that explains what they saw goes along these edges, and where they have no cycle, each order
 * along them explains it: so the history is strictly serializable exactly if there is none. (Given that no key is untrusted.)
 *
 * Failed transactions have no edges, and neither have `info` ones that nobody saw: such a one may never have happened.
 */
export function dependencies(
  transactions: readonly Transaction[],
  table: KeyTable,
  untrusted: ReadonlySet<KeyHistory>,
): Dependencies {
  const { happened, keys } = table
  const edges = new EdgeList()
  let helpers = addRealtime(transactions, happened, edges)
  keys.forEach((key, number) => {
    if (untrusted.has(key)) return
    const readers = addOrder(key, number, happened, edges)
    if (addUnobserved(key, number, happened, readers, helpers, edges)) helpers++
  })
  return { graph: new Graph(helpers, edges), keys }
}

/**
 * Who was over before another began comes before it. One helper node for each end, chained in the order of time, keeps this
 * linear: an end leads into its node, and the last node before a beginning leads to it.
 *
 * @returns the number of nodes so far
 */
function addRealtime(transactions: readonly Transaction[], happened: readonly boolean[], edges: EdgeList): number {
  const ends = transactions
    .filter(({ id, completed }) => happened[id] && completed !== undefined)
    .sort((a, b) => a.completed! - b.completed!)
  const node = transactions.length
  ends.forEach(({ id }, at) => {
    edges.add(id, node + at, Edge.realtime, NO_KEY, 0)
    if (at > 0) edges.add(node + at - 1, node + at, Edge.link)
  })
  let over = 0
  for (const { id, invoked } of transactions) {
    while (over < ends.length && ends[over]!.completed! < invoked) over++
    if (over > 0 && happened[id]) edges.add(node + over - 1, id, Edge.link)
  }
  return node + ends.length
}

/**
 * The edges of the version order.
 *
 * @returns the transactions that read all of it
 */
function addOrder(
  key: KeyHistory,
  number: number,
  happened: readonly boolean[],
  edges: EdgeList,
): ReadonlySet<Transaction> {
  // A failed writer is an anomaly already (G1a); the others' order holds all the same.
  const writers = key.order.map((value) => {
    const writer = key.writes.get(value)?.transaction
    return writer !== undefined && happened[writer.id] ? writer : undefined
  })
  let last: Transaction | undefined
  writers.forEach((writer, position) => {
    if (writer === undefined) return
    if (last !== undefined && last !== writer) edges.add(last.id, writer.id, Edge.ww, number, position)
    last = writer
  })
  const readers = new Set<Transaction>()
  for (const { transaction, length } of key.reads) {
    const before = lastWriter(writers, length)
    if (before !== undefined && before.writer !== transaction)
      edges.add(before.writer.id, transaction.id, Edge.wr, number, before.position)
    let position = length
    while (position < writers.length && (writers[position] === undefined || writers[position] === transaction))
      position++
    const after = writers[position]
    if (after === undefined) readers.add(transaction)
    else edges.add(transaction.id, after.id, Edge.rw, number, position)
  }
  return readers
}

function lastWriter(writers: readonly (Transaction | undefined)[], length: number) {
  for (let position = length - 1; position >= 0; position--) {
    const writer = writers[position]
    if (writer !== undefined) return { writer, position }
  }
  return undefined
}

/**
 * Appends that happened and that no read shows come after everybody who read the whole order: lists only grow. A helper node
 * between the two sets keeps this linear. Who is in both sets must not come after itself, so it has edges of its own.
 *
 * @returns whether it made the helper node
 */
function addUnobserved(
  key: KeyHistory,
  number: number,
  happened: readonly boolean[],
  readers: ReadonlySet<Transaction>,
  helper: number,
  edges: EdgeList,
): boolean {
  const lost = new Set(lostWrites(key))
  const unseen = new Set<Transaction>()
  const { length } = key.order
  for (const write of key.writes.values()) {
    if (write.position === undefined && happened[write.transaction.id] && !lost.has(write))
      unseen.add(write.transaction)
  }
  if (unseen.size === 0 || readers.size === 0) return false
  const both = [...readers].filter((reader) => unseen.has(reader))
  // Any two that read the same and appended without seeing each other's are a cycle: all pairs of them would show no more.
  both.forEach((reader, at) => {
    for (const other of at < 2 ? unseen : both.slice(0, 1))
      if (other !== reader) edges.add(reader.id, other.id, Edge.rw, number, length)
  })
  for (const reader of readers) if (!unseen.has(reader)) edges.add(reader.id, helper, Edge.rw, number, length)
  for (const transaction of unseen) edges.add(helper, transaction.id, Edge.link, number, length)
  return true
}
