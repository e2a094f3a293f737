import { assert, type Txid } from '../base/index.ts'
import { Hasher, mix32 } from './hash.ts'
import { type FrozenSlots, OutcomeSlots } from './outcome-slots.ts'
import { TxidKey, textOfWords } from './txid-key.ts'

/** A finished transaction as the table gives it back. */
export interface FinishedEntry {
  readonly txid: Txid
  /** See OutcomeWords. */
  readonly word: number
  /** See branchesDigest; 0 for an aborted one, whose branches nobody compares. */
  readonly branchDigest: number
}

/** Above so many entries a bucket is split in parts. */
const UNDIVIDED_MAX = 6144
/** The highest bits of the hash choose the part; the lowest choose the slot. */
const PART_BITS = 6
/** Tables in a part before they are joined: each is one more place to look. */
const TABLES_MAX = 4

/** Entries whose hashes have the same highest bits: the newest table takes new ones, those before it are frozen. */
class Part {
  tables: readonly OutcomeSlots[] = [new OutcomeSlots()]
  /** Somebody reads the newest table as it is: new entries go to another. */
  isFrozen = false

  /** The table that has the key; undefined when none has. */
  tableOf(key: TxidKey, hash: number): OutcomeSlots | undefined {
    for (let at = this.tables.length - 1; at >= 0; at--) {
      const table = this.tables[at]!
      if (table.wordOf(key, hash) !== 0) return table
    }
    return undefined
  }

  /** Adds an entry that is in none of the tables. */
  add(key: TxidKey, hash: number, word: number, branchDigest: number): void {
    if (this.isFrozen) this.#begin()
    this.tables.at(-1)!.add(key, hash, word, branchDigest)
  }

  #begin(): void {
    this.isFrozen = false
    this.tables = [...(this.tables.length < TABLES_MAX ? this.tables : [joined(this.tables)]), new OutcomeSlots()]
  }
}

/**
 * The finished transactions of one stretch of time. No change of it takes long, however many they are: a large one is
 * split by hash into parts that grow on their own, and freezing copies nothing. (One table of 400,000 entries took 25 ms
 * to grow and 17 ms to copy, measured; that holds up every decision.)
 */
export class OutcomeBucket {
  #parts: readonly Part[] = [new Part()]
  /** Of the 32 bits of a hash, those that do not choose the part. */
  #shift = 32
  #count = 0
  #sumLow = 0
  #sumHigh = 0

  get count(): number {
    return this.#count
  }

  /** Bytes of the typed arrays. */
  get bytes(): number {
    let bytes = 0
    for (const { tables } of this.#parts) for (const table of tables) bytes += table.bytes
    return bytes
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
    const { hash } = key
    return this.#partOf(hash).tableOf(key, hash)?.wordOf(key, hash) ?? 0
  }

  /** The branch digest of a key that is here. */
  digestOf(key: TxidKey): number {
    const { hash } = key
    return this.#partOf(hash).tableOf(key, hash)!.digestOf(key, hash)
  }

  /** Adds a transaction that is not here yet. */
  add(key: TxidKey, word: number, branchDigest: number): void {
    assert(word !== 0, 'a finished transaction has an outcome')
    const { hash } = key
    if (this.#count === UNDIVIDED_MAX) this.#divide()
    const part = this.#partOf(hash)
    assert(part.tables.length === 1 || part.tableOf(key, hash) === undefined, 'a transaction finishes once')
    part.add(key, hash, word, branchDigest)
    this.#count++
    this.#addToSums(key, word, branchDigest)
  }

  /** The entries as they are now, for ever: nobody writes to these tables any more, and new entries go to others. */
  freeze(): FrozenSlots[] {
    const frozen: FrozenSlots[] = []
    for (const part of this.#parts) {
      for (const table of part.tables) if (table.count > 0) frozen.push(table.words)
      part.isFrozen = part.tables.at(-1)!.count > 0
    }
    return frozen
  }

  /** Fills `key` with each entry's txid and calls `visit`; stops early when it returns false. */
  visit(key: TxidKey, visit: (word: number, branchDigest: number) => boolean): boolean {
    return this.#parts.every(({ tables }) => tables.every((table) => table.visit(key, visit)))
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
    for (const { tables } of this.#parts) for (const table of tables) table.validate()
  }

  // A shift by 32 is one by 0 in JavaScript, so an undivided bucket is told by its only part.
  #partOf(hash: number): Part {
    return this.#parts.length === 1 ? this.#parts[0]! : this.#parts[hash >>> this.#shift]!
  }

  #addToSums({ w0, w1, w2, w3 }: TxidKey, word: number, branchDigest: number): void {
    const hasher = new Hasher()
    hasher.word(w0)
    hasher.word(w1)
    hasher.word(w2)
    hasher.word(w3)
    hasher.word(word)
    hasher.word(branchDigest)
    this.#sumLow = (this.#sumLow + mix32(hasher.low)) | 0
    this.#sumHigh = (this.#sumHigh + mix32(hasher.high)) | 0
  }

  #divide(): void {
    const before = this.#parts
    this.#parts = Array.from({ length: 2 ** PART_BITS }, () => new Part())
    this.#shift = 32 - PART_BITS
    const key = new TxidKey()
    for (const { tables } of before) {
      for (const table of tables) {
        table.visit(key, (word, branchDigest) => {
          const { hash } = key
          this.#partOf(hash).add(key, hash, word, branchDigest)
          return true
        })
      }
    }
  }
}

function joined(tables: readonly OutcomeSlots[]): OutcomeSlots {
  // With all its room at once: a table's entries come by their slots, and would crowd the beginning of a smaller one.
  const all = new OutcomeSlots(tables.reduce((count, table) => count + table.count, 0))
  const key = new TxidKey()
  for (const table of tables) {
    table.visit(key, (word, branchDigest) => {
      all.add(key, key.hash, word, branchDigest)
      return true
    })
  }
  return all
}

/** The txid that `key` holds. */
export function txidOfKey(key: TxidKey): Txid {
  return textOfWords(key.w0, key.w1, key.w2, key.w3)
}
