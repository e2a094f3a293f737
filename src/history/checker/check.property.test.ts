import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Prng } from '../../base/index.ts'
import type { History } from '../events.ts'
import { isStrictlySerializable } from './brute-force.support.ts'
import { checkHistory } from './check.ts'
import { mutated, SerialDatabase, type Shape, withOperations } from './histories.support.ts'

const shapes = fc.record({
  transactions: fc.integer({ min: 1, max: 300 }),
  threads: fc.integer({ min: 1, max: 12 }),
  keys: fc.integer({ min: 1, max: 8 }),
  operationsMax: fc.integer({ min: 1, max: 5 }),
  failPercent: fc.integer({ min: 0, max: 30 }),
  infoPercent: fc.integer({ min: 0, max: 30 }),
})
const small = fc.record({
  transactions: fc.integer({ min: 1, max: 6 }),
  threads: fc.integer({ min: 1, max: 4 }),
  keys: fc.integer({ min: 1, max: 3 }),
  operationsMax: fc.integer({ min: 1, max: 3 }),
  failPercent: fc.integer({ min: 0, max: 20 }),
  infoPercent: fc.integer({ min: 0, max: 40 }),
})
const seeds = fc.integer({ min: 0, max: 2 ** 31 })

function historyOf(seed: number, shape: Shape): History {
  return new SerialDatabase(new Prng(seed), shape).run()
}

test('whatever a database does that runs one transaction at a time is strictly serializable', () => {
  fc.assert(
    fc.property(seeds, shapes, (seed, shape) => {
      expect(checkHistory(historyOf(seed, shape)).anomalies).toEqual([])
    }),
    { numRuns: 150 },
  )
})

test('on small histories the verdict is that of trying every order, for good ones and for damaged ones', () => {
  const verdicts = { right: 0, wrong: 0 }
  fc.assert(
    fc.property(seeds, small, fc.integer({ min: 0, max: 3 }), (seed, shape, mutations) => {
      const prng = new Prng(seed + 1)
      let history = historyOf(seed, shape)
      for (let done = 0; done < mutations; done++) history = mutated(history, prng)
      const expected = isStrictlySerializable(history)
      expect(checkHistory(history).valid).toBe(expected)
      verdicts[expected ? 'right' : 'wrong']++
    }),
    { numRuns: 4_000 },
  )
  // Both sides were tried, or the agreement means little.
  expect(verdicts.right).toBeGreaterThan(500)
  expect(verdicts.wrong).toBeGreaterThan(500)
})

test('a long history is checked without recursion, in linear time; one fault in its midst is found', () => {
  const shape = { transactions: 10_000, threads: 30, keys: 1_000, operationsMax: 4, failPercent: 5, infoPercent: 1 }
  const history = historyOf(7, shape)
  expect(checkHistory(history).valid).toBe(true)
  const stale = history.find(
    ({ kind, index, ...event }) =>
      index > history.length / 2 &&
      'type' in event &&
      event.type === 'ok' &&
      event.operations.some((operation) => operation.kind === 'read' && (operation.list?.length ?? 0) > 3),
  )
  if (stale?.kind !== 'client') throw new Error('there is no such read')
  const operations = stale.operations.map((operation) =>
    operation.kind === 'read' ? { ...operation, list: operation.list?.slice(0, 1) } : operation,
  )
  const { counts } = checkHistory(withOperations(history, stale.index, operations))
  expect(Object.keys(counts).join()).toMatch(/G-single|internal/)
})
