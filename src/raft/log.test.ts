import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Log } from './log.ts'
import { ENTRY_OVERHEAD_BYTES } from './positions.ts'
import { emptyState } from './recovered.ts'
import { TermRuns } from './term-runs.ts'
import { at, entriesOf, recoveredLog, term } from './testing/one-node.ts'

/** Ascending terms, as a log has them. */
const terms = fc.array(fc.nat(3), { maxLength: 20 }).map((steps) => {
  let value = 1
  return steps.map((step) => {
    value += step === 3 ? 1 : step === 2 ? 2 : 0
    return value
  })
})

test('runs of terms answer as an array of terms would', () => {
  fc.assert(
    fc.property(terms, fc.nat(25), fc.nat(12), (array, index, bound) => {
      const runs = new TermRuns(at(0), term(0), recoveredLog(array).termRuns)
      for (const [position, value] of array.entries()) expect(runs.termAt(at(position + 1))).toBe(value)
      const within = Math.min(index, array.length)
      let slow = within
      while (slow > 0 && array[slow - 1]! > bound) slow--
      expect(runs.highestWithin(at(within), term(bound))).toBe(slow)
    }),
  )
})

test('appending and cutting keep the runs, the cache and the end of the log together', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 4 }), newTerm: fc.boolean() }),
    fc.record({ kind: fc.constant('cut' as const), keep: fc.nat(20) }),
    fc.record({ kind: fc.constant('evict' as const), through: fc.nat(20), bytesMax: fc.nat(300) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const log = new Log(emptyState())
      const model: number[] = []
      let newest = 1
      for (const action of steps) {
        if (action.kind === 'append') {
          if (action.newTerm) newest++
          const added = Array.from({ length: action.count }, () => newest)
          log.append(entriesOf(added, model.length + 1, 10))
          model.push(...added)
        } else if (action.kind === 'cut' && action.keep < model.length) {
          log.truncateFrom(at(action.keep + 1))
          model.length = action.keep
        } else if (action.kind === 'evict') {
          log.evict(at(Math.min(action.through, model.length)), action.bytesMax)
        }
        log.validate()
        expect(log.lastIndex).toBe(model.length)
        for (const [position, value] of model.entries()) expect(log.termAt(at(position + 1))).toBe(value)
      }
    }),
  )
})

test('eviction frees the oldest entries first, until the limit holds, and never goes beyond what it may', () => {
  const log = new Log(emptyState())
  log.append(entriesOf([1, 1, 1, 1, 1], 1, 100))
  log.evict(at(5), 2 * (100 + ENTRY_OVERHEAD_BYTES))
  expect(log.cachedFrom).toBe(4)
  log.evict(at(4), 0)
  expect(log.cachedFrom).toBe(5)
  expect(log.termAt(at(1))).toBe(1)
})

test('thousands of evicted entries leave a cache that still answers', () => {
  const log = new Log(emptyState())
  for (let index = 1; index <= 5000; index++) {
    log.append(entriesOf([1], index, 10))
    log.evict(at(index), 100)
  }
  log.validate()
  expect(log.sliceAll(log.cachedFrom, at(5000)).map((entry) => Number(entry.index))).toEqual([4999, 5000])
})

test('a slice takes as many entries as fit, and one larger entry alone', () => {
  const log = new Log(emptyState())
  log.append(entriesOf([1, 1, 1], 1, 100))
  const size = 100 + ENTRY_OVERHEAD_BYTES
  expect(log.slice(at(1), at(3), 2 * size)).toHaveLength(2)
  expect(log.slice(at(1), at(3), 2 * size - 1)).toHaveLength(1)
  expect(log.slice(at(2), at(3), 1)).toHaveLength(1)
})

test('a log may begin above index 1: its base answers with its term', () => {
  const base = { baseIndex: at(10), baseTerm: term(3), lastIndex: at(12), lastApplied: at(10) }
  const log = new Log({ ...emptyState(), ...base, termRuns: [{ term: term(3), firstIndex: at(11) }] })
  expect(log.matches(at(10), term(3))).toBe(true)
  expect(log.matches(at(9), term(3))).toBe(false)
  expect(log.highestWithin(at(12), term(2))).toBe(10)
  expect(() => log.termAt(at(9))).toThrow(/snapshot/)
})

test('runs that contradict themselves are refused', () => {
  const run = (value: number, firstIndex: number) => ({ term: term(value), firstIndex: at(firstIndex) })
  expect(() => new TermRuns(at(0), term(0), [run(1, 2)])).toThrow(/first run/)
  expect(() => new TermRuns(at(0), term(0), [run(2, 1), run(1, 3)])).toThrow(/term/)
  expect(() => new TermRuns(at(0), term(0), [run(1, 1), run(2, 1)])).toThrow(/index/)
})
