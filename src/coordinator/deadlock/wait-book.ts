import type { Txid } from '../../base/index.ts'
import { type TransactionWait, WAITS_MAX, type WaitingTransaction } from '../../transport/index.ts'

/** An application, as far as deadlocks go: one connection of it. */
export interface WaitSource {
  /** Tells it which of its transactions is to die. @returns false when that was not sent */
  condemn(verdict: Verdict): boolean
}

/** A transaction that is to die, if this statement still waits. */
export interface Verdict extends Pick<WaitingTransaction, 'txid'> {
  readonly branch: WaitingTransaction['branches'][number]['branch']
  readonly statement: number
  /** The circle, for people. */
  readonly circle: string
}

/** A transaction that waits, and who said so. */
export interface Reported {
  readonly transaction: WaitingTransaction
  readonly source: WaitSource
  /** Counts reports: a greater one came later. */
  readonly report: number
}

interface Report<T> {
  readonly told: readonly T[]
  readonly report: number
  readonly atMs: number
}

/** Who waits repeats it ten times a second. What was not repeated for so long is not believed any more, milliseconds. */
const STALE_MS = 1_000
/** Waiting transactions that are looked at, of all applications together. */
const TRANSACTIONS_MAX = 10_000

/** What applications and key-value participants said last of their waits. It is kept nowhere else, and lost with the process. */
export class WaitBook {
  readonly #waiting = new Map<WaitSource, Report<WaitingTransaction>>()
  readonly #stores = new Map<object, Report<TransactionWait> & { readonly name: string }>()
  #reports = 0

  /** The number of the latest report. */
  get reports(): number {
    return this.#reports
  }

  /** An application's transactions that wait, in place of those that it told before. */
  waiting(source: WaitSource, told: readonly WaitingTransaction[], atMs: number): void {
    this.#waiting.delete(source)
    if (told.length > 0) this.#waiting.set(source, { told, report: ++this.#reports, atMs })
  }

  /** A key-value participant's waits, in place of those that it told before. */
  store(source: object, name: string, told: readonly TransactionWait[], atMs: number): void {
    this.#stores.delete(source)
    if (told.length > 0) this.#stores.set(source, { name, told, report: ++this.#reports, atMs })
  }

  /** The connection has ended. */
  leave(source: object): void {
    this.#waiting.delete(source as WaitSource)
    this.#stores.delete(source)
  }

  /** Every transaction that waits. Of one that two applications claim, the later report counts. */
  transactions(nowMs: number): ReadonlyMap<Txid, Reported> {
    forgetStale(this.#waiting, nowMs)
    const all = new Map<Txid, Reported>()
    for (const [source, { told, report }] of this.#waiting) {
      for (const transaction of told) {
        if (all.size < TRANSACTIONS_MAX) all.set(transaction.txid, { transaction, source, report })
      }
    }
    return all
  }

  /** The waits in each key-value participant, of those that have told them after report number `after`. */
  storeWaits(after: number, nowMs: number): ReadonlyMap<string, readonly TransactionWait[]> {
    forgetStale(this.#stores, nowMs)
    const fresh = [...this.#stores.values()].filter(({ report }) => report > after)
    return new Map(fresh.map(({ name, told }) => [name, told.slice(0, WAITS_MAX)]))
  }
}

function forgetStale(reports: Map<object, Report<unknown>>, nowMs: number): void {
  for (const [source, { atMs }] of reports) if (nowMs - atMs > STALE_MS) reports.delete(source)
}
