import { assert } from '../base/index.ts'
import { hashWords, type TxidKey } from './txid-key.ts'

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

/** Slots that nobody changes any more. */
export type FrozenSlots = Int32Array

/**
 * An open-addressing hash table (linear probing) on one typed array. Entries are only ever added: forgetting drops the
 * whole table, so no slot is deleted and a probe may stop at the first empty slot.
 *
 * Signed words: V8 keeps every int32 unboxed, while a uint32 above 2^31 may become a heap number.
 */
export class OutcomeSlots {
  #slots: Int32Array
  #mask: number
  #count = 0

  /** @param expected entries that it has room for from the beginning */
  constructor(expected = 0) {
    let slots = SLOTS_MIN
    while (expected * 4 > slots * 3) slots *= 2
    this.#slots = new Int32Array(slots * SLOT_WORDS)
    this.#mask = slots - 1
  }

  get count(): number {
    return this.#count
  }

  /** Bytes of the typed array. */
  get bytes(): number {
    return this.#slots.byteLength
  }

  /** The slots themselves: whoever keeps them sees what is added later, until the table grows. */
  get words(): Int32Array {
    return this.#slots
  }

  /** The outcome word, or 0 when `key` is not here. Allocates nothing: it answers every new transaction with 0. */
  wordOf(key: TxidKey, hash: number): number {
    return this.#slots[this.#probe(key, hash) + OUTCOME_AT]!
  }

  /** The branch digest of a key that is here. */
  digestOf(key: TxidKey, hash: number): number {
    return this.#slots[this.#probe(key, hash) + DIGEST_AT]!
  }

  /** Adds a transaction that is not here yet. */
  add(key: TxidKey, hash: number, word: number, branchDigest: number): void {
    // Three quarters full at most: linear probing degrades sharply beyond (Knuth, TAOCP 3, §6.4).
    if ((this.#count + 1) * 4 > (this.#mask + 1) * 3) this.#grow()
    const at = this.#probe(key, hash)
    const slots = this.#slots
    assert(slots[at + OUTCOME_AT] === 0, 'a transaction finishes once')
    slots[at] = key.w0
    slots[at + 1] = key.w1
    slots[at + 2] = key.w2
    slots[at + 3] = key.w3
    slots[at + OUTCOME_AT] = word
    slots[at + DIGEST_AT] = branchDigest
    this.#count++
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

  /** @throws InvariantError */
  validate(): void {
    assert(this.#count * 4 <= (this.#mask + 1) * 3, '6: a table keeps a quarter of its slots empty')
  }

  /** The slot's offset: that of `key`, or of the empty slot where it belongs. */
  #probe(key: TxidKey, hash: number): number {
    const slots = this.#slots
    const mask = this.#mask
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
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
  }
}
