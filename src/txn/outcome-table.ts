import { assert, type Txid } from '../base/index.ts'
import { type FinishedEntry, OutcomeBucket, txidOfKey } from './outcome-bucket.ts'
import type { FrozenSlots } from './outcome-slots.ts'
import { TxidKey } from './txid-key.ts'

/** The txid time that one bucket spans, in milliseconds: 2^13, about eight seconds. */
export const BUCKET_SPAN_MS = 8192

/**
 * Buckets that may exist at once: more than nine hours of txid time. A txid is its client's word, so times may be
 * spread over millennia; past this number they share one bucket, and memory stays proportional to the entries.
 */
export const BUCKETS_MAX = 4096

/**
 * The finished transactions: txid → outcome and branch digest, 24 bytes each plus the room a hash table needs.
 * A million of them as objects would take several hundred megabytes and seconds of garbage collection.
 *
 * Grouped by txid time, so that forgetting drops whole buckets at once instead of deleting entries one by one.
 * Forgetting is by bucket even for strays: what a replica knows must not depend on how it happens to store it.
 */
export class OutcomeTable {
  readonly #buckets = new Map<number, OutcomeBucket>()
  /** Entries whose own bucket did not exist when BUCKETS_MAX was reached. */
  #strays = new OutcomeBucket()
  /** Buckets with a lower number are forgotten and stay so. */
  #firstBucket = 0
  #count = 0
  readonly #key = new TxidKey()

  /** Transactions in the table. */
  get count(): number {
    return this.#count
  }

  /** Bytes of all typed arrays: the part of memory that grows with the transactions. */
  get bytes(): number {
    let bytes = this.#strays.bytes
    for (const bucket of this.#buckets.values()) bytes += bucket.bytes
    return bytes
  }

  /** Txids made before this are forgotten, in milliseconds: a multiple of the bucket span. */
  get forgottenBeforeMs(): number {
    return this.#firstBucket * BUCKET_SPAN_MS
  }

  /** What is known of `txid`; undefined when it is not finished or was forgotten. */
  get(txid: Txid): FinishedEntry | undefined {
    this.#key.read(txid)
    const bucket = this.#bucketOfKey()
    const word = bucket?.wordOf(this.#key) ?? 0
    if (word !== 0) return { txid, word, branchDigest: bucket!.digestOf(this.#key) }
    return this.#strays.count === 0 ? undefined : this.#getStray(txid)
  }

  /** Adds a transaction that is not in the table. One whose bucket was forgotten is not kept: it would never go again. */
  add(txid: Txid, word: number, branchDigest: number): void {
    const key = this.#key
    key.read(txid)
    const number = bucketNumber(key)
    if (number < this.#firstBucket) return
    assert(this.#strays.count === 0 || this.#strays.wordOf(key) === 0, 'a transaction is in one place')
    this.#homeOf(number).add(key, word, branchDigest)
    this.#count++
  }

  /**
   * Adds an entry of a frozen table. False: no table has it beside the others, for it is here already, or forgotten.
   * Where it stands may differ (own bucket or stray), which nobody can tell.
   */
  restore(key: TxidKey, word: number, branchDigest: number): boolean {
    const number = bucketNumber(key)
    if (number < this.#firstBucket) return false
    if ((this.#buckets.get(number)?.wordOf(key) ?? 0) !== 0 || this.#strays.wordOf(key) !== 0) return false
    this.#homeOf(number).add(key, word, branchDigest)
    this.#count++
    return true
  }

  /**
   * Forgets every bucket that lies wholly before `beforeMs`. One that lies partly before it stays whole: knowing more
   * than was promised is harmless, and the rule depends on the txid and the watermark alone, never on the history.
   */
  forgetBefore(beforeMs: number): void {
    const first = Math.floor(beforeMs / BUCKET_SPAN_MS)
    if (first <= this.#firstBucket) return
    this.#firstBucket = first
    for (const [number, bucket] of this.#buckets) {
      if (number >= first) continue
      this.#count -= bucket.count
      this.#buckets.delete(number)
    }
    if (this.#strays.count > 0) this.#forgetStrays()
  }

  /** Transactions by bucket number, oldest first. */
  countsByBucket(): [number: number, count: number][] {
    const counts = new Map<number, number>()
    for (const [number, bucket] of this.#buckets) counts.set(number, bucket.count)
    this.#strays.visit(this.#key, () => {
      const number = bucketNumber(this.#key)
      counts.set(number, (counts.get(number) ?? 0) + 1)
      return true
    })
    return [...counts].sort(([a], [b]) => a - b)
  }

  /** Visits entries, newest bucket first, strays last, until `visit` returns false. */
  visit(visit: (entry: FinishedEntry) => boolean): void {
    const key = this.#key
    const numbers = [...this.#buckets.keys()].sort((a, b) => b - a)
    for (const bucket of [...numbers.map((number) => this.#buckets.get(number)!), this.#strays]) {
      const goOn = bucket.visit(key, (word, branchDigest) => visit({ txid: txidOfKey(key), word, branchDigest }))
      if (!goOn) return
    }
  }

  /** The slots of every bucket as they are now, without copying them. */
  freeze(): FrozenSlots[] {
    return [...this.#buckets.values(), this.#strays].flatMap((bucket) => bucket.freeze())
  }

  /** Order-independent digest of the entries, in two 32-bit lanes; costs one addition a bucket. */
  sums(): { readonly low: number; readonly high: number } {
    let low = this.#strays.sumLow
    let high = this.#strays.sumHigh
    for (const bucket of this.#buckets.values()) {
      low = (low + bucket.sumLow) | 0
      high = (high + bucket.sumHigh) | 0
    }
    return { low, high }
  }

  /**
   * Checks that every entry stands where it is looked for, that none is forgotten, and that the running sums are those
   * of the entries.
   *
   * @throws InvariantError
   */
  validate(): void {
    for (const [number, bucket] of this.#buckets) {
      assert(number >= this.#firstBucket, '5: no bucket before the watermark is kept')
      bucket.validate((key) => assert(bucketNumber(key) === number, '6: an entry is in the bucket of its time'))
    }
    this.#strays.validate((key) => assert(bucketNumber(key) >= this.#firstBucket, '5: no stray is forgotten'))
  }

  #bucketOfKey(): OutcomeBucket | undefined {
    return this.#buckets.get(bucketNumber(this.#key))
  }

  #getStray(txid: Txid): FinishedEntry | undefined {
    const word = this.#strays.wordOf(this.#key)
    return word === 0 ? undefined : { txid, word, branchDigest: this.#strays.digestOf(this.#key) }
  }

  /** The bucket that takes a new entry: its own, a new one while there may be more, or that of the strays. */
  #homeOf(number: number): OutcomeBucket {
    const existing = this.#buckets.get(number)
    if (existing !== undefined) return existing
    if (this.#buckets.size >= BUCKETS_MAX) return this.#strays
    const bucket = new OutcomeBucket()
    this.#buckets.set(number, bucket)
    return bucket
  }

  #forgetStrays(): void {
    const kept = new OutcomeBucket()
    this.#strays.visit(this.#key, (word, branchDigest) => {
      if (bucketNumber(this.#key) >= this.#firstBucket) kept.add(this.#key, word, branchDigest)
      return true
    })
    this.#count -= this.#strays.count - kept.count
    this.#strays = kept
  }
}

function bucketNumber(key: TxidKey): number {
  return Math.floor(key.timeMs / BUCKET_SPAN_MS)
}
