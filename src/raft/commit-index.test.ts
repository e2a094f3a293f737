import { expect, test } from 'vitest'
import { simpleConfiguration } from './configuration.ts'
import { encodeConfiguration } from './configuration-codec.ts'
import {
  append,
  appliedOf,
  at,
  entriesOf,
  id,
  OneNode,
  only,
  recoveredLog,
  sentOf,
  term,
  voteRequest,
  writesOf,
} from './testing/one-node.ts'
import { type Entry, EntryKind } from './types.ts'

const CONFIGURATION = encodeConfiguration({
  configuration: simpleConfiguration([id(1), id(2), id(3)]),
  context: new Uint8Array(0),
})

/** An entry with the configuration that is in force anyway. */
function configurationEntry(index: number): Entry {
  return { term: term(1), index: at(index), kind: EntryKind.configuration, data: CONFIGURATION }
}

test('each write with a configuration says how much is committed before it', () => {
  const node = new OneNode(recoveredLog([1, 1], { currentTerm: term(1) }))
  const effects = node.receive(
    append({
      prevLogIndex: at(2),
      prevLogTerm: term(1),
      entries: [...entriesOf([1], 3), configurationEntry(4)],
      leaderCommit: at(2),
    }),
  )
  const writes = writesOf(effects)
  expect(writes.map(({ hardState, entries }) => [hardState?.commitIndex, entries.map(({ index }) => index)])).toEqual([
    [undefined, [3]],
    [2, [4]],
  ])
})

test('of two configurations in one message, the second is written behind the proof that the first is committed', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(1) }))
  const entries = [configurationEntry(1), ...entriesOf([1], 2), configurationEntry(3)]
  const writes = writesOf(node.receive(append({ entries, leaderCommit: at(2) })))
  expect(writes.map(({ hardState }) => hardState?.commitIndex)).toEqual([0, 2])
  expect(writes.map(({ unlocks }) => unlocks.length)).toEqual([0, 1])
  expect(writes.map(({ entries: written }) => written.map(({ index }) => Number(index)))).toEqual([[1, 2], [3]])
})

test('a configuration in force is on disk as committed: of two voters, the one that is left needs no vote of the other', () => {
  const two = simpleConfiguration([id(1), id(2)])
  const node = new OneNode(recoveredLog([], { currentTerm: term(1) }), { configuration: two })
  const alone = { ...simpleConfiguration([id(1)]), retired: [id(2)] }
  const data = encodeConfiguration({ configuration: alone, context: new Uint8Array(0) })
  const entry: Entry = { term: term(1), index: at(1), kind: EntryKind.configuration, data }
  node.receive(append({ entries: [entry] }))
  const effects = node.receive(append({ prevLogIndex: at(1), prevLogTerm: term(1), leaderCommit: at(1) }))
  expect(writesOf(effects)).toMatchObject([{ hardState: { commitIndex: 1 }, entries: [] }])
})

test('a hard state calls nothing committed that the same write replaces: a crash may come in between', () => {
  const node = new OneNode(recoveredLog([1, 1, 1], { currentTerm: term(1) }))
  const message = append({ term: term(2), prevLogIndex: at(1), prevLogTerm: term(1), leaderCommit: at(3) })
  const effects = node.receive({ ...message, entries: entriesOf([2, 2], 2) })
  expect(node.raft.status().commitIndex).toBe(3)
  expect(writesOf(effects)).toMatchObject([{ hardState: { currentTerm: 2, commitIndex: 1 } }])
})

test('a vote is written with all that is known to be committed', () => {
  const node = new OneNode(recoveredLog([1, 1], { currentTerm: term(1) }))
  node.receive(append({ prevLogIndex: at(2), prevLogTerm: term(1), leaderCommit: at(2) }))
  const request = voteRequest({ term: term(2), lastLogIndex: at(2), lastLogTerm: term(1), leadershipTransfer: true })
  expect(writesOf(node.receive(request))).toMatchObject([{ hardState: { currentTerm: 2, commitIndex: 2 } }])
})

test('a restarted node applies what it knows to be committed before it campaigns', () => {
  const node = new OneNode(recoveredLog([1, 1, 1], { commitIndex: at(2) }))
  const [load] = only(node.tick(), 'load')
  expect(load).toMatchObject({ from: 1, to: 2 })
  node.tick(100)
  expect(node.raft.status()).toMatchObject({ role: 'follower', commitIndex: 2, lastApplied: 0 })
  const loaded = node.step({ kind: 'loaded', loadId: load!.loadId, entries: entriesOf([1, 1]) })
  expect(appliedOf(loaded)).toEqual([1, 2])
  expect(sentOf(node.timeOut())).toMatchObject([{ preVote: true }, { preVote: true }])
})

test('a restarted node with a snapshot applies only what lies behind it', () => {
  const recovered = { ...recoveredLog([1, 1, 1], { commitIndex: at(3) }), lastApplied: at(2) }
  const node = new OneNode(recovered)
  expect(only(node.tick(), 'load')).toMatchObject([{ from: 3, to: 3 }])
})

test('a hard state that calls committed what is not in the log is damage', () => {
  expect(() => new OneNode(recoveredLog([1], { commitIndex: at(2) }))).toThrow(/committed is in the log/)
})

test('a snapshot that is durable before the term of its last entry is no damage: the node had promised nothing in it', () => {
  const base = { baseIndex: at(5), baseTerm: term(3), lastIndex: at(5), lastApplied: at(5) }
  const hardState = { currentTerm: term(2), votedFor: id(3) }
  const node = new OneNode({ ...recoveredLog([], hardState), ...base })
  expect(node.raft.status()).toMatchObject({ currentTerm: 3, votedFor: undefined })
})
