import { expect, test } from 'vitest'
import type { LogIndex } from '../raft/index.ts'
import type { Position } from '../wal/index.ts'
import { EntryIndex } from './entry-index.ts'

const at = (index: number) => index as LogIndex

function indexOf(...rows: readonly (readonly [number, number])[]): EntryIndex {
  const index = new EntryIndex()
  for (const [firstIndex, position] of rows) index.put(at(firstIndex), position as Position)
  return index
}

function positionOf(index: EntryIndex, entry: number): number | undefined {
  const row = index.rowOf(at(entry))
  return row === undefined ? undefined : index.positionAt(row)
}

test('an entry is found in the record that begins at or before it', () => {
  const index = indexOf([1, 100], [4, 200], [5, 300])
  expect([0, 1, 3, 4, 5, 99].map((entry) => positionOf(index, entry))).toEqual([undefined, 100, 100, 200, 300, 300])
})

test('a record that begins at or before others takes their place', () => {
  const index = indexOf([1, 100], [4, 200], [5, 300], [4, 400])
  expect(index.endRow).toBe(2)
  expect([3, 4, 5].map((entry) => positionOf(index, entry))).toEqual([100, 400, 400])
})

test('a record that begins within another one cuts its end off and keeps its row', () => {
  const index = indexOf([1, 100], [3, 200])
  expect([1, 2, 3].map((entry) => positionOf(index, entry))).toEqual([100, 100, 200])
})

test('rows beyond one chunk are found, also after the log was cut back across chunks', () => {
  const index = new EntryIndex()
  for (let entry = 1; entry <= 50_000; entry++) index.put(at(entry), (entry * 10) as Position)
  for (const entry of [1, 16_384, 16_385, 32_768, 32_769, 50_000]) expect(positionOf(index, entry)).toBe(entry * 10)
  index.put(at(100), 7 as Position)
  expect(index.endRow).toBe(100)
  for (let entry = 101; entry <= 20_000; entry++) index.put(at(entry), (entry * 10) as Position)
  expect([99, 100, 101, 20_000].map((entry) => positionOf(index, entry))).toEqual([990, 7, 1010, 200_000])
})

test('rows that were dropped from the beginning are gone, and the others keep their numbers', () => {
  const index = new EntryIndex()
  for (let entry = 1; entry <= 50_000; entry++) index.put(at(entry), (entry * 10) as Position)
  for (const row of [1, 16_383, 16_384, 40_000]) {
    index.dropBefore(row)
    expect([index.firstRow, index.endRow]).toEqual([row, 50_000])
    expect(positionOf(index, row)).toBeUndefined()
    expect(positionOf(index, row + 1)).toBe((row + 1) * 10)
    expect(positionOf(index, 50_000)).toBe(500_000)
  }
  index.dropBefore(50_000)
  expect(positionOf(index, 50_000)).toBeUndefined()
  index.put(at(50_001), 1 as Position)
  expect(positionOf(index, 50_001)).toBe(1)
})

test('an index that was cleared after rows were dropped begins anew', () => {
  const index = new EntryIndex()
  for (let entry = 1; entry <= 20_000; entry++) index.put(at(entry), (entry * 10) as Position)
  index.dropBefore(17_000)
  index.clear()
  expect(index.firstRow).toBe(index.endRow)
  for (let entry = 5; entry <= 20_000; entry++) index.put(at(entry), (entry * 20) as Position)
  expect([4, 5, 20_000].map((entry) => positionOf(index, entry))).toEqual([undefined, 100, 400_000])
})

test('the first row at or behind a position is found', () => {
  const index = indexOf([1, 100], [4, 200], [5, 300])
  expect([0, 100, 101, 300, 301].map((position) => index.rowFrom(position as Position))).toEqual([0, 0, 1, 2, 3])
})
