import { MalformedHistoryError, type Scalar } from '../events.ts'
import type { Transaction } from '../transactions.ts'
import { type Contradiction, type ExternalRead, externalReads, isPrefix } from './external-reads.ts'

/** One append, whatever became of it. */
export interface Write {
  readonly transaction: Transaction
  readonly value: Scalar
  /** Whether its transaction appended nothing more to the key. */
  isFinal: boolean
  /** Its place in the version order; undefined when no read shows it. */
  position: number | undefined
}

export interface Read extends ExternalRead {
  readonly transaction: Transaction
}

/** All that a history says of one key. */
export interface KeyHistory {
  readonly key: Scalar
  readonly writes: Map<Scalar, Write>
  /** Of transactions that are `ok`, in the order of invocations. */
  readonly reads: Read[]
  /** The longest reading: the order in which elements were appended, as far as anybody saw it. */
  order: readonly Scalar[]
}

/** A history's appends and reads, by key. */
export interface KeyTable {
  readonly keys: readonly KeyHistory[]
  readonly contradictions: readonly (Contradiction & { readonly transaction: Transaction })[]
  /** By transaction id: whether it surely happened, because it is `ok` or a read shows what it appended. Failed ones never. */
  readonly happened: readonly boolean[]
}

/**
 * Sorts a history by keys, and finds each key's version order.
 *
 * @throws MalformedHistoryError when two appends to a key have the same element: nobody could tell which of them was read
 */
export function keyTable(transactions: readonly Transaction[]): KeyTable {
  const byKey = new Map<Scalar, KeyHistory>()
  const contradictions: (Contradiction & { readonly transaction: Transaction })[] = []
  const keyOf = (key: Scalar): KeyHistory => {
    let found = byKey.get(key)
    if (found === undefined) {
      found = { key, writes: new Map(), reads: [], order: [] }
      byKey.set(key, found)
    }
    return found
  }
  for (const transaction of transactions) {
    addWrites(transaction, keyOf)
    if (transaction.outcome !== 'ok') continue
    const found = externalReads(transaction)
    for (const read of found.reads) keyOf(read.key).reads.push({ ...read, transaction })
    for (const one of found.contradictions) contradictions.push({ ...one, transaction })
  }
  const happened = transactions.map(({ outcome }) => outcome === 'ok')
  for (const key of byKey.values()) {
    for (const { list } of key.reads) if (list.length > key.order.length) key.order = list
    placeWrites(key, happened)
  }
  return { keys: [...byKey.values()], contradictions, happened }
}

/** Whether a reading agrees with the version order. */
export function agrees({ order }: KeyHistory, list: readonly Scalar[]): boolean {
  return isPrefix(list, list.length, order)
}

function addWrites(transaction: Transaction, keyOf: (key: Scalar) => KeyHistory): void {
  const last = new Map<Scalar, Write>()
  for (const operation of transaction.operations) {
    if (operation.kind !== 'append') continue
    const { writes, key } = keyOf(operation.key)
    const other = writes.get(operation.value)
    if (other !== undefined)
      throw new MalformedHistoryError(
        `${operation.value} is appended to key ${key} by the transactions invoked at index ${other.transaction.invoked} and ${transaction.invoked}: each append to a key must have an element of its own`,
      )
    const before = last.get(key)
    if (before !== undefined) before.isFinal = false
    const write = { transaction, value: operation.value, isFinal: true, position: undefined }
    writes.set(operation.value, write)
    last.set(key, write)
  }
}

function placeWrites({ writes, order }: KeyHistory, happened: boolean[]): void {
  order.forEach((value, position) => {
    const write = writes.get(value)
    if (write === undefined) return
    write.position ??= position
    if (write.transaction.outcome === 'info') happened[write.transaction.id] = true
  })
}
