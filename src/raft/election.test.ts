import { expect, test } from 'vitest'
import type { NodeId } from '../base/index.ts'
import { simpleConfiguration } from './configuration.ts'
import {
  append,
  appendsOf,
  at,
  entriesOf,
  id,
  OneNode,
  only,
  recoveredLog,
  sentOf,
  term,
  unlocksOf,
  voteRequest,
  voteResponse,
  writesOf,
} from './testing/one-node.ts'
import { Script } from './testing/script.ts'
import type { RequestVote, Role } from './types.ts'

test('Raft §5.1: a node that hears of a higher term enters it and becomes a follower', () => {
  const node = new OneNode()
  node.becomeServing()
  const effects = node.receive(append({ term: term(9) }))
  expect(node.raft.status()).toMatchObject({ role: 'follower', currentTerm: 9, votedFor: undefined, leader: 2 })
  expect(writesOf(effects)[0]!.hardState).toMatchObject({ currentTerm: 9, votedFor: undefined })
})

test('Raft §5.1: a request of an earlier term is refused, and the answer carries the present term', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(5) }))
  expect(sentOf(node.receive(voteRequest({ term: term(4) })))).toMatchObject([{ term: 5, voteGranted: false }])
  const [answer] = sentOf(node.receive(append({ term: term(4), entries: entriesOf([4]) })))
  expect(answer).toMatchObject({ term: 5, success: false })
  expect(node.raft.status().lastIndex).toBe(0)
})

test('Raft §5.2: nodes begin as followers and stay so as long as a leader is heard', () => {
  const node = new OneNode()
  expect(node.raft.status().role).toBe('follower')
  for (let i = 0; i < 20; i++) {
    node.receive(append({}))
    node.tick(9)
  }
  expect(node.raft.status()).toMatchObject({ role: 'follower', leader: 2, currentTerm: 1 })
})

test('Raft §5.2: a candidate raises its term, votes for itself, and asks only once that vote is on disk', () => {
  const node = new OneNode()
  const effects = node.becomeCandidate()
  expect(node.raft.status()).toMatchObject({ role: 'candidate', currentTerm: 1, votedFor: 1 })
  expect(sentOf(effects)).toEqual([])
  expect(writesOf(effects)[0]!.hardState).toMatchObject({ currentTerm: 1, votedFor: 1 })
  expect(unlocksOf(effects)).toMatchObject([
    { kind: 'requestVote', to: 2, term: 1, preVote: false },
    { kind: 'requestVote', to: 3, term: 1, preVote: false },
  ])
})

test('Raft §5.2: a candidate wins with the votes of a majority for its term', () => {
  const node = new OneNode()
  node.written(node.becomeCandidate())
  const effects = node.receive(voteResponse({ voteGranted: true }))
  expect(only(effects, 'roleChanged')).toEqual([{ kind: 'roleChanged', role: 'leader', term: 1, leader: 1 }])
})

test('Raft §5.2: votes of another term do not count', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(3) }))
  node.written(node.becomeCandidate())
  node.receive(voteResponse({ term: term(3), voteGranted: true }))
  expect(node.raft.status().role).toBe('candidate')
})

test('Raft §5.2: a node votes for at most one candidate in a term, first come first served', () => {
  const node = new OneNode()
  const first = node.receive(voteRequest({ from: id(2) }))
  node.written(first)
  expect(unlocksOf(first)).toMatchObject([{ to: 2, voteGranted: true }])
  expect(sentOf(node.receive(voteRequest({ from: id(3) })))).toMatchObject([{ to: 3, voteGranted: false }])
})

test('Raft §5.2: a vote leaves only behind the write that holds it, even when the request is repeated', () => {
  const node = new OneNode()
  const first = node.receive(voteRequest({}))
  expect(sentOf(first)).toEqual([])
  expect(node.receive(voteRequest({}))).toEqual([])
  node.written(first)
  expect(sentOf(node.receive(voteRequest({})))).toMatchObject([{ voteGranted: true }])
})

test('Raft §5.2: a vote is remembered after a restart', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(4), votedFor: id(3) }))
  expect(sentOf(node.receive(voteRequest({ term: term(4), from: id(2) })))).toMatchObject([{ voteGranted: false }])
  expect(sentOf(node.receive(voteRequest({ term: term(4), from: id(3) })))).toMatchObject([{ voteGranted: true }])
})

test('Raft §5.2: the winner sends heartbeats to all others at once, to keep elections away', () => {
  const node = new OneNode()
  const effects = node.becomeLeader()
  expect(appendsOf(effects).map((message) => Number(message.to))).toEqual([2, 3])
  expect(appendsOf(node.tick(2)).filter((message) => message.entries.length === 0)).toHaveLength(2)
})

test('Raft §5.2: a candidate that hears a leader of its term follows it', () => {
  const node = new OneNode()
  node.becomeCandidate()
  node.receive(append({ term: term(1), from: id(3) }))
  expect(node.raft.status()).toMatchObject({ role: 'follower', leader: 3, currentTerm: 1, votedFor: 1 })
})

test('Raft §5.2: a candidate ignores a leader of an earlier term and stays a candidate', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(5) }))
  node.becomeCandidate()
  node.receive(append({ term: term(5) }))
  expect(node.raft.status()).toMatchObject({ role: 'candidate', currentTerm: 6 })
})

test('Raft §5.2: a candidate without an outcome times out and starts anew', () => {
  const node = new OneNode()
  node.written(node.becomeCandidate())
  node.timeOut()
  expect(node.raft.status()).toMatchObject({ role: 'preCandidate', currentTerm: 1 })
})

test('Raft §5.2: election timeouts are drawn at random from [T, 2T), differently on each node', () => {
  const timeouts = Array.from({ length: 50 }, (_, seed) => {
    const node = new OneNode(undefined, { seed })
    let ticks = 0
    while (node.raft.status().role === 'follower') {
      node.tick()
      ticks++
    }
    return ticks
  })
  expect(Math.min(...timeouts)).toBe(10)
  expect(Math.max(...timeouts)).toBe(19)
  expect(new Set(timeouts).size).toBe(10)
})

test('Raft §5.2: a group of one elects itself, once its vote is on disk', () => {
  const node = new OneNode(undefined, { configuration: simpleConfiguration([id(1)]) })
  const effects = node.timeOut()
  expect(node.raft.status().role).toBe('candidate')
  node.written(effects)
  expect(node.raft.status().role).toBe('leader')
})

test('Raft §5.4.1: a vote is denied to a log that is less up to date: an earlier last term, or the same and shorter', () => {
  const ask = (lastLogIndex: number, lastLogTerm: number) => {
    const node = new OneNode(recoveredLog([1, 2, 2]))
    const effects = node.receive(
      voteRequest({ term: term(3), lastLogIndex: at(lastLogIndex), lastLogTerm: term(lastLogTerm) }),
    )
    return [...sentOf(effects), ...unlocksOf(effects)].map((message) => 'voteGranted' in message && message.voteGranted)
  }
  expect(ask(9, 1)).toEqual([false])
  expect(ask(2, 2)).toEqual([false])
  expect(ask(3, 2)).toEqual([true])
  expect(ask(1, 3)).toEqual([true])
})

test('thesis §9.6: a pre-vote changes no term and no vote, on neither side', () => {
  const node = new OneNode(recoveredLog([1, 1]))
  const effects = node.timeOut()
  expect(writesOf(effects)).toEqual([])
  expect(sentOf(effects)).toMatchObject([
    { kind: 'requestVote', preVote: true, term: 2, lastLogIndex: 2, lastLogTerm: 1 },
    { kind: 'requestVote', preVote: true, term: 2 },
  ])
  const asked = new OneNode(recoveredLog([1]))
  const answer = asked.receive(voteRequest({ preVote: true, term: term(2), lastLogIndex: at(1), lastLogTerm: term(1) }))
  expect(writesOf(answer)).toEqual([])
  expect(sentOf(answer)).toMatchObject([{ preVote: true, voteGranted: true, term: 2 }])
  expect(asked.raft.status()).toMatchObject({ currentTerm: 1, votedFor: undefined })
})

test('thesis §9.6: a pre-vote is denied to a log that lacks entries', () => {
  const node = new OneNode(recoveredLog([1, 1]))
  const effects = node.receive(voteRequest({ preVote: true, term: term(7), lastLogIndex: at(1), lastLogTerm: term(1) }))
  expect(sentOf(effects)).toMatchObject([{ preVote: true, voteGranted: false, term: 1 }])
})

test('thesis §9.6: a node without a quorum of pre-votes never raises its term', () => {
  const node = new OneNode()
  node.tick(500)
  expect(node.raft.status().currentTerm).toBe(0)
})

test('thesis §4.2.3: who heard a leader within the shortest timeout ignores requests for votes altogether', () => {
  const node = new OneNode()
  node.receive(append({ from: id(3) }))
  node.tick(9)
  expect(node.receive(voteRequest({ term: term(8) }))).toEqual([])
  expect(node.receive(voteRequest({ term: term(8), preVote: true }))).toEqual([])
  expect(node.raft.status()).toMatchObject({ currentTerm: 1, leader: 3 })
})

test('thesis §4.2.3: a leader ignores requests for votes', () => {
  const node = new OneNode()
  node.becomeServing()
  expect(node.receive(voteRequest({ term: term(8), lastLogIndex: at(9), lastLogTerm: term(7) }))).toEqual([])
})

test('thesis §6.2: a leader that no quorum answers within an election timeout steps down', () => {
  const node = new OneNode()
  node.becomeServing()
  node.tick(10)
  expect(node.raft.status().role).toBe('leader')
  node.tick(10)
  expect(node.raft.status()).toMatchObject({ role: 'follower', leader: undefined, currentTerm: 1 })
})

test('thesis §6.2: a leader that one of two followers answers stays', () => {
  const node = new OneNode()
  node.becomeServing()
  for (let i = 0; i < 30; i++) {
    node.tick(3)
    node.acknowledge(id(3), 1)
  }
  expect(node.raft.status().role).toBe('leader')
})

test('thesis §4.2.3: a node that may not campaign does not protect the leader any longer for it', () => {
  const configuration = simpleConfiguration([id(2), id(3)], [id(1)])
  const node = new OneNode(recoveredLog([], { currentTerm: term(1) }), { configuration })
  node.receive(append({ from: id(2), term: term(1) }))
  const { electionTimeoutTicks } = node.options
  node.tick(electionTimeoutTicks)
  const preVote = voteRequest({ from: id(3), term: term(2), preVote: true })
  for (let ticks = 0; ticks < 3 * electionTimeoutTicks; ticks++) {
    expect(sentOf(node.receive(preVote)), `after ${ticks} ticks more`).toMatchObject([{ voteGranted: true }])
    node.tick()
  }
  expect(node.raft.status().role).toBe('follower')
})

test('a learner never campaigns', () => {
  const node = new OneNode(undefined, { configuration: simpleConfiguration([id(2), id(3)], [id(1)]) })
  expect(node.tick(100)).toEqual([])
})

test('a node that comes back from a partition with a higher term deposes the leader once, and the group goes on', () => {
  const script = new Script(3)
  script.elect(1, 2, 3)
  script.deliver()
  // Node 3 wins the pre-vote for term 2, but its real request is lost.
  script.tick(2, 10)
  script.tick(3, 20)
  script.deliver((message) => message.kind !== 'appendEntries' && (message.kind !== 'requestVote' || message.preVote))
  script.drop()
  script.tick(1, 2)
  script.deliver()
  expect(script.node(1).raft!.status()).toMatchObject({
    role: 'follower',
    currentTerm: script.node(3).raft!.status().currentTerm,
  })
  script.elect(1, 2)
  script.deliver()
  expect(script.node(3).raft!.status().leader).toBe(1)
})

test('a follower whose connection to the leader broke asks for votes within half a timeout more, not after the whole silence', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const node = new OneNode(recoveredLog([], { currentTerm: term(1) }), { seed })
    node.receive(append({ from: id(2), term: term(1) }))
    node.step({ kind: 'unreachable', peer: id(2) })
    const ticks = ticksUntil(node, 'preCandidate')
    expect(ticks).toBeGreaterThan(0)
    expect(ticks).toBeLessThanOrEqual(Math.ceil(node.options.electionTimeoutTicks / 2))
  }
})

test('thesis §4.2.3: a follower whose connection to the leader broke no longer protects it, and one word of the leader mends that', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(1) }))
  node.receive(append({ from: id(2), term: term(1) }))
  const preVote = voteRequest({ from: id(3), term: term(2), preVote: true })
  expect(sentOf(node.receive(preVote))).toEqual([])
  node.step({ kind: 'unreachable', peer: id(3) })
  expect(sentOf(node.receive(preVote))).toEqual([])
  node.step({ kind: 'unreachable', peer: id(2) })
  expect(sentOf(node.receive(preVote))).toMatchObject([{ voteGranted: true }])
  node.receive(append({ from: id(2), term: term(1) }))
  expect(sentOf(node.receive(preVote))).toEqual([])
})

test('§5.1: who does not answer a request for its vote is asked again at each heartbeat, and nobody else', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(1) }), {
    configuration: simpleConfiguration([id(1), id(2), id(3), id(4), id(5)]),
  })
  ticksUntil(node, 'preCandidate')
  node.receive(voteResponse({ from: id(2), term: term(2), preVote: true, voteGranted: true }))
  node.receive(voteResponse({ from: id(3), term: term(1), preVote: true, voteGranted: false }))
  const { heartbeatTicks } = node.options
  expect(sentOf(node.tick(heartbeatTicks - 1))).toEqual([])
  const again = { kind: 'requestVote', term: 2, preVote: true }
  expect(sentOf(node.tick())).toMatchObject([
    { ...again, to: 4 },
    { ...again, to: 5 },
  ])
  // Its own vote is not on disk yet.
  const effects = node.receive(voteResponse({ from: id(4), term: term(2), preVote: true, voteGranted: true }))
  expect(node.raft.status().role).toBe('candidate')
  expect(sentOf(node.tick(heartbeatTicks))).toEqual([])
  node.written(effects)
  node.receive(voteResponse({ from: id(2), term: term(2), voteGranted: true }))
  const real = { kind: 'requestVote', term: 2, preVote: false }
  expect(sentOf(node.tick(heartbeatTicks))).toMatchObject([3, 4, 5].map((to) => ({ ...real, to })))
})

test('of two that ask for pre-votes at once, with equal logs, the lower id goes first; for a moment only', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(1) }))
  ticksUntil(node, 'preCandidate')
  const answerTo = (from: NodeId, more: Partial<RequestVote> = {}) =>
    sentOf(node.receive(voteRequest({ from, term: term(2), preVote: true, ...more })))
  // This is node 1: node 2 has to wait, unless its log is better.
  expect(answerTo(id(2))).toMatchObject([{ preVote: true, voteGranted: false }])
  expect(answerTo(id(2), { lastLogIndex: at(1), lastLogTerm: term(1) })).toMatchObject([{ voteGranted: true }])
  for (let tick = 0; tick < node.options.heartbeatTicks; tick++) node.tick()
  expect(node.raft.status().role).toBe('preCandidate')
  expect(answerTo(id(2))).toMatchObject([{ preVote: true, voteGranted: true }])
})

/** Ticks until the node plays this role. */
function ticksUntil(node: OneNode, role: Role): number {
  for (let ticks = 1; ticks <= 10 * node.options.electionTimeoutTicks; ticks++) {
    node.tick()
    if (node.raft.status().role === role) return ticks
  }
  return Number.POSITIVE_INFINITY
}
