import { expect, test } from 'vitest'
import { Prng } from '../../base/index.ts'
import { OrderedMap } from './ordered-map.ts'

test('it is a map whose keys can be walked in order, over thousands of changes', () => {
  const prng = new Prng(1)
  const ordered = new OrderedMap<number>()
  const plain = new Map<string, number>()
  for (let round = 0; round < 6000; round++) {
    const key = `k${prng.below(3000)}`
    if (prng.chance(0.3)) expect(ordered.delete(key)).toBe(plain.delete(key))
    else {
      ordered.set(key, round)
      plain.set(key, round)
    }
    expect(ordered.get(key)).toBe(plain.get(key))
    if (round % 500 > 0) continue
    const sorted = [...plain].sort(([a], [b]) => (a < b ? -1 : 1))
    expect([...ordered.entries()]).toEqual(sorted)
    expect([...ordered.entries('k1', 'k25')]).toEqual(sorted.filter(([each]) => each >= 'k1' && each < 'k25'))
    expect(ordered.size).toBe(plain.size)
  }
  for (const key of plain.keys()) ordered.delete(key)
  expect([...ordered.entries()]).toEqual([])
})
