import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Durability } from './durability.ts'
import { Log } from './log.ts'
import { emptyState } from './recovered.ts'
import { append, appendsOf, at, entriesOf, id, OneNode, only, recoveredLog, sentOf, term } from './testing/one-node.ts'

/** A serving leader with `count` entries besides its no-op, all durable and applied, and acknowledged by node 2 only. */
function leaderOf(count: number, overrides = {}): OneNode {
  const node = new OneNode(undefined, overrides)
  node.becomeServing()
  for (let i = 0; i < count; i++) node.written(node.propose(1))
  node.acknowledge(id(2), 1 + count)
  return node
}

test('a compacted log answers as before from its base on, and knows nothing below it', () => {
  const terms = fc.array(fc.nat(2), { minLength: 1, maxLength: 20 }).map((steps) =>
    steps.map(
      (
        (value) => (step: number) =>
          (value += step === 2 ? 1 : 0)
      )(1),
    ),
  )
  fc.assert(
    fc.property(terms, fc.array(fc.nat(20)), (array, cuts) => {
      const log = new Log(emptyState())
      log.append(entriesOf(array))
      for (const cut of [...cuts].sort((a, b) => a - b)) {
        if (cut <= log.baseIndex || cut > array.length) continue
        log.compactTo(at(cut))
        log.validate()
        expect(log.baseIndex).toBe(cut)
        for (let index = cut; index <= array.length; index++) expect(log.termAt(at(index))).toBe(array[index - 1])
        expect(log.matches(at(cut - 1), term(array[cut - 2] ?? 0))).toBe(false)
        expect(log.lastTerm).toBe(array.at(-1))
      }
      const next = array.at(-1)!
      log.append(entriesOf([next, next + 1], array.length + 1))
      log.validate()
      expect(log.termAt(at(array.length + 2))).toBe(next + 1)
    }),
  )
})

test('compaction frees the bytes of what is forgotten, however much the cache may hold', () => {
  const node = leaderOf(3)
  node.step({ kind: 'compact', through: at(3) })
  expect(node.raft.status()).toMatchObject({ baseIndex: 3, lastIndex: 4, lastApplied: 4 })
})

test('a snapshot older than the log is no reason to compact', () => {
  const node = leaderOf(3)
  node.step({ kind: 'compact', through: at(3) })
  expect(node.step({ kind: 'compact', through: at(2) })).toEqual([])
  expect(node.raft.status().baseIndex).toBe(3)
})

test('what is not applied can not be compacted', () => {
  const node = leaderOf(1)
  node.propose(1)
  expect(() => node.step({ kind: 'compact', through: at(3) })).toThrow(/only what was applied/)
})

test('a follower that only lacks what is still in the log gets entries', () => {
  const node = leaderOf(3)
  node.step({ kind: 'compact', through: at(2) })
  // Node 3 acknowledged the no-op and then lost its connection.
  node.step({ kind: 'unreachable', peer: id(3) })
  expect(appendsOf(node.tick(2), id(3))).toMatchObject([{ prevLogIndex: 2, entries: [] }])
  const effects = node.acknowledge(id(3), 2)
  expect(appendsOf(effects, id(3))[0]!.entries.map(({ index }) => Number(index))).toEqual([3, 4])
  expect(only(effects, 'sendSnapshot')).toEqual([])
})

test('a follower that acknowledged less than was compacted is asked before a snapshot is sent', () => {
  const node = leaderOf(3)
  node.step({ kind: 'unreachable', peer: id(3) })
  const effects = node.step({ kind: 'compact', through: at(3) })
  expect(appendsOf(effects, id(3))).toMatchObject([{ prevLogIndex: 3 }])
  expect(only(effects, 'sendSnapshot')).toEqual([])
  expect(only(node.refuse(id(3), 3, 1, 1), 'sendSnapshot')).toEqual([{ kind: 'sendSnapshot', to: 3, term: 1 }])
})

test('a load for a follower is forgotten when compaction takes it: no answer may come', () => {
  const node = leaderOf(3, { cacheBytesMax: 0 })
  node.step({ kind: 'unreachable', peer: id(3) })
  const asked = node.acknowledge(id(3), 2)
  expect(only(asked, 'load')).toMatchObject([{ from: 3, to: 4 }])
  // It had been sent those before, and acknowledges them after all.
  node.acknowledge(id(3), 3)
  const compacted = node.step({ kind: 'compact', through: at(3) })
  expect(only(compacted, 'load')).toMatchObject([{ from: 4, to: 4 }])
})

test('a late message that begins below the log is taken for what it holds behind the base', () => {
  const recovered = { ...recoveredLog([1, 1, 1]), lastApplied: at(3) }
  const node = new OneNode(recovered)
  node.step({ kind: 'compact', through: at(2) })
  const effects = node.receive(append({ entries: entriesOf([1, 1, 1, 1]) }))
  expect(node.raft.status().lastIndex).toBe(4)
  expect(only(effects, 'write')[0]!.entries.map(({ index }) => Number(index))).toEqual([4])
})

test('a message that lies below the log altogether is acknowledged', () => {
  const node = new OneNode({ ...recoveredLog([1, 1, 1]), lastApplied: at(3) })
  node.step({ kind: 'compact', through: at(3) })
  expect(sentOf(node.receive(append({ entries: entriesOf([1]) })))).toMatchObject([{ success: true, matchIndex: 3 }])
})

test('an election after a compaction counts the base as the last entry', () => {
  const node = new OneNode({ ...recoveredLog([1, 2]), lastApplied: at(2) })
  node.step({ kind: 'compact', through: at(2) })
  const [request] = sentOf(node.timeOut())
  expect(request).toMatchObject({ kind: 'requestVote', lastLogIndex: 2, lastLogTerm: 2 })
})

test('a leader that compacted its own no-op goes on', () => {
  const node = leaderOf(2)
  node.step({ kind: 'compact', through: at(3) })
  expect(appendsOf(node.propose(1), id(2))).toMatchObject([{ prevLogIndex: 3, prevLogTerm: 1 }])
})

test('a durable snapshot makes durable what it covers', () => {
  const node = leaderOf(0)
  node.propose(1)
  node.acknowledge(id(2), 2)
  node.acknowledge(id(3), 2)
  expect(node.raft.status()).toMatchObject({ lastApplied: 2, durableIndex: 1 })
  node.step({ kind: 'compact', through: at(2) })
  expect(node.raft.status().durableIndex).toBe(2)
})

test('after an installed snapshot the writes of the log before it prove nothing behind it', () => {
  const durability = new Durability(at(0))
  const old = durability.begin(term(1), at(9))
  durability.beginAfter(at(5))
  const fresh = durability.begin(term(2), at(7))
  durability.complete(old, term(1))
  expect(durability.durableIndex).toBe(5)
  durability.complete(fresh, term(2))
  expect(durability.durableIndex).toBe(7)
})
