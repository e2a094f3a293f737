import { expect, test } from 'vitest'
import type { NodeId } from '../base/index.ts'
import { simpleConfiguration } from './configuration.ts'
import { decodeConfiguration, encodeConfiguration } from './configuration-codec.ts'
import { ids } from './testing/configurations.ts'
import {
  append,
  appendResponse,
  appendsOf,
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
  voteRequest,
  writesOf,
} from './testing/one-node.ts'
import { type Configuration, type Entry, EntryKind, type RaftEffect, type ReadKey } from './types.ts'

const THREE = simpleConfiguration(ids(1, 2, 3))

/** Node 1 of three, in doubt. Its log is empty: all was lost. */
function doubtful(): OneNode {
  return new OneNode({ ...recoveredLog([]), doubtful: true })
}

function configurationEntry(index: number, configuration: Configuration): Entry {
  const data = encodeConfiguration({ configuration, context: new Uint8Array(0) })
  return { term: term(1), index: at(index), kind: EntryKind.configuration, data }
}

/** Node 2 leads and sends these entries, which are committed. */
function receive(node: OneNode, prevLogIndex: number, ...entries: readonly Entry[]): RaftEffect[] {
  const leaderCommit = at(prevLogIndex + entries.length)
  const prevLogTerm = term(prevLogIndex === 0 ? 0 : 1)
  const effects = node.receive(append({ prevLogIndex: at(prevLogIndex), prevLogTerm, entries, leaderCommit }))
  effects.push(...node.written(effects))
  if (only(effects, 'forgetDoubt').length > 0) node.step({ kind: 'doubtForgotten' })
  return effects
}

/** The leader tells that `index` was committed when it was asked. */
function tellFloor(node: OneNode, index: number): void {
  const [question] = sentOf(node.tick(10)).filter(({ kind }) => kind === 'readIndex')
  expect(question).toMatchObject({ kind: 'readIndex', to: 2 })
  const readKey = question!.kind === 'readIndex' ? question!.readKey : (0 as ReadKey)
  node.receive({
    kind: 'readIndexResponse',
    from: id(2),
    to: id(1),
    term: term(1),
    readKey,
    granted: true,
    index: at(index),
  })
}

const demoted: Configuration = { ...simpleConfiguration(ids(2, 3), ids(1)), rebuilding: ids(1) }

test('a node in doubt never campaigns, however long it hears nobody, nor when it is told to', () => {
  const node = doubtful()
  expect(node.tick(200)).toEqual([])
  node.receive(append({}))
  expect(node.receive({ kind: 'timeoutNow', from: id(2), to: id(1), term: term(1) })).toEqual([])
  expect(node.raft.status()).toMatchObject({ role: 'follower', doubtful: true })
})

test('a node in doubt never votes, nor pre-votes', () => {
  const node = doubtful()
  const request = { lastLogIndex: at(99), lastLogTerm: term(9) }
  expect(sentOf(node.receive(voteRequest({ ...request, term: term(9), preVote: true })))).toMatchObject([
    { kind: 'requestVoteResponse', voteGranted: false },
  ])
  const effects = node.receive(voteRequest({ ...request, term: term(9) }))
  expect(writesOf(effects)[0]).toMatchObject({
    hardState: { currentTerm: 9, votedFor: undefined },
    unlocks: [{ kind: 'requestVoteResponse', voteGranted: false }],
  })
})

test('every answer of a node in doubt says so', () => {
  const node = doubtful()
  expect(sentOf(node.receive(append({ term: term(0) })))).toMatchObject([{ doubtful: true }])
  const refused = node.receive(append({ prevLogIndex: at(7), prevLogTerm: term(1) }))
  expect(writesOf(refused)[0]!.unlocks).toMatchObject([{ success: false, doubtful: true }])
  const accepted = node.receive(append({ entries: entriesOf([1]) }))
  expect(writesOf(accepted)[0]!.unlocks).toMatchObject([{ success: true, doubtful: true }])
})

test.each([
  ['confirms the one that took the vote', demoted],
  ['gives the vote back', THREE],
])('the doubt ends with a configuration that %s, behind all that was committed when it began', (_, next) => {
  const node = doubtful()
  receive(node, 0, ...entriesOf([1, 1]))
  tellFloor(node, 2)
  receive(node, 2, configurationEntry(3, demoted))
  expect(node.raft.status().doubtful).toBe(true)
  const effects = receive(node, 3, configurationEntry(4, next))
  expect(only(effects, 'forgetDoubt')).toHaveLength(1)
  expect(node.raft.status().doubtful).toBe(false)
  receive(node, 4, configurationEntry(5, THREE))
  expect(only(node.tick(100), 'roleChanged').length).toBeGreaterThan(0)
})

/** The snapshot of entry 10 arrives and is put in force. */
function install(node: OneNode, configuration: Configuration): RaftEffect[] {
  const snapshot = snapshotAt(10, 1)
  node.receive(chunk({ snapshot }))
  const stored = { snapshot, snapshotId: 7, receivedBytes: 100, complete: true }
  node.step({ kind: 'chunkStored', from: id(2), term: term(1), ...stored })
  return node.step({ kind: 'snapshotInstalled', snapshot, configuration })
}

test.each([
  ['the same configuration', demoted, true],
  ['another configuration', { ...demoted, learners: ids(1, 4) }, false],
])('a snapshot with %s ends the doubt only if one must have come between', (_, configuration, isDoubtful) => {
  const node = doubtful()
  receive(node, 0, entriesOf([1])[0]!)
  tellFloor(node, 1)
  receive(node, 1, configurationEntry(2, demoted))
  const effects = install(node, configuration)
  expect(node.raft.status().lastApplied).toBe(10)
  expect(only(effects, 'forgetDoubt')).toHaveLength(isDoubtful ? 0 : 1)
})

test('a snapshot with another configuration does not end the doubt of a node that is behind the doubt floor', () => {
  const node = doubtful()
  receive(node, 0, entriesOf([1])[0]!, configurationEntry(2, demoted))
  tellFloor(node, 5)
  const configuration = { ...demoted, learners: ids(1, 4) }
  expect(only(install(node, configuration), 'forgetDoubt')).toEqual([])
  // What follows on that one was committed after the doubt began.
  expect(only(receive(node, 10, configurationEntry(11, configuration)), 'forgetDoubt')).toHaveLength(1)
})

test('a node counts again only when its disk has forgotten the doubt: a crash before would bring it back', () => {
  const node = doubtful()
  receive(node, 0, entriesOf([1])[0]!)
  tellFloor(node, 1)
  const step = (index: number, configuration: Configuration): RaftEffect[] => {
    const entries = [configurationEntry(index, configuration)]
    const leaderCommit = at(index)
    return node.receive(append({ prevLogIndex: at(index - 1), prevLogTerm: term(1), entries, leaderCommit }))
  }
  node.written(step(2, demoted))
  const effects = step(3, demoted)
  expect(only(effects, 'forgetDoubt')).toHaveLength(1)
  expect(writesOf(effects).flatMap(({ unlocks }) => unlocks)).toMatchObject([{ success: true, doubtful: true }])
  node.written(effects)
  // It is asked for once, whatever comes meanwhile, and the node does not count meanwhile.
  const promoted = step(4, THREE)
  expect(only(promoted, 'forgetDoubt')).toEqual([])
  node.written(promoted)
  expect(only(node.tick(200), 'roleChanged')).toEqual([])
  node.step({ kind: 'doubtForgotten' })
  expect(sentOf(node.receive(append({ prevLogIndex: at(4), prevLogTerm: term(1) })))).toMatchObject([
    { success: true, doubtful: false },
  ])
})

test('the end of an earlier doubt, which the leader sends once more, does not end this one', () => {
  const node = doubtful()
  receive(node, 0, entriesOf([1])[0]!)
  tellFloor(node, 3)
  receive(node, 1, configurationEntry(2, demoted), configurationEntry(3, THREE))
  expect(node.raft.status()).toMatchObject({ doubtful: true, configuration: { voters: [1, 2, 3] } })
  // The leader sees the doubt and takes the vote again.
  receive(node, 3, configurationEntry(4, demoted), configurationEntry(5, THREE))
  expect(node.raft.status().doubtful).toBe(false)
})

test('a node that was told nothing of what was committed stays in doubt', () => {
  const node = doubtful()
  receive(node, 0, configurationEntry(1, demoted), configurationEntry(2, THREE))
  expect(node.raft.status().doubtful).toBe(true)
})

test('a configuration that leaves a node its vote does not end its doubt', () => {
  const node = doubtful()
  receive(node, 0, entriesOf([1])[0]!)
  tellFloor(node, 1)
  receive(node, 1, configurationEntry(2, simpleConfiguration(ids(1, 2, 3), ids(4))))
  expect(node.raft.status().doubtful).toBe(true)
})

test('a node in doubt asks until it is told, and takes only an answer to its own question', () => {
  const node = doubtful()
  receive(node, 0, entriesOf([1])[0]!)
  const answer = { kind: 'readIndexResponse', from: id(2), to: id(1), term: term(1), index: at(1) } as const
  node.receive({ ...answer, readKey: 77 as ReadKey, granted: true })
  const questions = sentOf(node.tick(25)).filter(({ kind }) => kind === 'readIndex')
  expect(questions).toHaveLength(3)
  node.receive({ ...answer, readKey: 1000 as ReadKey, granted: false })
  expect(sentOf(node.tick(10)).filter(({ kind }) => kind === 'readIndex')).toHaveLength(1)
  node.receive({ ...answer, readKey: 1000 as ReadKey, granted: true })
  expect(sentOf(node.tick(30)).filter(({ kind }) => kind === 'readIndex')).toEqual([])
})

// ------------------------------------------------------------- the leader's side

function serving(): OneNode {
  const node = new OneNode()
  node.becomeServing()
  return node
}

function answerInDoubt(node: OneNode, from: NodeId, matchIndex: number, success = true): RaftEffect[] {
  const { currentTerm } = node.raft.status()
  return node.receive(
    appendResponse({ from, term: currentTerm, success, matchIndex: at(matchIndex), readRound: 99, doubtful: true }),
  )
}

test('a leader counts a node in doubt neither for commits, nor for reads, nor for the check of the quorum', () => {
  const node = serving()
  node.written(node.propose(1))
  answerInDoubt(node, id(3), 2)
  expect(node.raft.status().commitIndex).toBe(1)
  const read = [...node.read(5), ...answerInDoubt(node, id(3), 2)]
  expect(only(read, 'readReady')).toEqual([])
  // What it confirmed while in doubt counts for nothing later either.
  expect(only(node.acknowledge(id(3), 1), 'readReady')).toEqual([])
  for (let tick = 0; tick < 20; tick++) {
    node.tick()
    if (node.raft.status().role === 'leader') answerInDoubt(node, id(3), 2)
  }
  expect(node.raft.status().role).toBe('follower')
})

test('a leader counts nothing that a node had acknowledged before it fell in doubt', () => {
  const node = serving()
  const proposed = node.propose(1)
  node.acknowledge(id(3), 2)
  answerInDoubt(node, id(3), 0, false)
  node.written(proposed)
  expect(node.raft.status().commitIndex).toBe(1)
})

test('a leader sends a node in doubt again what it had acknowledged before', () => {
  const node = serving()
  node.acknowledge(id(3), 1)
  const refused = node.receive(
    appendResponse({ from: id(3), success: false, matchIndex: at(1), hintIndex: at(0), doubtful: true }),
  )
  expect(appendsOf(refused, id(3))).toMatchObject([{ prevLogIndex: 0, entries: [{ index: 1 }] }])
  answerInDoubt(node, id(3), 1)
  expect(node.raft.status().followers[1]).toMatchObject({ matchIndex: 1, state: 'replicate', doubtful: true })
})

/** Checks of the quorum pass; node 2 holds everything, node 3 answers in doubt until it does not. */
function checks(node: OneNode, count: number, isInDoubt: () => boolean): RaftEffect[] {
  const effects: RaftEffect[] = []
  for (let tick = 0; tick < 10 * count; tick++) {
    const step = node.tick()
    if (writesOf(step).length > 0) step.push(...node.written(step))
    const { lastIndex } = node.raft.status()
    step.push(...node.acknowledge(id(2), lastIndex))
    step.push(...(isInDoubt() ? answerInDoubt(node, id(3), lastIndex) : node.acknowledge(id(3), lastIndex)))
    // What confirms a change is written once it is committed.
    const { length } = writesOf(step)
    if (length > 0) step.push(...node.written(step))
    effects.push(...step)
  }
  return effects
}

const changesOf = (effects: readonly RaftEffect[]) =>
  writesOf(effects).flatMap(({ entries }) => entries.map(({ data }) => decodeConfiguration(data).configuration))

test('a leader takes the vote of a node in doubt, and gives it back when the node is in doubt no more', () => {
  const node = serving()
  let inDoubt = true
  const rebuilt = { ...simpleConfiguration(ids(1, 2), ids(3)), rebuilding: ids(3) }
  expect(changesOf(checks(node, 2, () => inDoubt)), 'taken, and confirmed').toEqual([rebuilt, rebuilt])
  expect(node.raft.status().configuration).toEqual(rebuilt)
  // It missed the end of its doubt: it did not know yet what was committed when the doubt began.
  expect(changesOf(checks(node, 3, () => inDoubt)), 'confirmed again').toEqual([rebuilt, rebuilt, rebuilt])
  inDoubt = false
  expect(changesOf(checks(node, 1, () => inDoubt))).toEqual([THREE, THREE])
  expect(changesOf(checks(node, 5, () => inDoubt))).toEqual([])
  expect(node.raft.status().configuration).toEqual(THREE)
})

test('a learner that nobody takes for a voter is brought out of doubt as well, and stays a learner', () => {
  const configuration = simpleConfiguration(ids(1, 2), ids(3))
  const node = new OneNode(undefined, { configuration })
  node.becomeServing()
  expect(changesOf(checks(node, 2, () => true))).toEqual([configuration, configuration])
  expect(changesOf(checks(node, 3, () => false))).toEqual([])
  expect(node.raft.status().configuration).toEqual(configuration)
})

test('a doubt that is over by the next check of the quorum changes nothing', () => {
  const node = serving()
  let ticks = 0
  expect(changesOf(checks(node, 4, () => ++ticks < 12))).toEqual([])
})

/** How the voters change while these nodes are in doubt, each until a configuration without its vote is confirmed. */
function rebuild(configuration: Configuration, ...doubtful: readonly number[]): string[] {
  const node = new OneNode(undefined, { configuration })
  if (configuration.voters.length > 1) node.becomeServing()
  const inDoubt = new Set<NodeId>(ids(...doubtful))
  const seen = [configuration.voters.join()]
  const look = (effects: readonly RaftEffect[]): void => {
    for (const { configuration, confirmed } of only(effects, 'configurationChanged')) {
      const { voters } = configuration
      const gained = voters.filter((voter) => !seen.at(-1)!.split(',').includes(String(voter)))
      expect(gained.filter((voter) => inDoubt.has(voter))).toEqual([])
      if (voters.join() !== seen.at(-1)) seen.push(voters.join())
      if (confirmed) for (const member of inDoubt) if (!voters.includes(member)) inDoubt.delete(member)
    }
    if (writesOf(effects).length > 0) look(node.written(effects))
  }
  for (let tick = 0; tick < 150; tick++) {
    look(node.tick())
    for (const { nodeId } of node.raft.status().followers) {
      const { lastIndex } = node.raft.status()
      look(inDoubt.has(nodeId) ? answerInDoubt(node, nodeId, lastIndex) : node.acknowledge(nodeId, lastIndex))
    }
  }
  return seen
}

test('of two voters in doubt, one is rebuilt after the other, and gets its vote back when its doubt is over', () => {
  const five = simpleConfiguration(ids(1, 2, 3, 4, 5))
  expect(rebuild(five, 4, 5)).toEqual(['1,2,3,4,5', '1,2,3,5', '1,2,3', '1,2,3,4', '1,2,3,4,5'])
})

test('a voter that falls in doubt while another is rebuilt loses its vote as well, and both come back', () => {
  const configuration = { ...simpleConfiguration(ids(1, 2, 3), ids(4)), rebuilding: ids(4) }
  expect(rebuild(configuration, 3, 4)).toEqual(['1,2,3', '1,2', '1,2,3', '1,2,3,4'])
})

test('to a lone voter a vote is given back', () => {
  const configuration = { ...simpleConfiguration(ids(1), ids(2)), rebuilding: ids(2) }
  expect(rebuild(configuration, 2)).toEqual(['1', '1,2'])
})

test('a vote is not taken from a node that has fallen silent since it was in doubt', () => {
  // What it said last may be long outdated: its log may be whole again, and only its answers get lost.
  const node = serving()
  answerInDoubt(node, id(3), 1)
  const effects: RaftEffect[] = []
  for (let tick = 0; tick < 60; tick++) {
    effects.push(...node.tick())
    effects.push(...node.acknowledge(id(2), node.raft.status().lastIndex))
  }
  expect(changesOf(effects)).toEqual([])
})
