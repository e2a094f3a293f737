import { expect, test } from 'vitest'
import { simpleConfiguration } from './configuration.ts'
import { append, appendsOf, at, id, OneNode, only, recoveredLog, sentOf, term } from './testing/one-node.ts'
import { Script } from './testing/script.ts'
import type { ReadIndexRequest, ReadIndexResponse, ReadKey } from './types.ts'

const key = (value: number) => value as ReadKey

/** Follower 1 of leader 3 in term 1. */
function follower(firstReadKey = 1000): OneNode {
  const node = new OneNode(undefined, { firstReadKey: key(firstReadKey) })
  node.receive(append({ from: id(3) }))
  return node
}

function request(fields: Partial<ReadIndexRequest>): ReadIndexRequest {
  return { kind: 'readIndex', from: id(2), to: id(1), term: term(1), readKey: key(77), ...fields }
}

function response(fields: Partial<ReadIndexResponse>): ReadIndexResponse {
  const answer = { readKey: key(1000), granted: true, index: at(5) }
  return { kind: 'readIndexResponse', from: id(3), to: id(1), term: term(1), ...answer, ...fields }
}

test('thesis §6.4: a follower forwards a read to its leader', () => {
  expect(follower().read(1)).toEqual([
    { kind: 'send', message: { kind: 'readIndex', from: 1, to: 3, term: 1, readKey: 1000 } },
  ])
})

test('the read is ready where the leader says', () => {
  const node = follower()
  node.read(1)
  expect(node.receive(response({}))).toEqual([{ kind: 'readReady', readId: 1, index: 5 }])
})

test('each read has a key of its own, and an answer counts once', () => {
  const node = follower()
  node.read(1)
  node.read(2)
  expect(node.receive(response({ readKey: key(1001) }))).toMatchObject([{ readId: 2 }])
  expect(node.receive(response({ readKey: key(1001) }))).toEqual([])
  expect(node.receive(response({}))).toMatchObject([{ readId: 1 }])
})

test('an answer to a read of an earlier run of the node is nobody’s: keys begin elsewhere in each run', () => {
  const before = follower(1000)
  before.read(1)
  const restarted = follower(5000)
  restarted.read(1)
  expect(restarted.receive(response({}))).toEqual([])
})

test('who knows no leader refuses a read', () => {
  expect(new OneNode().read(1)).toEqual([{ kind: 'readRefused', readId: 1, reason: 'notLeader', leader: undefined }])
})

test('a refused read is refused', () => {
  const node = follower()
  node.read(1)
  const refused = { kind: 'readRefused', readId: 1, reason: 'leadershipLost', leader: 3 }
  expect(node.receive(response({ granted: false }))).toEqual([refused])
})

test('forwarded reads are refused when another leader, or none, is known', () => {
  const other = follower()
  other.read(1)
  const refused = only(other.receive(append({ from: id(2), term: term(2) })), 'readRefused')
  expect(refused).toEqual([{ kind: 'readRefused', readId: 1, reason: 'leadershipLost', leader: 2 }])
  const none = follower()
  for (let i = 0; i < 5; i++) none.tick()
  none.read(1)
  expect(only(none.timeOut(), 'readRefused')).toMatchObject([{ readId: 1, leader: undefined }])
})

test('a forwarded read without an answer is refused after an election timeout', () => {
  const node = follower()
  node.read(1)
  const heard = () => [...node.tick(1), ...node.receive(append({ from: id(3) }))]
  expect(only(Array.from({ length: 9 }, heard).flat(), 'readRefused')).toEqual([])
  expect(only(heard(), 'readRefused')).toMatchObject([{ readId: 1, leader: 3 }])
  expect(node.receive(response({}))).toEqual([])
})

test('a leader answers a forwarded read after a round that began behind it, like one of its own', () => {
  const node = new OneNode()
  node.becomeServing()
  const asked = node.receive(request({}))
  expect(appendsOf(asked).map((message) => message.readRound)).toEqual([1, 1])
  expect(sentOf(node.acknowledge(id(3), 1, 1))).toMatchObject([
    { kind: 'readIndexResponse', to: 2, readKey: 77, granted: true, index: 1 },
  ])
})

test('forwarded reads and own ones share a round', () => {
  const node = new OneNode()
  node.becomeServing()
  node.read(1)
  node.read(2)
  node.receive(request({}))
  const first = node.acknowledge(id(3), 1, 1)
  expect(only(first, 'readReady')).toHaveLength(1)
  const second = node.acknowledge(id(3), 1, 2)
  expect(only(second, 'readReady')).toMatchObject([{ readId: 2 }])
  expect(sentOf(second)).toMatchObject([{ kind: 'readIndexResponse', granted: true }])
})

test('a leader that does not serve yet lets forwarded reads wait, like its own', () => {
  const node = new OneNode()
  const won = node.becomeLeader()
  expect(node.receive(request({}))).toEqual([])
  node.written(won)
  node.acknowledge(id(2), 1)
  expect(sentOf(node.acknowledge(id(2), 1, 1))).toMatchObject([{ granted: true, index: 1 }])
})

test('who does not lead, or leads another term, refuses a forwarded read', () => {
  expect(sentOf(new OneNode().receive(request({ term: term(0) })))).toMatchObject([{ readKey: 77, granted: false }])
  const node = new OneNode(recoveredLog([], { currentTerm: term(4) }))
  node.becomeServing()
  expect(sentOf(node.receive(request({ term: term(4) })))).toMatchObject([{ term: 5, granted: false }])
})

test('a leader that loses its leadership refuses the forwarded reads that wait', () => {
  const node = new OneNode()
  node.becomeServing()
  node.receive(request({}))
  const effects = node.receive(append({ from: id(3), term: term(2) }))
  const messages = only(effects, 'write').flatMap((write) => write.unlocks)
  expect(messages).toMatchObject([{ kind: 'readIndexResponse', to: 2, granted: false }, {}])
})

test('a learner is served as well', () => {
  const node = new OneNode(undefined, { configuration: simpleConfiguration([id(1)], [id(2)]) })
  node.written(node.written(node.timeOut()))
  expect(sentOf(node.receive(request({})))).toMatchObject([
    { kind: 'appendEntries' },
    { kind: 'readIndexResponse', granted: true, index: 1 },
  ])
})

test('a read at a follower sees what was committed before, although the follower itself does not know it yet', () => {
  const script = new Script(3)
  script.elect(1, 2, 3)
  script.deliver()
  script.node(1).step({ kind: 'propose', proposals: [new Uint8Array(1)] })
  script.deliverAmong(1, 2)
  expect(script.node(3).raft!.status().commitIndex).toBeLessThan(2)
  // The global checks compare its index with what the group had committed when it was asked.
  script.world.read(script.node(3))
  script.deliver()
  expect(script.world.checks.marks.get('readReady')).toBe(1)
})
