import { expect, test } from 'vitest'
import { simpleConfiguration } from './configuration.ts'
import {
  append,
  appliedOf,
  at,
  chunk,
  entriesOf,
  id,
  OneNode,
  only,
  recoveredLog,
  sentOf,
  snapshotAt,
  term,
  unlocksOf,
  voteRequest,
  writesOf,
} from './testing/one-node.ts'
import type { RaftEffect } from './types.ts'

const SNAPSHOT = snapshotAt(10, 2)
const CONFIGURATION = simpleConfiguration([id(1), id(2), id(3)])

/** Follower 1 of leader 2 in term 3, with these terms on disk. */
function follower(terms: readonly number[] = [1, 1]): OneNode {
  const node = new OneNode(recoveredLog(terms, { currentTerm: term(3) }))
  node.receive(append({ term: term(3) }))
  return node
}

function stored(node: OneNode, receivedBytes: number, complete = false, fields = {}): RaftEffect[] {
  const from = { from: id(2), term: term(3), snapshot: SNAPSHOT, snapshotId: 7 }
  return node.step({ kind: 'chunkStored', ...from, receivedBytes, complete, ...fields })
}

/** A follower that was asked to install the snapshot. */
function installing(terms?: readonly number[]): OneNode {
  const node = follower(terms)
  node.receive(chunk({ term: term(3) }))
  stored(node, 100, true)
  return node
}

function install(node: OneNode): RaftEffect[] {
  return node.step({ kind: 'snapshotInstalled', snapshot: SNAPSHOT, configuration: CONFIGURATION })
}

test('Raft §7: a chunk is the word of the leader, and is stored', () => {
  const node = new OneNode(recoveredLog([1], { currentTerm: term(2) }))
  const message = chunk({ term: term(3), from: id(3) })
  expect(only(node.receive(message), 'storeChunk')).toEqual([{ kind: 'storeChunk', message }])
  expect(node.raft.status()).toMatchObject({ role: 'follower', leader: 3, currentTerm: 3 })
  for (let i = 0; i < 10; i++) {
    node.tick(9)
    node.receive(message)
  }
  expect(node.raft.status().role).toBe('follower')
})

test('a stored chunk is acknowledged with how far the snapshot has come', () => {
  const node = follower()
  expect(sentOf(stored(node, 40))).toMatchObject([
    { kind: 'installSnapshotResponse', to: 2, term: 3, snapshotId: 7, receivedBytes: 40, status: 'receiving' },
  ])
})

test('a chunk of an earlier term is refused with the present term and not stored', () => {
  const effects = follower().receive(chunk({ term: term(2) }))
  expect(effects).toMatchObject([{ kind: 'send', message: { term: 3, status: 'refused' } }])
})

test('a chunk that is stored when its sender leads no more is not acknowledged, nor installed', () => {
  const node = follower()
  node.receive(append({ term: term(4), from: id(3) }))
  expect(stored(node, 100, true)).toEqual([])
})

test('a complete snapshot is installed', () => {
  const effects = stored(follower(), 100, true)
  expect(only(effects, 'installSnapshot')).toEqual([{ kind: 'installSnapshot', snapshot: SNAPSHOT, snapshotId: 7 }])
})

test('Figure 13, rules 7 and 8: an installed snapshot takes the place of log, state and configuration', () => {
  const node = installing()
  const configuration = simpleConfiguration([id(1), id(2)], [id(3)])
  const effects = node.step({ kind: 'snapshotInstalled', snapshot: SNAPSHOT, configuration })
  expect(sentOf(effects)).toMatchObject([{ kind: 'installSnapshotResponse', snapshot: SNAPSHOT, status: 'installed' }])
  const position = { baseIndex: 10, lastIndex: 10, commitIndex: 10, lastApplied: 10, durableIndex: 10 }
  expect(node.raft.status()).toMatchObject({ ...position, configuration })
  const next = append({ term: term(3), prevLogIndex: at(10), prevLogTerm: term(2), leaderCommit: at(11) })
  expect(appliedOf(node.receive({ ...next, entries: entriesOf([3], 11) }))).toEqual([11])
})

test('the whole log goes, even what lies behind the snapshot, for it differs from the leader before that already', () => {
  const node = installing(Array.from({ length: 15 }, () => 1))
  install(node)
  expect(node.raft.status()).toMatchObject({ lastIndex: 10, durableIndex: 10 })
})

test('Figure 13, rule 6: a log that has the last entry of the snapshot is kept, and only commits up to it', () => {
  const node = follower([1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2])
  const effects = node.receive(chunk({ term: term(3) }))
  expect(only(effects, 'storeChunk')).toEqual([])
  expect(sentOf(effects)).toMatchObject([{ status: 'installed' }])
  expect(node.raft.status()).toMatchObject({ commitIndex: 10, lastIndex: 11, baseIndex: 0 })
})

test('a snapshot of what is committed here is answered as installed, and not stored', () => {
  const node = new OneNode({ ...recoveredLog([1, 1, 1]), lastApplied: at(3) })
  const effects = node.receive(chunk({ term: term(3), snapshot: snapshotAt(2, 1) }))
  expect(only(effects, 'storeChunk')).toEqual([])
  expect([...sentOf(effects), ...unlocksOf(effects)]).toMatchObject([{ status: 'installed', snapshot: { index: 2 } }])
})

test('what is committed but not durable here is not called installed: its own acknowledgement comes later', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(3) }))
  const written = node.receive(append({ term: term(3), entries: entriesOf([1, 1]), leaderCommit: at(2) }))
  expect(node.receive(chunk({ term: term(3), snapshot: snapshotAt(2, 1) }))).toEqual([])
  expect(unlocksOf(written)).toMatchObject([{ matchIndex: 2 }])
  node.written(written)
  expect(sentOf(node.receive(chunk({ term: term(3), snapshot: snapshotAt(2, 1) })))).toMatchObject([
    { status: 'installed' },
  ])
})

test('entries that came while the snapshot was on its way make it needless', () => {
  const node = follower([])
  node.receive(chunk({ term: term(3) }))
  node.written(node.receive(append({ term: term(3), entries: entriesOf([1, 1, 1, 1, 1, 1, 1, 1, 1, 2]) })))
  const effects = stored(node, 100, true)
  expect(only(effects, 'installSnapshot')).toEqual([])
  expect(sentOf(effects)).toMatchObject([{ status: 'installed' }])
  expect(node.raft.status()).toMatchObject({ commitIndex: 10, baseIndex: 0 })
})

test('while a snapshot is put in force, AppendEntries are heartbeats: nothing is appended, nothing is committed', () => {
  const node = installing()
  const effects = node.receive(
    append({ term: term(3), entries: entriesOf([1, 1, 1]), leaderCommit: at(3), readRound: 4 }),
  )
  expect(effects).toMatchObject([{ kind: 'send', message: { success: true, matchIndex: 0, readRound: 4 } }])
  expect(node.raft.status()).toMatchObject({ lastIndex: 2, commitIndex: 0 })
})

test('while a snapshot is put in force, further chunks wait for no answer', () => {
  const node = installing()
  expect(node.receive(chunk({ term: term(3) }))).toEqual([])
  expect(stored(node, 100, true)).toEqual([])
})

test('while a snapshot is put in force, the node does not campaign, not even when it is told to', () => {
  const node = installing()
  expect(node.receive({ kind: 'timeoutNow', from: id(2), to: id(1), term: term(3) })).toEqual([])
  node.tick(100)
  expect(node.raft.status().role).toBe('follower')
  install(node)
  node.timeOut()
  expect(node.raft.status().role).toBe('preCandidate')
})

test('while a snapshot is put in force, the node votes by the log that it has', () => {
  const node = installing()
  node.tick(10)
  const effects = node.receive(voteRequest({ from: id(3), term: term(4), lastLogIndex: at(2), lastLogTerm: term(1) }))
  expect(unlocksOf(effects)).toMatchObject([{ voteGranted: true }])
  node.written(effects)
  install(node)
  expect(node.raft.status()).toMatchObject({ currentTerm: 4, votedFor: 3, lastIndex: 10 })
})

test('a leader that came meanwhile hears that the snapshot is in force: it has all that is committed', () => {
  const node = installing()
  node.receive(append({ term: term(4), from: id(3), prevLogIndex: at(20), prevLogTerm: term(3) }))
  expect(sentOf(install(node))).toMatchObject([{ to: 3, term: 4, status: 'installed', snapshot: SNAPSHOT }])
})

test('what was being loaded to be applied is part of the snapshot: a late answer is ignored', () => {
  const node = follower()
  const commit = append({ term: term(3), prevLogIndex: at(2), prevLogTerm: term(1), leaderCommit: at(2) })
  const [load] = only(node.receive(commit), 'load')
  node.receive(chunk({ term: term(3) }))
  stored(node, 100, true)
  expect(node.step({ kind: 'loaded', loadId: load!.loadId, entries: entriesOf([1, 1]) })).toEqual([])
  install(node)
  expect(node.raft.status().lastApplied).toBe(10)
})

test('a rejected snapshot is refused, and the node goes on with its log', () => {
  const node = follower()
  const commit = append({ term: term(3), prevLogIndex: at(2), prevLogTerm: term(1), leaderCommit: at(2) })
  node.receive(commit)
  node.receive(chunk({ term: term(3) }))
  stored(node, 100, true)
  const effects = node.step({ kind: 'snapshotRejected', snapshot: SNAPSHOT })
  expect(sentOf(effects)).toMatchObject([{ status: 'refused' }])
  expect(only(effects, 'load')).toMatchObject([{ from: 1, to: 2 }])
  expect(node.raft.status()).toMatchObject({ lastIndex: 2, baseIndex: 0 })
})

test('a write of the discarded log that completes late proves nothing about the new one (ABA)', () => {
  const node = follower([])
  const old = node.receive(append({ term: term(3), entries: entriesOf(Array.from({ length: 12 }, () => 1)) }))
  node.receive(chunk({ term: term(3) }))
  stored(node, 100, true)
  install(node)
  const next = append({ term: term(3), prevLogIndex: at(10), prevLogTerm: term(2), entries: entriesOf([3, 3], 11) })
  const fresh = node.receive(next)
  node.written(old)
  expect(node.raft.status()).toMatchObject({ durableIndex: 10, lastIndex: 12 })
  node.written(fresh)
  expect(node.raft.status().durableIndex).toBe(12)
})

test('an installation that was not asked for breaks an invariant', () => {
  expect(() => install(follower())).toThrow(/what was asked for is installed/)
  expect(() => follower().step({ kind: 'snapshotRejected', snapshot: SNAPSHOT })).toThrow(/what was asked for/)
})

test('an outdated leader steps down when a follower answers its chunk with a higher term', () => {
  const node = new OneNode()
  node.becomeServing()
  const effects = node.receive({
    kind: 'installSnapshotResponse',
    from: id(3),
    to: id(1),
    term: term(9),
    snapshot: SNAPSHOT,
    snapshotId: 7,
    receivedBytes: 0,
    status: 'refused',
  })
  expect(writesOf(effects)).toMatchObject([{ hardState: { currentTerm: 9 } }])
  expect(node.raft.status().role).toBe('follower')
})
