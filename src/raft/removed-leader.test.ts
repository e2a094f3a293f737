import { expect, test } from 'vitest'
import { simpleConfiguration } from './configuration.ts'
import { encodeConfiguration } from './configuration-codec.ts'
import { ids } from './testing/configurations.ts'
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
  voteResponse,
} from './testing/one-node.ts'
import { type Entry, EntryKind, type RaftEffect } from './types.ts'

function change(node: OneNode, ...voters: readonly number[]): RaftEffect[] {
  const target = { voters: ids(...voters), learners: [] }
  return node.step({ kind: 'changeConfiguration', target, context: new Uint8Array(0), force: true })
}

function serving(voters = ids(1, 2, 3)): OneNode {
  const node = new OneNode(undefined, { configuration: simpleConfiguration(voters) })
  node.becomeServing()
  return node
}

const timeoutsOf = (effects: readonly RaftEffect[]) => sentOf(effects).filter(({ kind }) => kind === 'timeoutNow')

test('thesis §4.2.2: a leader that is removed leads until that is confirmed, then hands over to the furthest voter', () => {
  const node = serving()
  node.written(change(node, 2, 3))
  expect(node.raft.status().role).toBe('leader')
  node.acknowledge(id(3), 2)
  expect(node.raft.status(), 'it is committed').toMatchObject({ role: 'leader', configuration: { voters: [2, 3] } })
  expect(only(node.propose(10), 'proposed'), 'and the leader still takes proposals').toHaveLength(1)
  node.acknowledge(id(2), 3)
  expect(node.raft.status().transferTarget).toBeUndefined()
  const effects = node.acknowledge(id(3), 3)
  expect(node.raft.status(), 'it is confirmed').toMatchObject({ role: 'leader', transferTarget: 2, commitIndex: 3 })
  // Everyone hears of the commit; the heir gets its orders when it holds all that the leader holds.
  expect(appendsOf(effects, id(3)).at(-1)).toMatchObject({ leaderCommit: 3 })
  expect(timeoutsOf(effects)).toEqual([])
  expect(timeoutsOf(node.acknowledge(id(2), 4))).toMatchObject([{ to: 2, term: 1 }])
  expect(only(node.propose(1), 'proposalRefused')).toMatchObject([{ reason: 'transferring' }])
})

test('a removed leader does not count itself', () => {
  const node = serving()
  node.written(change(node, 2, 3))
  const waiting = node.propose(10)
  node.acknowledge(id(3), 2)
  node.written(waiting)
  node.acknowledge(id(3), 4)
  expect(node.raft.status(), 'two copies, but one voter').toMatchObject({ role: 'leader', commitIndex: 2 })
  node.acknowledge(id(2), 4)
  expect(node.raft.status().commitIndex).toBe(4)
})

test('a removed leader whose heir never takes over steps down after an election timeout', () => {
  const node = serving()
  node.written(change(node, 2, 3))
  for (const index of [2, 3]) for (const from of ids(2, 3)) node.acknowledge(from, index)
  const effects = node.tick(10)
  expect(node.raft.status()).toMatchObject({ role: 'follower', leader: undefined, currentTerm: 1 })
  // Nobody asked for this transfer, so nobody is told that it failed.
  expect(only(effects, 'transferFailed')).toEqual([])
  expect(only(node.tick(100), 'roleChanged')).toEqual([])
})

test('a removed leader that can not confirm its removal steps down when its followers fall silent', () => {
  const node = serving()
  node.written(change(node, 2, 3))
  for (const from of ids(2, 3)) node.acknowledge(from, 2)
  node.tick(10)
  expect(node.raft.status()).toMatchObject({ role: 'leader', transferTarget: undefined })
  node.tick(10)
  expect(node.raft.status()).toMatchObject({ role: 'follower', currentTerm: 1 })
})

test('a leader whose whole group is replaced leads until the old voters are left, and hands over to a new one', () => {
  const node = serving(ids(1, 2))
  const replaced = change(node, 3)
  node.written(replaced)
  const left = node.acknowledge(id(2), 2)
  expect(node.raft.status()).toMatchObject({ role: 'leader', configuration: { voters: [3], votersOutgoing: [1, 2] } })
  node.written(left)
  node.acknowledge(id(2), 3)
  node.acknowledge(id(3), 3)
  const gone = node.acknowledge(id(3), 4)
  expect(node.raft.status()).toMatchObject({ configuration: { voters: [3], retired: [1, 2] }, transferTarget: 3 })
  expect(timeoutsOf(gone)).toMatchObject([{ to: 3 }])
})

test.each([
  ['the same', 1],
  ['an earlier one', 3],
])('the voter that stays learns of the removal from the removed one, whose term is %s', (_, currentTerm) => {
  const pair = simpleConfiguration(ids(1, 2))
  const left = encodeConfiguration({ configuration: simpleConfiguration(ids(2)), context: new Uint8Array(0) })
  const entries: Entry[] = [{ term: term(1), index: at(1), kind: EntryKind.configuration, data: left }]
  // It died before it heard that its removal of node 1 is committed, and with it what it wrote last.
  const stays = new OneNode(recoveredLog([1], { currentTerm: term(currentTerm) }), {
    nodeId: id(2),
    configuration: pair,
  })
  const removed = new OneNode(undefined, { configuration: pair })
  removed.written(removed.receive(append({ entries: [...entries, ...entriesOf([1], 2)], leaderCommit: at(1) })))
  removed.step({ kind: 'unreachable', peer: id(2) })
  stays.timeOut()
  const [request] = sentOf(stays.tick(stays.options.heartbeatTicks))
  expect(request).toMatchObject({ kind: 'requestVote', to: 1, preVote: true })
  const [refusal] = sentOf(removed.receive(request!))
  expect(refusal).toMatchObject({ voteGranted: false, committed: { index: 1, term: 1 } })
  const [load] = only(stays.receive(refusal!), 'load')
  expect(stays.raft.status()).toMatchObject({ role: 'follower', commitIndex: 1, lastApplied: 0 })
  stays.step({ kind: 'loaded', loadId: load!.loadId, entries })
  stays.written(stays.tick(4 * stays.options.electionTimeoutTicks))
  expect(stays.raft.status()).toMatchObject({ role: 'leader', configuration: { voters: [2] } })
})

test('a word of a commit that the log does not hold teaches nothing', () => {
  const node = new OneNode(recoveredLog([1, 1]))
  node.timeOut()
  for (const committed of [
    { index: at(3), term: term(1) },
    { index: at(2), term: term(2) },
  ]) {
    node.receive(voteResponse({ term: term(1), preVote: true, committed }))
    expect(node.raft.status()).toMatchObject({ role: 'preCandidate', commitIndex: 0 })
  }
})

test('a transfer whose target is removed ends at once', () => {
  const node = serving()
  node.written(change(node, 1, 2))
  expect(node.step({ kind: 'transferLeadership', to: id(3) })).toEqual([])
  expect(node.raft.status().transferTarget).toBe(3)
  const effects = node.acknowledge(id(2), 2)
  expect(only(effects, 'transferFailed')).toEqual([{ kind: 'transferFailed', reason: 'noTarget' }])
  expect(node.raft.status().transferTarget).toBeUndefined()
})

test('while the leadership is handed over, no change is taken and no joint configuration is left', () => {
  const node = serving()
  const joint = change(node, 1, 4, 5)
  node.step({ kind: 'transferLeadership', to: id(3) })
  expect(only(change(node, 1, 2), 'configurationRefused')).toMatchObject([{ reason: 'transferring' }])
  node.written(joint)
  node.acknowledge(id(2), 2)
  expect(node.raft.status()).toMatchObject({ lastIndex: 2, configuration: { votersOutgoing: [1, 2, 3] } })
  node.tick(10)
  expect(node.raft.status(), 'the transfer failed, and the change goes on').toMatchObject({ lastIndex: 3 })
})
