import type { Scalar } from '../events.ts'
import type { Transaction } from '../transactions.ts'
import { agrees, type KeyHistory, type KeyTable, type Read, type Write } from './key-table.ts'
import type { Anomaly, ReadAnomalyKind } from './verdict.ts'
import { listed, named } from './words.ts'

/** What is wrong without any cycle, and the keys whose order can't be trusted because of it. */
export interface KeyFindings {
  readonly anomalies: readonly Anomaly[]
  readonly untrusted: ReadonlySet<KeyHistory>
}

/** Finds all that is wrong with single reads and appends. */
export function keyAnomalies({ keys, contradictions }: KeyTable): KeyFindings {
  const anomalies: Anomaly[] = []
  const untrusted = new Set<KeyHistory>()
  for (const { transaction, key, list, expected } of contradictions) {
    const what = `${named(transaction)} read key ${key} as ${listed(list)}, but ${expected}`
    anomalies.push(anomaly('internal', key, [transaction], what))
  }
  for (const key of keys) {
    const found = [...strangeElements(key), ...repeated(key), ...disagreeing(key)]
    if (found.some(({ kind }) => kind !== 'G1a')) untrusted.add(key)
    anomalies.push(...found, ...ownFuture(key), ...ownOrder(key), ...intermediate(key), ...lost(key))
  }
  return { anomalies, untrusted }
}

function anomaly(
  kind: ReadAnomalyKind,
  key: Scalar,
  transactions: readonly (Transaction | undefined)[],
  what: string,
): Anomaly {
  const present = transactions.filter((transaction) => transaction !== undefined)
  return { kind, key, what, transactions: [...new Set(present)], steps: [] }
}

/** Elements that nobody appended, or that a failed transaction did; each once, with the first that read it. */
function* strangeElements(key: KeyHistory): Generator<Anomaly> {
  const seen = new Set<Scalar>()
  for (const read of key.reads) {
    // All of a short reading are in the longest, too; but whoever read an element first makes the better story.
    for (const value of read.list) {
      if (seen.has(value)) continue
      seen.add(value)
      const writer = key.writes.get(value)?.transaction
      const shows = `${named(read.transaction)} read key ${key.key} as ${listed(read.list)}`
      if (writer === undefined) {
        yield anomaly('garbage-read', key.key, [read.transaction], `${shows}, but nobody ever appended ${value}`)
      } else if (writer.outcome === 'fail') {
        const what = `${shows}, where ${value} was appended by ${named(writer)}, which failed`
        yield anomaly('G1a', key.key, [read.transaction, writer], what)
      }
    }
  }
}

function* repeated(key: KeyHistory): Generator<Anomaly> {
  for (const read of key.reads) {
    const seen = new Set<Scalar>()
    const twice = read.list.find((value) => seen.size === seen.add(value).size)
    if (twice === undefined) continue
    const what = `${named(read.transaction)} read key ${key.key} as ${listed(read.list)}, which has ${twice} twice`
    yield anomaly('duplicate-elements', key.key, [read.transaction, key.writes.get(twice)?.transaction], what)
    return
  }
}

/** Readings of which neither is the beginning of the other: the first of them. */
function* disagreeing(key: KeyHistory): Generator<Anomaly> {
  const longest = key.reads.find(({ list }) => list === key.order)
  const other = key.reads.find(({ list }) => !agrees(key, list))
  if (longest === undefined || other === undefined) return
  const what = `${named(longest.transaction)} read key ${key.key} as ${listed(key.order)}, and ${named(other.transaction)} as ${listed(other.list)}: neither came from the other by appends`
  yield anomaly('incompatible-order', key.key, [longest.transaction, other.transaction], what)
}

/** Who reads its own append before it makes it. */
function* ownFuture(key: KeyHistory): Generator<Anomaly> {
  const first = new Map<Transaction, Read>()
  for (const read of key.reads) if (!first.has(read.transaction)) first.set(read.transaction, read)
  for (const { transaction, value, position } of key.writes.values()) {
    const read = first.get(transaction)
    if (read === undefined || position === undefined || position >= read.length) continue
    const what = `${named(transaction)} read key ${key.key} as ${listed(read.list)} before it appended ${value} itself`
    yield anomaly('internal', key.key, [transaction], what)
  }
}

/** Whose own appends are in another order than it made them. */
function* ownOrder(key: KeyHistory): Generator<Anomaly> {
  const last = new Map<Transaction, Write>()
  for (const write of key.writes.values()) {
    if (write.position === undefined) continue
    const before = last.get(write.transaction)
    last.set(write.transaction, write)
    if (before === undefined || before.position! < write.position) continue
    const what = `${named(write.transaction)} appended ${before.value} to key ${key.key} before ${write.value}, but reads show ${listed(key.order)}`
    yield anomaly('internal', key.key, [write.transaction], what)
  }
}

function* intermediate(key: KeyHistory): Generator<Anomaly> {
  for (const { transaction, list, length } of key.reads) {
    const write = length === 0 ? undefined : key.writes.get(list[length - 1]!)
    if (write === undefined || write.isFinal || write.transaction === transaction) continue
    const what = `${named(transaction)} read key ${key.key} as ${listed(list.slice(0, length))}, between ${write.value} and what ${named(write.transaction)} appended after it`
    yield anomaly('G1b', key.key, [transaction, write.transaction], what)
  }
}

/** Acknowledged appends that are in no read at all, although one began later. */
function* lost(key: KeyHistory): Generator<Anomaly> {
  const latest = key.reads.at(-1)
  if (latest === undefined) return
  for (const { transaction, value } of lostWrites(key)) {
    const what = `${named(transaction)} appended ${value} to key ${key.key} and was acknowledged at index ${transaction.completed}; ${named(latest.transaction)} began after that and read ${listed(latest.list)}, without it`
    yield anomaly('lost-append', key.key, [transaction, latest.transaction], what)
  }
}

/** Acknowledged appends of a key that no read shows, although one began after them. */
export function lostWrites(key: KeyHistory): readonly Write[] {
  const latest = key.reads.at(-1)
  if (latest === undefined) return []
  const shown = new Set<Scalar>()
  for (const { list } of key.reads) if (!agrees(key, list)) for (const value of list) shown.add(value)
  return [...key.writes.values()].filter(({ transaction, position, value }) => {
    if (transaction.outcome !== 'ok' || position !== undefined || shown.has(value)) return false
    return transaction.completed! < latest.transaction.invoked
  })
}
