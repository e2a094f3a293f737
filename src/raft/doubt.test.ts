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
  return [...effects, ...node.written(effects)]
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

test('the doubt ends with a configuration that gives the vote back, behind all that was committed when it began', () => {
  const node = doubtful()
  receive(node, 0, ...entriesOf([1, 1]))
  tellFloor(node, 2)
  receive(node, 2, configurationEntry(3, demoted))
  expect(node.raft.status().doubtful).toBe(true)
  const effects = receive(node, 3, configurationEntry(4, THREE))
  expect(only(effects, 'doubtCleared')).toHaveLength(1)
  expect(node.raft.status().doubtful).toBe(false)
  expect(only(node.tick(100), 'roleChanged').length).toBeGreaterThan(0)
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
    effects.push(...step)
  }
  return effects
}

const changesOf = (effects: readonly RaftEffect[]) =>
  writesOf(effects).flatMap(({ entries }) => entries.map(({ data }) => decodeConfiguration(data).configuration))

test('a leader takes the vote of a node in doubt, and gives it back when the node has caught up', () => {
  const node = serving()
  let inDoubt = true
  const rebuilt = { ...simpleConfiguration(ids(1, 2), ids(3)), rebuilding: ids(3) }
  expect(changesOf(checks(node, 2, () => inDoubt))).toEqual([rebuilt])
  expect(node.raft.status().configuration).toEqual(rebuilt)
  const promoted = checks(node, 1, () => inDoubt)
  expect(changesOf(promoted)).toEqual([THREE])
  // The node learns a moment later that it votes again: that moment must not cost it its vote.
  inDoubt = false
  expect(changesOf(checks(node, 5, () => inDoubt))).toEqual([])
  expect(node.raft.status().configuration).toEqual(THREE)
})

test('a leader takes the vote again when a node stays in doubt though it was promoted', () => {
  const node = serving()
  const changes = changesOf(checks(node, 6, () => true))
  expect(changes.map(({ voters }) => voters.length)).toEqual([2, 3, 2, 3])
})

test('a doubt that is over by the next check of the quorum changes nothing', () => {
  const node = serving()
  let ticks = 0
  expect(changesOf(checks(node, 4, () => ++ticks < 12))).toEqual([])
})

test('of two voters in doubt, one is rebuilt after the other', () => {
  const node = new OneNode(undefined, { configuration: simpleConfiguration(ids(1, 2, 3, 4, 5)) })
  node.becomeServing()
  let largest = 0
  const seen = new Set<string>()
  for (let tick = 0; tick < 150; tick++) {
    const step = node.tick()
    if (writesOf(step).length > 0) node.written(step)
    const { lastIndex, configuration } = node.raft.status()
    for (const from of ids(2, 3)) node.acknowledge(from, lastIndex)
    for (const from of ids(4, 5)) {
      if (seen.has(String(from)) && configuration.voters.includes(from)) node.acknowledge(from, lastIndex)
      else answerInDoubt(node, from, lastIndex)
      if (configuration.rebuilding.includes(from)) seen.add(String(from))
    }
    largest = Math.max(largest, configuration.rebuilding.length)
  }
  expect(node.raft.status().configuration).toEqual(simpleConfiguration(ids(1, 2, 3, 4, 5)))
  expect([...seen].sort()).toEqual(['4', '5'])
  expect(largest).toBeGreaterThan(0)
})

test('a vote is given back only when the others are a quorum without it', () => {
  // Node 4 is being rebuilt, and node 3 falls in doubt. Had node 4 its vote again and then crashed before it learned of
  // that, it would still be in doubt: two of four, for ever.
  const configuration = { ...simpleConfiguration(ids(1, 2, 3), ids(4)), rebuilding: ids(4) }
  const node = new OneNode(undefined, { configuration })
  node.becomeServing()
  const votersSeen: string[] = []
  for (let tick = 0; tick < 100; tick++) {
    const step = node.tick()
    if (writesOf(step).length > 0) node.written(step)
    const { lastIndex, configuration: present } = node.raft.status()
    node.acknowledge(id(2), lastIndex)
    for (const from of ids(3, 4)) {
      const isBack = votersSeen.length > 1 && present.voters.includes(from)
      if (isBack) node.acknowledge(from, lastIndex)
      else answerInDoubt(node, from, lastIndex)
    }
    const voters = [...present.voters].sort().join()
    if (votersSeen.at(-1) !== voters) votersSeen.push(voters)
  }
  expect(votersSeen.slice(0, 2)).toEqual(['1,2,3', '1,2'])
  expect(votersSeen.at(-1)).toBe('1,2,3,4')
})

test('to a lone voter a vote is given back at once: two are never a quorum without one of them', () => {
  const configuration = { ...simpleConfiguration(ids(1), ids(2)), rebuilding: ids(2) }
  const node = new OneNode(undefined, { configuration })
  for (let tick = 0; tick < 80; tick++) {
    const step = node.tick()
    for (let left = step; writesOf(left).length > 0; ) left = node.written(left)
    if (node.raft.status().role === 'leader') answerInDoubt(node, id(2), node.raft.status().lastIndex)
  }
  expect(node.raft.status().configuration.voters).toEqual(ids(1, 2))
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
