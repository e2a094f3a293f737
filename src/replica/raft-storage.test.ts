import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, expect, test } from 'vitest'
import { type NodeId, parseNodeId, systemClock } from '../base/index.ts'
import {
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  type Term,
  type WriteEffect,
  type WriteId,
} from '../raft/index.ts'
import { MemoryDisk, Wal } from '../wal/index.ts'
import { CLUSTER, eventually } from './fleet.support.ts'
import { RaftStorage } from './raft-storage.ts'
import { encodeEntries, encodeHardState, RecordType } from './records.ts'

const NODE = parseNodeId(1)
let disk = new MemoryDisk()
let storage: RaftStorage | undefined

afterEach(async () => {
  await storage?.close()
  storage = undefined
  disk = new MemoryDisk()
})

async function open(segmentBytesMax = 64 * 1024): Promise<RaftStorage> {
  await storage?.close()
  const onFailure = (error: Error) => {
    throw error
  }
  const identity = { clusterId: CLUSTER, nodeId: NODE }
  storage = await RaftStorage.open({
    disk,
    directory: '/log',
    ...identity,
    segmentBytesMax,
    clock: systemClock,
    onFailure,
  })
  return storage
}

function entriesOf(term: number, from: number, to: number, size = 3): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, at) => ({
    term: term as Term,
    index: (from + at) as LogIndex,
    kind: EntryKind.command,
    data: Buffer.from(`${term}:${from + at}`.padEnd(size, '.')),
  }))
}

function write(entries: readonly Entry[], hardState?: HardState): WriteEffect {
  const term = hardState?.currentTerm ?? entries.at(-1)!.term
  return { kind: 'write', writeId: 1 as WriteId, term, hardState, entries, unlocks: [] }
}

const hardState = (term: number, votedFor?: NodeId, commitIndex = 0): HardState => ({
  currentTerm: term as Term,
  votedFor,
  commitIndex: commitIndex as LogIndex,
})

function append(target: RaftStorage, ...writes: WriteEffect[]): Promise<void> {
  return new Promise((resolve) => target.append(writes, [], resolve))
}

async function texts(target: RaftStorage, from: number, to: number, bytesMax = 1e6): Promise<string[]> {
  const entries = await target.load(from as LogIndex, to as LogIndex, bytesMax)
  return entries.map(({ data }) => Buffer.from(data).toString())
}

test('an empty directory is a node that knows nothing', async () => {
  const { recovered, peers, durableIndex } = await open()
  expect(recovered).toMatchObject({ hardState: hardState(0), lastIndex: 0, termRuns: [], lastApplied: 0 })
  expect([peers.size, durableIndex]).toEqual([0, 0])
})

test('votes, terms, entries and peers come back after a restart', async () => {
  const before = await open()
  await append(before, write(entriesOf(1, 1, 4), hardState(1, NODE)), write(entriesOf(3, 5, 6), hardState(3)))
  const peer = { nodeId: parseNodeId(2), storeId: 'ab'.repeat(16), acknowledged: 5 }
  await new Promise<void>((resolve) => before.append([], [peer], resolve))
  const { recovered, peers, storeId, durableIndex } = await open()
  expect(storeId).toBe(before.storeId)
  expect(recovered.hardState).toEqual(hardState(3))
  expect(recovered.termRuns).toEqual([
    { term: 1, firstIndex: 1 },
    { term: 3, firstIndex: 5 },
  ])
  expect([recovered.lastIndex, durableIndex]).toEqual([6, 6])
  expect([...peers.values()]).toEqual([peer])
})

test('Raft §5.3: entries written at or below the last index replace it and all behind it, in memory and on disk', async () => {
  const before = await open()
  await append(before, write(entriesOf(1, 1, 10), hardState(1)))
  await append(before, write(entriesOf(2, 4, 5), hardState(2)))
  expect(before.durableIndex).toBe(5)
  const expected = ['1:1', '1:2', '1:3', '2:4', '2:5']
  expect(await texts(before, 1, 5)).toEqual(expected)
  const after = await open()
  expect(after.recovered).toMatchObject({ lastIndex: 5, hardState: { currentTerm: 2 } })
  expect(after.recovered.termRuns.map(({ firstIndex }) => firstIndex)).toEqual([1, 4])
  expect(await texts(after, 1, 5)).toEqual(expected)
})

test('a run that was replaced from its first entry on is forgotten', async () => {
  const before = await open()
  await append(before, write(entriesOf(1, 1, 3), hardState(1)), write(entriesOf(2, 4, 6), hardState(2)))
  await append(before, write(entriesOf(3, 4, 4), hardState(3)))
  expect((await open()).recovered.termRuns).toEqual([
    { term: 1, firstIndex: 1 },
    { term: 3, firstIndex: 4 },
  ])
})

test('a load returns at least the first entry, then what fits, without a gap', async () => {
  const target = await open()
  await append(target, write(entriesOf(1, 1, 30, 100), hardState(1)))
  await append(target, write(entriesOf(1, 31, 60, 100)))
  expect(await texts(target, 20, 60, 1)).toHaveLength(1)
  const part = await texts(target, 20, 60, 500)
  expect(part.map((text) => text.slice(0, 4))).toEqual(['1:20', '1:21', '1:22', '1:23', '1:24'])
  expect(await texts(target, 25, 35)).toHaveLength(11)
  expect((await texts(target, 60, 60))[0]).toMatch(/^1:60/)
})

test('entries larger than a record, and logs of many segments, read back', async () => {
  const target = await open(64 * 1024)
  await append(target, write(entriesOf(1, 1, 40, 20_000), hardState(1)))
  expect(await texts(target, 1, 40, 1e9)).toHaveLength(40)
  const again = await open(64 * 1024)
  expect(again.recovered.lastIndex).toBe(40)
  expect((await texts(again, 39, 40))[1]).toMatch(/^1:40\.+$/)
})

test('a load that is overtaken by a cut of the log never returns what was cut', async () => {
  const target = await open()
  await append(target, write(entriesOf(1, 1, 10), hardState(1)))
  const loading = texts(target, 4, 10)
  await append(target, write(entriesOf(2, 3, 3), hardState(2)))
  expect((await loading).filter((text) => !text.startsWith('1:'))).toEqual([])
  expect(await texts(target, 3, 3)).toEqual(['2:3'])
})

test('a load of entries that are cut off before it begins returns none', async () => {
  const target = await open()
  await append(target, write(entriesOf(1, 1, 10), hardState(1)))
  await append(target, write(entriesOf(2, 5, 5), hardState(2)))
  expect(await texts(target, 8, 10)).toEqual([])
  expect((await texts(target, 5, 10)).at(-1)).toBe('2:5')
})

test.each([
  ['a record of an unknown type', 77, Buffer.from('x'), /unknown type 77/],
  ['a record that ends early', RecordType.entries, Buffer.from([0, 0, 0]), /kind "entries"/],
  ['a record with bytes left over', RecordType.hardState, Buffer.alloc(11), /left over/],
  [
    'a gap between entries',
    RecordType.entries,
    encodeEntries(entriesOf(1, 7, 7), 0, 1),
    /entry 7 .* gap after entry 3/,
  ],
  [
    'a term that falls along the log',
    RecordType.entries,
    encodeEntries(entriesOf(0, 4, 4), 0, 1),
    /term 0, after term 1/,
  ],
  ['a current term that falls', RecordType.hardState, encodeHardState(hardState(0)), /term falls from 1 to 0/],
  [
    'entries of a term that was never entered',
    RecordType.entries,
    encodeEntries(entriesOf(9, 4, 4), 0, 1),
    /only knew term 1/,
  ],
])('%s keeps the node from starting', async (_, type, payload, message) => {
  await append(await open(), write(entriesOf(1, 1, 3), hardState(1)))
  await storage!.close()
  const wal = await Wal.open({
    disk,
    directory: '/log',
    identity: { clusterId: CLUSTER, nodeId: NODE },
    segmentBytesMax: 64 * 1024,
    onFailure: () => {},
    onRecord: () => {},
  })
  await new Promise<void>((resolve) => wal.append([{ type, payload }], resolve))
  await wal.close()
  const opening = open()
  await expect(opening).rejects.toMatchObject({ code: 'REPLICA_LOG_MALFORMED' })
  await expect(opening).rejects.toThrow(message)
})

test('a log of many small entries costs 16 bytes of memory for each record, and no more', async () => {
  const count = 100_000
  const target = await open(1024 * 1024)
  for (let from = 1; from <= count; from += 1000) {
    // One record for each entry: the most that can be needed.
    const writes = entriesOf(1, from, from + 999).map((entry) => write([entry], from === 1 ? hardState(1) : undefined))
    await append(target, ...writes)
  }
  await target.close()
  storage = undefined
  const before = Math.min(...(await Promise.all([usedBytes(), later(usedBytes), later(usedBytes)])))
  const again = await open(1024 * 1024)
  expect(again.recovered.lastIndex).toBe(count)
  // Segments are read one at a time, so besides the index little stays.
  // What was read is freed in the background, so it may take a moment.
  await eventually('memory is given back', () => usedBytes() - before < count * 16 + 4 * 1024 * 1024)
  expect(await texts(again, count, count)).toEqual([`1:${count}`])
})

function later(measure: () => number): Promise<number> {
  return new Promise((resolve) => setTimeout(() => resolve(measure()), 50))
}

function usedBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
