import { expect, test } from 'vitest'
import { simpleConfiguration } from './configuration.ts'
import {
  append,
  appendResponse,
  appendsOf,
  at,
  id,
  OneNode,
  only,
  recoveredLog,
  sentOf,
  term,
} from './testing/one-node.ts'
import { Script } from './testing/script.ts'

test('Raft §8: a new leader begins its term with a no-op and serves only once that is committed and applied', () => {
  const node = new OneNode()
  const won = node.becomeLeader()
  expect(appendsOf(won)[0]!.entries).toMatchObject([{ index: 1, term: 1, kind: 0 }])
  expect(node.raft.status().serving).toBe(false)
  node.written(won)
  const kinds = node.acknowledge(id(2), 1).map((effect) => effect.kind)
  expect(kinds.indexOf('serving')).toBeGreaterThan(kinds.indexOf('apply'))
  expect(kinds.indexOf('apply')).toBeGreaterThanOrEqual(0)
  expect(node.raft.status().serving).toBe(true)
})

test('a leader that has to load its log first serves only after the no-op was handed to apply', () => {
  const node = new OneNode(recoveredLog([1]))
  node.written(node.becomeLeader())
  const committed = node.acknowledge(id(2), 2)
  expect(only(committed, 'serving')).toEqual([])
  const [load] = only(committed, 'load')
  const entries = [{ term: term(1), index: at(1), kind: 1, data: new Uint8Array(0) }] as const
  const effects = node.step({ kind: 'loaded', loadId: load!.loadId, entries })
  expect(effects.map((effect) => effect.kind)).toEqual(['apply', 'apply', 'serving'])
})

test('thesis §6.4: a read is ready when a majority echoed a round that began after it', () => {
  const node = new OneNode()
  node.becomeServing()
  const asked = node.read(1)
  expect(only(asked, 'readReady')).toEqual([])
  expect(appendsOf(asked).map((message) => message.readRound)).toEqual([1, 1])
  expect(only(node.acknowledge(id(2), 1, 0), 'readReady')).toEqual([])
  expect(only(node.acknowledge(id(3), 1, 1), 'readReady')).toEqual([{ kind: 'readReady', readId: 1, index: 1 }])
})

test('thesis §6.4: reads that come during a round wait for the next, and one round serves them all', () => {
  const node = new OneNode()
  node.becomeServing()
  node.read(1)
  expect(node.read(2)).toEqual([])
  expect(node.read(3)).toEqual([])
  const effects = node.acknowledge(id(2), 1, 1)
  expect(only(effects, 'readReady').map((effect) => effect.readId)).toEqual([1])
  expect(appendsOf(effects).map((message) => message.readRound)).toEqual([2, 2])
  expect(only(node.acknowledge(id(2), 1, 1), 'readReady')).toEqual([])
  expect(only(node.acknowledge(id(2), 1, 2), 'readReady').map((effect) => effect.readId)).toEqual([2, 3])
})

test('thesis §6.4: a read sees what was committed when it was asked', () => {
  const node = new OneNode()
  node.becomeServing()
  node.written(node.propose(1, 1))
  node.acknowledge(id(2), 3)
  node.read(1)
  expect(only(node.acknowledge(id(2), 3, 1), 'readReady')).toMatchObject([{ index: 3 }])
})

test('a refusal confirms the leadership as well: its sender knows no later leader', () => {
  const node = new OneNode()
  node.becomeServing()
  node.read(1)
  const message = appendResponse({ success: false, matchIndex: at(1), readRound: 1 })
  expect(only(node.receive(message), 'readReady')).toHaveLength(1)
})

test('the answer to an outdated message echoes no round: its sender may lead the present term and count from 1 again', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(4) }))
  expect(sentOf(node.receive(append({ term: term(3), readRound: 2 })))).toMatchObject([{ term: 4, readRound: 0 }])
})

test('a peer of the version before echoes rounds of outdated messages, and they do not count', () => {
  const node = new OneNode()
  node.becomeServing()
  node.read(1)
  const outdated = appendResponse({ success: false, matchIndex: at(0), readRound: 1 })
  expect(only(node.receive(outdated), 'readReady')).toEqual([])
})

test('an answer of an earlier term does not confirm a leader', () => {
  const node = new OneNode(recoveredLog([], { currentTerm: term(4) }))
  node.becomeServing()
  node.read(1)
  expect(node.receive(appendResponse({ term: term(4), matchIndex: at(1), readRound: 7 }))).toEqual([])
})

test('reads that come before the no-op is committed wait for it', () => {
  const node = new OneNode()
  const won = node.becomeLeader()
  expect(node.read(1)).toEqual([])
  node.written(won)
  expect(appendsOf(node.acknowledge(id(2), 1)).some((message) => message.readRound === 1)).toBe(true)
  expect(only(node.acknowledge(id(2), 1, 1), 'readReady')).toMatchObject([{ index: 1 }])
})

test('lost messages of a round are made good by the next heartbeat', () => {
  const node = new OneNode()
  node.becomeServing()
  node.read(1)
  expect(appendsOf(node.tick(2)).map((message) => message.readRound)).toEqual([1, 1])
})

test('a group of one answers reads at once after its no-op', () => {
  const node = new OneNode(undefined, { configuration: simpleConfiguration([id(1)]) })
  node.written(node.written(node.timeOut()))
  expect(node.read(1)).toEqual([{ kind: 'readReady', readId: 1, index: 1 }])
})

test('a leader that steps down refuses every read that waits', () => {
  const node = new OneNode()
  node.becomeServing()
  node.read(1)
  node.read(2)
  const refused = only(node.receive(append({ from: id(3), term: term(5) })), 'readRefused')
  expect(refused.map((effect) => [Number(effect.readId), effect.reason, effect.leader])).toEqual([
    [1, 'leadershipLost', 3],
    [2, 'leadershipLost', 3],
  ])
})

test('a deposed leader that does not know it yet never answers a read', () => {
  const script = new Script(3)
  script.elect(1, 2, 3)
  script.deliver()
  script.elect(2, 3)
  script.node(2).step({ kind: 'propose', proposals: [new Uint8Array(1)] })
  script.deliverAmong(2, 3)
  expect(script.node(1).raft!.status().serving).toBe(true)
  script.world.read(script.node(1))
  // Its round meets voters of a later term, and their answers depose it. The global checks watch what it answers.
  script.deliver()
  expect(script.node(1).raft!.status()).toMatchObject({ role: 'follower', leader: 2 })
  expect(script.world.checks.marks.get('readReady')).toBeUndefined()
  expect(script.world.checks.marks.get('leadershipLost')).toBe(1)
})
