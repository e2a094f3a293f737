import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findViolation, type Rule, uniqueChanges, type Write } from './constraints.ts'
import { type KvValue, sameValue } from './value.ts'

const STOCK: Rule = { kind: 'notBelowZero', prefix: 'stock/' }
const MAIL: Rule = { kind: 'unique', prefix: 'mail/' }

function reasonOf(writes: readonly Write[], index: Record<string, string> = {}): string | undefined {
  return findViolation([STOCK, MAIL], { writes, expectations: [] }, (_, value) => index[String(value)])?.reason
}

test('a number may go down to zero and not below', () => {
  expect(reasonOf([{ key: 'stock/7', before: 2, after: 0 }])).toBeUndefined()
  expect(reasonOf([{ key: 'stock/7', before: 2, after: -0.5 }])).toBe('notBelowZero')
  expect(reasonOf([{ key: 'stock/7', before: 2, after: 'many' }])).toBe('notBelowZero')
  expect(reasonOf([{ key: 'stock/7', before: 2, after: undefined }])).toBeUndefined()
  expect(reasonOf([{ key: 'other', before: 2, after: -1 }])).toBeUndefined()
})

test('a compare-and-set that found something else is a violation, and the message tells both', () => {
  const found = (expected: KvValue | undefined, there: KvValue | undefined) =>
    findViolation([], { writes: [], expectations: [{ key: 'seat', expected, found: there }] }, () => undefined)
  expect(found('free', 'free')).toBeUndefined()
  expect(found(undefined, undefined)).toBeUndefined()
  expect(found(Buffer.from('x'), new Uint8Array([0x78]))).toBeUndefined()
  expect(found('1', 1)).toMatchObject({ reason: 'compareAndSet', message: 'seat should hold "1" and holds 1' })
  expect(found(undefined, 'ann')?.message).toBe('seat should hold nothing and holds "ann"')
})

test('a value that another key holds is refused, unless that key gives it up in the same transaction', () => {
  const index = { 'a@x': 'mail/1', 'b@x': 'mail/2' }
  expect(reasonOf([{ key: 'mail/3', before: undefined, after: 'a@x' }], index)).toBe('unique')
  expect(reasonOf([{ key: 'mail/1', before: 'a@x', after: 'a@x' }], index)).toBeUndefined()
  const swap = [
    { key: 'mail/1', before: 'a@x', after: 'b@x' },
    { key: 'mail/2', before: 'b@x', after: 'a@x' },
  ]
  expect(reasonOf(swap, index)).toBeUndefined()
  const moved = [
    { key: 'mail/1', before: 'a@x', after: undefined },
    { key: 'mail/3', before: undefined, after: 'a@x' },
  ]
  expect(reasonOf(moved, index)).toBeUndefined()
})

test('two keys of one transaction do not get the same value', () => {
  const writes = [
    { key: 'mail/3', before: undefined, after: 'c@x' },
    { key: 'mail/4', before: undefined, after: 'c@x' },
  ]
  expect(reasonOf(writes)).toBe('unique')
})

test('a rule that is there twice refuses what it refuses once', () => {
  const of = (values: readonly string[]): string | undefined => {
    const writes = values.map((after, index) => ({ key: `mail/${index}`, before: undefined, after }))
    return findViolation([MAIL, MAIL], { writes, expectations: [] }, () => undefined)?.reason
  }
  expect([of(['a', 'b']), of(['a', 'a'])]).toEqual([undefined, 'unique'])
})

test('a transaction of many unique values looks at each of them a few times, however many there are', () => {
  let looks = 0
  class Watched extends Uint8Array {
    override get length(): number {
      looks += 1
      return this.byteLength
    }
  }
  const writes = Array.from({ length: 1_000 }, (_, index) => {
    return { key: `mail/${index}`, before: undefined, after: new Watched([index >> 8, index & 255]) }
  })
  expect(reasonOf(writes)).toBeUndefined()
  expect(looks).toBeLessThan(20 * writes.length)
})

const value = fc.option(fc.constantFrom<KvValue>('a', 'b', 1, '1', 0, -0, Buffer.from('a')), { nil: undefined })
const key = fc.constantFrom('mail/1', 'mail/2', 'mail/3', 'else/1')

test('over any transactions, the unique rule refuses exactly those that leave a value twice, and its index tells all', () => {
  fc.assert(
    fc.property(fc.array(fc.dictionary(key, value, { maxKeys: 3 }), { maxLength: 12 }), (transactions) => {
      const table = new Map<string, KvValue>()
      let index: { value: KvValue; key: string }[] = []
      for (const transaction of transactions) {
        const writes = Object.entries(transaction).map(([each, after]) => ({
          key: each,
          before: table.get(each),
          after,
        }))
        const next = new Map([...table, ...writes.map(({ key: each, after }) => [each, after] as const)])
        const mails = [...next].filter(([each, held]) => each.startsWith('mail/') && held !== undefined)
        const twice = mails.some(([a, x]) => mails.some(([b, y]) => a < b && sameValue(x, y)))
        const ownerOf = (_: string, wanted: KvValue) => index.find((entry) => sameValue(entry.value, wanted))?.key
        const violation = findViolation([MAIL], { writes, expectations: [] }, ownerOf)
        expect(violation?.reason).toBe(twice ? 'unique' : undefined)
        if (violation !== undefined) continue
        for (const { key: each, after } of writes) {
          if (after === undefined) table.delete(each)
          else table.set(each, after)
        }
        const { removed, added } = uniqueChanges([MAIL], writes)
        index = index.filter((entry) => !removed.some((gone) => sameValue(gone.value, entry.value)))
        index.push(...added)
        const held = [...table].filter(([each]) => each.startsWith('mail/'))
        expect(index.map((entry) => entry.key).sort()).toEqual(held.map(([each]) => each).sort())
        for (const entry of index) expect(sameValue(table.get(entry.key), entry.value)).toBe(true)
      }
    }),
    { numRuns: 300, seed: 1 },
  )
})
