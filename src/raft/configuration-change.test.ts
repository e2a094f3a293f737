import { expect, test } from 'vitest'
import { simpleConfiguration } from './configuration.ts'
import { decodeConfiguration, encodeConfiguration } from './configuration-codec.ts'
import { ids } from './testing/configurations.ts'
import {
  append,
  appendsOf,
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
  voteResponse,
  writesOf,
} from './testing/one-node.ts'
import { type Configuration, type Entry, EntryKind, type RaftEffect } from './types.ts'

const NO_CONTEXT = new Uint8Array(0)
const CONTEXT = Uint8Array.of(1, 2, 3)

function change(
  node: OneNode,
  voters: readonly number[],
  learners: readonly number[] = [],
  force = false,
): RaftEffect[] {
  const target = { voters: ids(...voters), learners: ids(...learners) }
  return node.step({ kind: 'changeConfiguration', target, context: CONTEXT, force })
}

/** The last entry is durable here, and acknowledged by these nodes. */
function commit(node: OneNode, effects: readonly RaftEffect[], ...by: readonly number[]): RaftEffect[] {
  const { lastIndex } = node.raft.status()
  return [...node.written(effects), ...by.flatMap((from) => node.acknowledge(id(from), lastIndex))]
}

/** A change is committed by these nodes, and so is the entry that confirms it. */
function complete(node: OneNode, effects: readonly RaftEffect[], ...by: readonly number[]): RaftEffect[] {
  const committed = commit(node, effects, ...by)
  return [...committed, ...commit(node, committed, ...by)]
}

function serving(configuration: Configuration = simpleConfiguration(ids(1, 2, 3))): OneNode {
  const node = new OneNode(undefined, { configuration })
  node.becomeServing()
  return node
}

/** Two checks of the quorum pass, with answers of these nodes. */
function waitTwoChecks(node: OneNode, ...answering: readonly number[]): RaftEffect[] {
  const effects: RaftEffect[] = []
  for (let tick = 0; tick < 20; tick++) {
    effects.push(...node.tick())
    for (const from of answering) {
      if (node.raft.status().role === 'leader')
        effects.push(...node.acknowledge(id(from), node.raft.status().lastIndex))
    }
  }
  return effects
}

const refusalOf = (effects: readonly RaftEffect[]) => only(effects, 'configurationRefused')[0]

function configurationEntry(index: number, entryTerm: number, configuration: Configuration): Entry {
  const data = encodeConfiguration({ configuration, context: NO_CONTEXT })
  return { term: term(entryTerm), index: at(index), kind: EntryKind.configuration, data }
}

test('a change is an entry like any other, and in force only once it is applied', () => {
  const node = serving()
  const proposed = change(node, [1, 2, 3], [4])
  expect(only(proposed, 'configurationProposed')).toEqual([{ kind: 'configurationProposed', index: 2, term: 1 }])
  const [entry] = writesOf(proposed)[0]!.entries
  expect(entry).toMatchObject({ kind: EntryKind.configuration, index: 2, term: 1 })
  expect(decodeConfiguration(entry!.data)).toEqual({
    configuration: simpleConfiguration(ids(1, 2, 3), ids(4)),
    context: CONTEXT,
  })
  expect(node.raft.status()).toMatchObject({ changePending: true, configuration: { learners: [] } })
  const applied = commit(node, proposed, 2)
  expect(only(applied, 'configurationChanged')).toEqual([
    {
      kind: 'configurationChanged',
      configuration: simpleConfiguration(ids(1, 2, 3), ids(4)),
      context: CONTEXT,
      index: 2,
      confirmed: false,
    },
  ])
  expect(node.raft.status()).toMatchObject({ changePending: true, configuration: { learners: [4] } })
})

test('a change is done when the same configuration is committed once more: then a quorum knows it, come what may', () => {
  const node = serving()
  const applied = commit(node, change(node, [1, 2]), 2)
  const [again] = appendsOf(applied, id(2))
  expect(again).toMatchObject({ leaderCommit: 2, entries: [{ kind: EntryKind.configuration, index: 3 }] })
  const { configuration, context } = decodeConfiguration(again!.entries[0]!.data)
  expect([configuration, context]).toEqual([node.raft.status().configuration, NO_CONTEXT])
  expect(node.raft.status()).toMatchObject({ changePending: true })
  expect(only(commit(node, applied, 2), 'configurationChanged')).toMatchObject([{ index: 3, confirmed: true }])
  expect(node.raft.status()).toMatchObject({ changePending: false, lastIndex: 3 })
})

test('whoever has the entry that confirms a change has it on its disk that the change is committed', () => {
  const node = new OneNode(recoveredLog([1]))
  const two = { ...simpleConfiguration(ids(1, 2)), retired: ids(3) }
  const first = append({ prevLogIndex: at(1), prevLogTerm: term(1) })
  node.receive({ ...first, entries: [configurationEntry(2, 1, two)], leaderCommit: at(1) })
  const write = writesOf(
    node.receive({ ...first, prevLogIndex: at(2), entries: [configurationEntry(3, 1, two)], leaderCommit: at(2) }),
  ).at(-1)
  expect(write).toMatchObject({ hardState: { commitIndex: 2 }, entries: [{ index: 3 }] })
})

test('a new leader confirms what its predecessor had committed and not confirmed', () => {
  const two = { ...simpleConfiguration(ids(1, 2)), retired: ids(3) }
  const node = new OneNode()
  node.written(node.receive(append({ entries: [configurationEntry(1, 1, two)] })))
  const won = node.becomeLeader()
  const [noop] = appendsOf(won, id(2)).at(-1)!.entries
  commit(node, won, 2)
  expect(node.raft.status()).toMatchObject({ configuration: two, changePending: true, lastIndex: noop!.index + 1 })
})

test('the same members at other addresses are a change like any other, and confirmed like any other', () => {
  const node = serving()
  const applied = commit(node, change(node, [1, 2, 3], [], true), 2)
  expect(only(applied, 'configurationChanged')).toMatchObject([{ index: 2, confirmed: false }])
  expect(only(commit(node, applied, 2), 'configurationChanged')).toMatchObject([{ index: 3, confirmed: true }])
})

test('a configuration comes in its place among what is applied: behind its own entry, before the next', () => {
  const node = serving()
  const proposed = change(node, [1, 2, 3], [4])
  const later = node.propose(5)
  node.written(proposed)
  const effects = commit(node, later, 2)
  const order = effects.flatMap((effect) => {
    if (effect.kind === 'apply') return effect.entries.map(({ index }) => `apply ${index}`)
    return effect.kind === 'configurationChanged' ? [`changed ${effect.index}`] : []
  })
  expect(order).toEqual(['apply 2', 'changed 2', 'apply 3'])
})

test('a new member is probed from the end of the log, and a member that left is told, and then nothing more', () => {
  const node = serving()
  const added = complete(node, change(node, [1, 2, 3], [4]), 2, 3)
  expect(appendsOf(added, id(4))).toMatchObject([{ prevLogIndex: 2, entries: [], leaderCommit: 2 }])
  const removed = commit(node, change(node, [1, 2, 3]), 2, 3)
  // What it holds is known up to index 2 only: it refuses, or learns that index 4, its own removal, is committed.
  expect(node.raft.status().followers.map(({ nodeId }) => nodeId)).toEqual([2, 3])
  expect(appendsOf(removed, id(4)).length).toBeLessThanOrEqual(1)
  expect(appendsOf(node.tick(4), id(4))).toEqual([])
})

test('a removed follower that keeps up learns of its removal by the last message that it gets', () => {
  const node = serving()
  const proposed = change(node, [1, 2])
  node.written(proposed)
  node.acknowledge(id(3), 2)
  const effects = node.acknowledge(id(2), 2)
  expect(node.raft.status().configuration).toEqual({ ...simpleConfiguration(ids(1, 2)), retired: ids(3) })
  expect([...effects, ...node.tick(4)].flatMap((effect) => appendsOf([effect], id(3)))).toEqual([])
  // The farewell left with the acknowledgement that completed the majority: node 3's own.
  const again = serving()
  again.written(change(again, [1, 2]))
  expect(appendsOf(again.acknowledge(id(3), 2), id(3))).toMatchObject([{ prevLogIndex: 2, leaderCommit: 2 }])
})

test('only a leader changes the members', () => {
  const node = new OneNode()
  node.receive(append({ from: id(3) }))
  expect(refusalOf(change(node, [1, 2]))).toEqual({
    kind: 'configurationRefused',
    reason: 'notLeader',
    leader: 3,
    nodes: [],
  })
})

test('Ongaro 2015: no change is taken before an entry of the present term is applied', () => {
  const node = new OneNode()
  const won = node.becomeLeader()
  expect(refusalOf(change(node, [1, 2]))).toMatchObject({ reason: 'notServing' })
  commit(node, won, 2)
  expect(refusalOf(change(node, [1, 2]))).toBeUndefined()
})

test('one change is pending at most', () => {
  const node = serving()
  const proposed = change(node, [1, 2, 3], [4])
  expect(refusalOf(change(node, [1, 2, 3], [5]))).toMatchObject({ reason: 'changePending', leader: 1 })
  const applied = commit(node, proposed, 2)
  expect(refusalOf(change(node, [1, 2, 3], [4, 5])), 'it is not confirmed').toMatchObject({ reason: 'changePending' })
  commit(node, applied, 2)
  expect(refusalOf(change(node, [1, 2, 3], [4, 5]))).toBeUndefined()
})

test('a target that can not be meant is refused, and says which nodes are wrong', () => {
  const node = serving({ ...simpleConfiguration(ids(1, 2, 3)), retired: ids(7, 8) })
  expect(refusalOf(change(node, []))).toMatchObject({ reason: 'malformed', nodes: [] })
  expect(refusalOf(change(node, [1, 2, 2], [1]))).toMatchObject({ reason: 'malformed', nodes: [1, 2] })
  expect(refusalOf(change(node, [1, 2, 7], [8], true))).toMatchObject({ reason: 'retired', nodes: [7, 8] })
  expect(refusalOf(change(node, [3, 2, 1]))).toMatchObject({ reason: 'unchanged' })
})

test('a new voter must be a learner that has caught up, unless the change is forced', () => {
  const node = serving()
  expect(refusalOf(change(node, [1, 2, 3, 4]))).toMatchObject({ reason: 'notCaughtUp', nodes: [4] })
  expect(refusalOf(change(node, [1, 2, 3, 4], [], true))).toBeUndefined()
})

test('thesis §4.2.1: a learner has caught up when it holds what was there one to two election timeouts ago', () => {
  const node = serving()
  complete(node, change(node, [1, 2, 3], [4]), 2, 3)
  expect(refusalOf(change(node, [1, 2, 3, 4]))).toMatchObject({ reason: 'notCaughtUp' })
  commit(node, node.propose(10), 2, 3)
  waitTwoChecks(node, 2, 3)
  node.acknowledge(id(4), 3)
  expect(refusalOf(change(node, [1, 2, 3, 4])), 'it lacks an old entry').toMatchObject({ reason: 'notCaughtUp' })
  node.acknowledge(id(4), 4)
  commit(node, node.propose(10), 2, 3)
  expect(refusalOf(change(node, [1, 2, 3, 4])), 'it lacks only a new entry').toBeUndefined()
})

test('a learner that is silent has not caught up, whatever it holds', () => {
  const node = serving(simpleConfiguration(ids(1, 2, 3), ids(4)))
  node.acknowledge(id(4), 1)
  expect(refusalOf(change(node, [1, 2, 3, 4]))).toBeUndefined()
  const other = serving(simpleConfiguration(ids(1, 2, 3), ids(4)))
  other.acknowledge(id(4), 1)
  waitTwoChecks(other, 2, 3)
  expect(refusalOf(change(other, [1, 2, 3, 4]))).toMatchObject({ reason: 'notCaughtUp', nodes: [4] })
})

test('a learner counts for nothing', () => {
  const node = serving(simpleConfiguration(ids(1, 2, 3), ids(4)))
  const proposed = node.propose(10)
  commit(node, proposed, 4)
  expect(node.raft.status().commitIndex).toBe(1)
  waitTwoChecks(node, 4)
  expect(node.raft.status().role).toBe('follower')
})

test('thesis §4.3: while a configuration is joint, a commit needs a majority of both halves', () => {
  const node = serving(simpleConfiguration(ids(1, 2, 3)))
  const joint = commit(node, change(node, [1, 4, 5], [], true), 2)
  expect(node.raft.status().configuration).toMatchObject({ voters: [1, 4, 5], votersOutgoing: [1, 2, 3] })
  // The leader left it by itself in the same step; that entry is the one to commit now.
  expect(writesOf(joint).flatMap(({ entries }) => entries)).toMatchObject([{ kind: EntryKind.configuration, index: 3 }])
  node.written(joint)
  node.acknowledge(id(4), 3)
  node.acknowledge(id(5), 3)
  expect(node.raft.status().commitIndex).toBe(2)
  const left = node.acknowledge(id(2), 3)
  expect(only(left, 'configurationChanged')).toEqual([
    {
      kind: 'configurationChanged',
      configuration: { ...simpleConfiguration(ids(1, 4, 5)), retired: ids(2, 3) },
      context: NO_CONTEXT,
      index: 3,
      confirmed: false,
    },
  ])
})

test('no other change is taken until a joint configuration is left', () => {
  const node = serving()
  const joint = commit(node, change(node, [1, 4, 5], [], true), 2)
  expect(refusalOf(change(node, [1, 4]))).toMatchObject({ reason: 'changePending' })
  complete(node, joint, 2, 4)
  expect(refusalOf(change(node, [1, 4]))).toBeUndefined()
})

test('a new leader leaves the joint configuration that it finds, once it serves', () => {
  const joint = { ...simpleConfiguration(ids(1, 4)), votersOutgoing: ids(1, 2) }
  const node = new OneNode(undefined, { configuration: joint })
  const asked = sentOf(node.timeOut()).map(({ to }) => Number(to))
  expect(asked, 'voters of both halves are asked').toEqual([2, 4])
  for (const from of ids(4, 2)) {
    node.receive(voteResponse({ from, preVote: true, voteGranted: true }))
  }
  // Its write of the vote is the first of all.
  node.step({ kind: 'written', writeId: 1 as never, term: term(1) })
  for (const from of ids(4, 2)) {
    expect(node.raft.status().role, 'both halves must vote').toBe('candidate')
    node.receive(voteResponse({ from, voteGranted: true }))
  }
  expect(node.raft.status()).toMatchObject({ role: 'leader', lastIndex: 1 })
  node.step({ kind: 'written', writeId: 2 as never, term: term(1) })
  node.acknowledge(id(2), 1)
  expect(node.raft.status().lastIndex).toBe(1)
  node.acknowledge(id(4), 1)
  expect(node.raft.status()).toMatchObject({ serving: true, lastIndex: 2 })
})

test('a smaller quorum commits at once what waited for a larger one', () => {
  const node = serving(simpleConfiguration(ids(1, 2)))
  const proposed = change(node, [1])
  const waiting = node.propose(10)
  node.written(proposed)
  node.written(waiting)
  expect(node.raft.status().commitIndex).toBe(1)
  const effects = node.acknowledge(id(2), 2)
  expect(appliedOf(effects)).toEqual([2, 3])
  expect(node.raft.status()).toMatchObject({ commitIndex: 3, configuration: { voters: [1] } })
})

test('a smaller quorum serves at once the reads that waited for a larger one', () => {
  const node = serving(simpleConfiguration(ids(1, 2)))
  node.written(change(node, [1]))
  expect(only(node.read(5), 'readReady')).toEqual([])
  expect(only(node.acknowledge(id(2), 2), 'readReady')).toMatchObject([{ readId: 5 }])
})

test('a group of one grows to two and shrinks again', () => {
  const node = new OneNode(undefined, { configuration: simpleConfiguration(ids(1)) })
  node.written(node.written(node.timeOut()))
  node.written(node.written(change(node, [1], [2])))
  waitTwoChecks(node, 2)
  const grown = change(node, [1, 2])
  expect(refusalOf(grown)).toBeUndefined()
  commit(node, node.written(grown), 2)
  expect(node.raft.status().configuration.voters).toEqual([1, 2])
  const proposed = node.propose(1)
  node.written(proposed)
  const before = node.raft.status().commitIndex
  expect(before).toBe(node.raft.status().lastIndex - 1)
  node.acknowledge(id(2), node.raft.status().lastIndex)
  expect(node.raft.status().commitIndex).toBe(before + 1)
  commit(node, change(node, [1]), 2)
  expect(node.raft.status().configuration).toEqual({ ...simpleConfiguration(ids(1)), retired: ids(2) })
})

test('an uncommitted change is lost with the log of the leader that proposed it', () => {
  const node = serving()
  node.written(change(node, [1, 2]))
  const entries = [{ ...entriesOf([2], 2)[0]!, kind: EntryKind.noop }]
  node.receive(append({ from: id(2), term: term(2), prevLogIndex: at(1), prevLogTerm: term(1), entries }))
  expect(node.raft.status()).toMatchObject({ role: 'follower', configuration: { voters: [1, 2, 3] }, lastIndex: 2 })
})

test('a follower takes a configuration over when it learns that it is committed, and not before', () => {
  const node = new OneNode()
  const entries = [configurationEntry(1, 1, simpleConfiguration(ids(2, 3)))]
  node.written(node.receive(append({ entries })))
  expect(node.raft.status().configuration.voters).toEqual([1, 2, 3])
  const effects = node.receive(append({ prevLogIndex: at(1), prevLogTerm: term(1), leaderCommit: at(1) }))
  expect(only(effects, 'configurationChanged')).toMatchObject([{ index: 1 }])
  expect(node.raft.status().configuration.voters).toEqual([2, 3])
  expect(node.tick(100), 'a node that is removed never campaigns').toEqual([])
})

test('a node that waits to be added never campaigns', () => {
  const node = new OneNode(undefined, { configuration: simpleConfiguration([]) })
  expect(node.tick(100)).toEqual([])
})

test('who knows that a node was removed is not disturbed by its campaign, whether or not there is a leader', () => {
  const configuration = { ...simpleConfiguration(ids(1, 2, 3)), retired: ids(4) }
  const node = new OneNode(recoveredLog([1]), { configuration })
  const request = { from: id(4), term: term(9), lastLogIndex: at(7), lastLogTerm: term(8) }
  expect(node.receive(voteRequest(request))).toEqual([])
  expect(node.receive(voteRequest({ ...request, preVote: true }))).toEqual([])
  expect(node.raft.status().currentTerm).toBe(1)
  expect(sentOf(node.receive(voteRequest({ ...request, term: term(1) })))).toMatchObject([{ voteGranted: false }])
})

test('nobody campaigns before it has applied what it knows to be committed: it may be a configuration', () => {
  const recovered = recoveredLog([1, 1], { commitIndex: at(2) })
  const node = new OneNode(recovered)
  expect(only(node.tick(100), 'roleChanged')).toEqual([])
  // Index 1 is a configuration in which this node has no vote.
  const [load] = only(new OneNode(recovered).tick(1), 'load')
  expect(load).toMatchObject({ from: 1, to: 2 })
  const entries = [configurationEntry(1, 1, simpleConfiguration(ids(2, 3))), entriesOf([1], 2)[0]!]
  node.step({ kind: 'loaded', loadId: load!.loadId, entries })
  expect(node.raft.status()).toMatchObject({ lastApplied: 2, configuration: { voters: [2, 3] } })
  expect(only(node.tick(100), 'roleChanged')).toEqual([])
})
