import { assert, type Txid } from '../base/index.ts'
import { fold32, mix32 } from './hash.ts'
import { hashWords, TxidKey, textOfWords } from './txid-key.ts'

/**
 * Words of a slot: the txid's four, the outcome word, the branch digest. 24 bytes a transaction.
 *
 * ```
 * +------+------+------+------+---------+--------+
 * | w0   | w1   | w2   | w3   | outcome | digest |   outcome 0: the slot is empty
 * +------+------+------+------+---------+--------+
 * ```
 */
export const SLOT_WORDS = 6
/** The word of a slot that is 0 while the slot is empty. */
export const OUTCOME_AT = 4
const DIGEST_AT = 5
/** Small, because an adversary can make every transaction fall into a bucket of its own. */
const SLOTS_MIN = 8

/** A bucket's slots that nobody changes any more. */
export type FrozenSlots = Int32Array

/** A finished transaction as the table gives it back. */
export interface FinishedEntry {
  readonly txid: Txid
  /** See OutcomeWords. */
  readonly word: number
  /** See branchesDigest; 0 for an aborted one, whose branches nobody compares. */
  readonly branchDigest: number
}

/**
 * An open-addressing hash table (linear probing) on one typed array. Entries are only ever added: forgetting drops the
 * whole bucket, so no slot is deleted and a probe may stop at the first empty slot.
 *
 * Signed words: V8 keeps every int32 unboxed, while a uint32 above 2^31 may become a heap number.
 */
export class OutcomeBucket {
  #slots = new Int32Array(SLOTS_MIN * SLOT_WORDS)
  #mask = SLOTS_MIN - 1
  #count = 0
  #sumLow = 0
  #sumHigh = 0
  /** A frozen copy reads `#slots` too: the next change makes its own. */
  #shared = false

  get count(): number {
    return this.#count
  }

  /** Bytes of the typed array. */
  get bytes(): number {
    return this.#slots.byteLength
  }

  /** Order-independent digest of the entries: the sum of their hashes mod 2^32, in two lanes. */
  get sumLow(): number {
    return this.#sumLow
  }

  get sumHigh(): number {
    return this.#sumHigh
  }

  /** The outcome word, or 0 when `key` is not here. Allocates nothing: it answers every new transaction with 0. */
  wordOf(key: TxidKey): number {
    return this.#slots[this.#probe(this.#slots, this.#mask, key) + OUTCOME_AT]!
  }

  /** The branch digest of a key that is here. */
  digestOf(key: TxidKey): number {
    return this.#slots[this.#probe(this.#slots, this.#mask, key) + DIGEST_AT]!
  }

  /** Adds a transaction that is not here yet. */
  add(key: TxidKey, word: number, branchDigest: number): void {
    assert(word !== 0, 'a finished transaction has an outcome')
    // Three quarters full at most: linear probing degrades sharply beyond (Knuth, TAOCP 3, §6.4).
    if ((this.#count + 1) * 4 > (this.#mask + 1) * 3) this.#grow()
    else if (this.#shared) this.#unshare()
    const at = this.#probe(this.#slots, this.#mask, key)
    assert(this.#slots[at + OUTCOME_AT] === 0, 'a transaction finishes once')
    const slots = this.#slots
    slots[at] = key.w0
    slots[at + 1] = key.w1
    slots[at + 2] = key.w2
    slots[at + 3] = key.w3
    slots[at + OUTCOME_AT] = word
    slots[at + DIGEST_AT] = branchDigest
    this.#count++
    this.#addToSums(at)
  }

  /**
   * The slots as they are now, for ever: nobody writes to them any more, and the next entry goes to a copy. That copy
   * costs what growing costs, once a bucket.
   */
  freeze(): FrozenSlots {
    this.#shared = true
    return this.#slots
  }

  /** Fills `key` with each entry's txid and calls `visit`; stops early when it returns false. */
  visit(key: TxidKey, visit: (word: number, branchDigest: number) => boolean): boolean {
    const slots = this.#slots
    for (let at = 0; at < slots.length; at += SLOT_WORDS) {
      if (slots[at + OUTCOME_AT] === 0) continue
      key.w0 = slots[at]!
      key.w1 = slots[at + 1]!
      key.w2 = slots[at + 2]!
      key.w3 = slots[at + 3]!
      if (!visit(slots[at + OUTCOME_AT]!, slots[at + DIGEST_AT]!)) return false
    }
    return true
  }

  /** Checks each entry with `check`, that it is found, and the count and sums. @throws InvariantError */
  validate(check: (key: TxidKey) => void): void {
    const fresh = new OutcomeBucket()
    const key = new TxidKey()
    this.visit(key, (word, branchDigest) => {
      check(key)
      assert(this.wordOf(key) === word, '6: an entry is found under its txid')
      fresh.add(key, word, branchDigest)
      return true
    })
    assert(fresh.count === this.#count, "6: a bucket's count is that of its entries")
    assert(
      fresh.sumLow === this.#sumLow && fresh.sumHigh === this.#sumHigh,
      "6: a bucket's sums are those of its entries",
    )
    assert(this.#count * 4 <= (this.#mask + 1) * 3, '6: a bucket keeps a quarter of its slots empty')
  }

  /** The slot's offset: that of `key`, or of the empty slot where it belongs. */
  #probe(slots: Int32Array, mask: number, key: TxidKey): number {
    for (let slot = key.hash & mask; ; slot = (slot + 1) & mask) {
      const at = slot * SLOT_WORDS
      if (slots[at + OUTCOME_AT] === 0) return at
      // The random end of a UUIDv7 tells keys apart sooner than its time does.
      if (slots[at + 3] !== key.w3 || slots[at + 2] !== key.w2) continue
      if (slots[at + 1] === key.w1 && slots[at] === key.w0) return at
    }
  }

  #grow(): void {
    const old = this.#slots
    const slots = new Int32Array(old.length * 2)
    const mask = this.#mask * 2 + 1
    for (let at = 0; at < old.length; at += SLOT_WORDS) {
      if (old[at + OUTCOME_AT] === 0) continue
      let slot = hashWords(old[at]!, old[at + 1]!, old[at + 2]!, old[at + 3]!) & mask
      while (slots[slot * SLOT_WORDS + OUTCOME_AT] !== 0) slot = (slot + 1) & mask
      for (let word = 0; word < SLOT_WORDS; word++) slots[slot * SLOT_WORDS + word] = old[at + word]!
    }
    this.#slots = slots
    this.#mask = mask
    this.#shared = false
  }

  #unshare(): void {
    this.#slots = this.#slots.slice()
    this.#shared = false
  }

  #addToSums(at: number): void {
    const slots = this.#slots
    let low = 0x243f6a88
    let high = 0x85a308d3
    for (let word = 0; word < SLOT_WORDS; word++) {
      low = fold32(low, slots[at + word]!)
      high = fold32(high, slots[at + word]! ^ 0x13198a2e)
    }
    this.#sumLow = (this.#sumLow + mix32(low)) | 0
    this.#sumHigh = (this.#sumHigh + mix32(high)) | 0
  }
}

/** The txid that `key` holds. */
export function txidOfKey(key: TxidKey): Txid {
  return textOfWords(key.w0, key.w1, key.w2, key.w3)
}
