import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeTxid, Prng, type Txid } from '../base/index.ts'
import { START_MS, txidOf } from './fixtures.test-support.ts'
import { type FrozenSlots, OUTCOME_AT, SLOT_WORDS } from './outcome-slots.ts'
import { BUCKET_SPAN_MS, BUCKETS_MAX, OutcomeTable } from './outcome-table.ts'
import { NAME_UNITS_MAX, NAMES_MAX, OutcomeWords } from './outcome-word.ts'
import { TxidKey, textOfWords } from './txid-key.ts'

/** What the table must do, as a map: forget by whole spans, keep nothing that is forgotten already. */
class ReferenceTable {
  readonly entries = new Map<Txid, { timeMs: number; word: number; branchDigest: number }>()
  #firstMs = 0

  add(txid: Txid, timeMs: number, word: number, branchDigest: number): void {
    if (spanStart(timeMs) >= this.#firstMs) this.entries.set(txid, { timeMs, word, branchDigest })
  }

  forgetBefore(beforeMs: number): void {
    this.#firstMs = Math.max(this.#firstMs, spanStart(beforeMs))
    for (const [txid, { timeMs }] of this.entries) if (spanStart(timeMs) < this.#firstMs) this.entries.delete(txid)
  }
}

const spanStart = (timeMs: number) => Math.floor(timeMs / BUCKET_SPAN_MS) * BUCKET_SPAN_MS

function randomTxid(prng: Prng, timeMs: number): Txid {
  return makeTxid(
    timeMs,
    Uint8Array.from({ length: 10 }, () => prng.below(256)),
  )
}

function expectSame(table: OutcomeTable, reference: ReferenceTable): void {
  table.validate()
  expect(table.count).toBe(reference.entries.size)
  for (const [txid, { word, branchDigest }] of reference.entries) {
    expect(table.get(txid)).toEqual({ txid, word, branchDigest })
  }
  const visited: Txid[] = []
  table.visit(({ txid }) => visited.push(txid) > 0)
  expect(visited.sort()).toEqual([...reference.entries.keys()].sort())
}

test('the table agrees with a map whatever is added and forgotten', () => {
  const adding = fc.record({
    timeMs: fc.nat({ max: 10 * BUCKET_SPAN_MS }),
    word: fc.integer({ min: 1 }),
    digest: fc.integer(),
  })
  const forgetting = fc.record({ beforeMs: fc.nat({ max: 10 * BUCKET_SPAN_MS }) })
  const steps = fc.array(fc.oneof({ weight: 20, arbitrary: adding }, forgetting), { maxLength: 200, size: 'max' })
  fc.assert(
    fc.property(steps, fc.integer(), (list, seed) => {
      const prng = new Prng(seed)
      const [table, reference] = [new OutcomeTable(), new ReferenceTable()]
      for (const step of list) {
        if ('beforeMs' in step) {
          table.forgetBefore(step.beforeMs)
          reference.forgetBefore(step.beforeMs)
        } else {
          const txid = randomTxid(prng, step.timeMs)
          table.add(txid, step.word, step.digest)
          reference.add(txid, step.timeMs, step.word, step.digest)
        }
      }
      expectSame(table, reference)
    }),
    { numRuns: 200 },
  )
})

test('what was frozen stays as it was, however often and however much is added afterwards', () => {
  const prng = new Prng(7)
  const [table, reference] = [new OutcomeTable(), new ReferenceTable()]
  const frozen: { readonly slots: readonly FrozenSlots[]; readonly count: number }[] = []
  // Enough for a bucket to be divided, for its parts to grow, and for tables to be joined.
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 1500; i++) {
      const txid = randomTxid(prng, START_MS)
      table.add(txid, 1 + round, i)
      reference.add(txid, START_MS, 1 + round, i)
    }
    frozen.push({ slots: table.freeze(), count: table.count })
  }
  expectSame(table, reference)
  for (const [round, { slots, count }] of frozen.entries()) {
    const words = slots.flatMap((each) => wordsIn(each))
    expect(words.length).toBe(count)
    expect(Math.max(...words)).toBe(1 + round)
  }
})

function wordsIn(slots: FrozenSlots): number[] {
  const words: number[] = []
  for (let at = OUTCOME_AT; at < slots.length; at += SLOT_WORDS) if (slots[at] !== 0) words.push(slots[at]!)
  return words
}

test('beyond the greatest number of buckets the table still agrees with a map', () => {
  const prng = new Prng(7)
  const [table, reference] = [new OutcomeTable(), new ReferenceTable()]
  for (let i = 0; i < BUCKETS_MAX + 3000; i++) {
    const timeMs = prng.below(2 * BUCKETS_MAX) * BUCKET_SPAN_MS
    const txid = randomTxid(prng, timeMs)
    table.add(txid, 1, i)
    reference.add(txid, timeMs, 1, i)
  }
  expectSame(table, reference)
  // The times of strays and of buckets are mixed, so forgetting half must cut through both.
  for (const beforeMs of [BUCKETS_MAX * BUCKET_SPAN_MS, 2 * BUCKETS_MAX * BUCKET_SPAN_MS]) {
    table.forgetBefore(beforeMs)
    reference.forgetBefore(beforeMs)
    expectSame(table, reference)
  }
  expect(table.count).toBe(0)
})

test('a txid that is finished twice stops the process', () => {
  const table = new OutcomeTable()
  table.add(txidOf(1), 1, 0)
  expect(() => table.add(txidOf(1), 2, 0)).toThrow('finishes once')
})

test('the sums do not depend on the order of the entries, and fall back when they are forgotten', () => {
  const [one, other] = [new OutcomeTable(), new OutcomeTable()]
  const keep = txidOf(1000, BUCKET_SPAN_MS)
  const txids = Array.from({ length: 100 }, (_, n) => txidOf(n))
  for (const txid of txids) one.add(txid, 1, 5)
  for (const txid of txids.reverse()) other.add(txid, 1, 5)
  expect(one.sums()).toEqual(other.sums())

  const alone = new OutcomeTable()
  alone.add(keep, 1, 5)
  one.add(keep, 1, 5)
  expect(one.sums()).not.toEqual(alone.sums())
  one.forgetBefore(START_MS + BUCKET_SPAN_MS)
  expect(one.sums()).toEqual(alone.sums())
})

test('a hundred thousand finished transactions take at most 64 bytes each, and none once they are forgotten', () => {
  const table = new OutcomeTable()
  const prng = new Prng(1)
  const empty = table.bytes
  for (let i = 0; i < 100_000; i++) table.add(randomTxid(prng, START_MS + i), 1, i)
  expect(table.bytes).toBeLessThanOrEqual(100_000 * 64)
  table.forgetBefore(START_MS + 200_000)
  expect([table.count, table.bytes]).toEqual([0, empty])
})

test('txids spread over all of time take no more than a small multiple of that', () => {
  const table = new OutcomeTable()
  const prng = new Prng(2)
  for (let i = 0; i < 20_000; i++) table.add(randomTxid(prng, prng.below(2 ** 32) * 2 ** 15), 1, i)
  expect(table.count).toBe(20_000)
  expect(table.bytes).toBeLessThanOrEqual(20_000 * 128)
})

test('a key gives back the txid that it read, and its time', () => {
  const prng = new Prng(3)
  const key = new TxidKey()
  for (const timeMs of [0, 1, START_MS, 2 ** 48 - 1]) {
    const txid = randomTxid(prng, timeMs)
    key.read(txid)
    expect(textOfWords(key.w0, key.w1, key.w2, key.w3)).toBe(txid)
    expect(key.timeMs).toBe(timeMs)
  }
})

test('an outcome word gives back its outcome', () => {
  const words = new OutcomeWords()
  for (const participant of [undefined, 'flights', 'hotels', 'flights']) {
    const outcome = { kind: 'aborted', reason: 'unreachable', participant } as const
    expect(words.unpack(words.pack(outcome))).toEqual(outcome)
  }
  expect(words.unpack(words.pack({ kind: 'committed' }))).toEqual({ kind: 'committed' })
  expect(words.names).toEqual(['flights', 'hotels'])
})

test('names beyond what may be kept are dropped, and the reason stays', () => {
  const words = new OutcomeWords()
  const outcomeOf = (participant: string) => ({ kind: 'aborted', reason: 'deadline', participant }) as const
  for (let i = 0; i < NAMES_MAX; i++) words.pack(outcomeOf(`service ${i}`))
  const last = `service ${NAMES_MAX - 1}`
  expect(words.unpack(words.pack(outcomeOf(last)))).toEqual(outcomeOf(last))
  const dropped = { kind: 'aborted', reason: 'deadline', participant: undefined }
  expect(words.unpack(words.pack(outcomeOf('one more')))).toEqual(dropped)
  expect(new OutcomeWords().pack(outcomeOf('x'.repeat(NAME_UNITS_MAX + 1)))).toBe(words.pack(outcomeOf('one more')))
})
