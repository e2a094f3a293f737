import type { History } from '../events.ts'
import { type Transaction, transactionsOf } from '../transactions.ts'
import { components } from './components.ts'
import { CycleSearch } from './cycles.ts'
import { dependencies } from './dependencies.ts'
import { explainCycle } from './explain.ts'
import { ALL_EDGES } from './graph.ts'
import { keyAnomalies } from './key-anomalies.ts'
import { type KeyTable, keyTable } from './key-table.ts'
import { type Anomaly, type AnomalyKind, EXPLAINED_MAX, type HistorySize, type Verdict } from './verdict.ts'

/** So many parts of the graph that hold cycles are looked into: more say nothing new. */
const PARTS_MAX = 50

/**
 * Whether a list-append history is strictly serializable: whether its transactions could have run one at a time, in an order
 * in which none comes before one that was over before it began, and have seen what they saw.
 *
 * After Elle (Kingsbury and Alvaro, VLDB 2020): lists only grow, so reads tell in which order appends happened; from this order
 * follows who comes before whom, and a cycle of that is an anomaly (Adya 1999). Time and memory are linear in the history's
 * size unless it has anomalies. Transactions that ended with `info` count when somebody saw what they appended.
 *
 * @throws MalformedHistoryError when it is no history
 * @example
 * const { valid, anomalies } = checkHistory(recorder.events)
 */
export function checkHistory(history: History): Verdict {
  const transactions = transactionsOf(history)
  const table = keyTable(transactions)
  const { anomalies: found, untrusted } = keyAnomalies(table)
  const all: readonly Anomaly[] = [...found, ...cycles(transactions, table, untrusted)]
  const counts: Partial<Record<AnomalyKind, number>> = {}
  const anomalies: Anomaly[] = []
  for (const anomaly of all) {
    const count = (counts[anomaly.kind] ?? 0) + 1
    counts[anomaly.kind] = count
    if (count <= EXPLAINED_MAX) anomalies.push(anomaly)
  }
  return { valid: all.length === 0, counts, anomalies, size: sizeOf(transactions, table) }
}

function* cycles(
  transactions: readonly Transaction[],
  table: KeyTable,
  untrusted: ReturnType<typeof keyAnomalies>['untrusted'],
): Generator<Anomaly> {
  const known = dependencies(transactions, table, untrusted)
  const search = new CycleSearch(known.graph)
  for (const part of components(known.graph, ALL_EDGES).slice(0, PARTS_MAX)) {
    yield explainCycle(transactions, known, search.worst(part))
  }
}

function sizeOf(transactions: readonly Transaction[], { keys, happened }: KeyTable): HistorySize {
  const of = (outcome: Transaction['outcome']): readonly Transaction[] =>
    transactions.filter((transaction) => transaction.outcome === outcome)
  const writes = keys.flatMap((key) =>
    [...key.writes.values()].filter(({ transaction }) => transaction.outcome === 'ok'),
  )
  const ok = of('ok')
  return {
    ok: ok.length,
    fail: of('fail').length,
    info: of('info').length,
    infoObserved: of('info').filter(({ id }) => happened[id]).length,
    keys: keys.length,
    appends: writes.length,
    appendsUnobserved: writes.filter(({ position }) => position === undefined).length,
    reads: ok.reduce((sum, { operations }) => sum + operations.filter(({ kind }) => kind === 'read').length, 0),
  }
}
