import { expect, test } from 'vitest'
import { simpleConfiguration } from './configuration.ts'
import { ids } from './testing/configurations.ts'
import { appendsOf, id, OneNode, only, sentOf } from './testing/one-node.ts'
import type { RaftEffect } from './types.ts'

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

test('thesis §4.2.2: a leader that is removed leads until that is committed, then hands over to the furthest voter', () => {
  const node = serving()
  node.written(change(node, 2, 3))
  node.propose(10)
  expect(node.raft.status().role).toBe('leader')
  const effects = node.acknowledge(id(3), 2)
  expect(node.raft.status()).toMatchObject({ role: 'leader', transferTarget: 3, configuration: { voters: [2, 3] } })
  // Everyone hears of the commit; the heir gets its orders when it holds all that the leader holds.
  expect(appendsOf(effects, id(2)).at(-1)).toMatchObject({ leaderCommit: 2 })
  expect(timeoutsOf(effects)).toEqual([])
  expect(timeoutsOf(node.acknowledge(id(3), 3))).toMatchObject([{ to: 3, term: 1 }])
  expect(only(node.propose(1), 'proposalRefused')).toMatchObject([{ reason: 'transferring' }])
})

test('a removed leader does not count itself', () => {
  const node = serving()
  node.written(change(node, 2, 3))
  const waiting = node.propose(10)
  node.acknowledge(id(3), 2)
  node.written(waiting)
  node.acknowledge(id(3), 3)
  expect(node.raft.status(), 'two copies, but one voter').toMatchObject({ role: 'leader', commitIndex: 2 })
  node.acknowledge(id(2), 3)
  expect(node.raft.status().commitIndex).toBe(3)
})

test('a removed leader whose heir never takes over steps down after an election timeout', () => {
  const node = serving()
  node.written(change(node, 2, 3))
  node.acknowledge(id(3), 2)
  const effects = node.tick(10)
  expect(node.raft.status()).toMatchObject({ role: 'follower', leader: undefined, currentTerm: 1 })
  // Nobody asked for this transfer, so nobody is told that it failed.
  expect(only(effects, 'transferFailed')).toEqual([])
  expect(only(node.tick(100), 'roleChanged')).toEqual([])
})

test('a leader whose whole group is replaced leads until the old voters are left, and hands over to a new one', () => {
  const node = serving(ids(1, 2))
  const replaced = change(node, 3)
  node.written(replaced)
  const left = node.acknowledge(id(2), 2)
  expect(node.raft.status()).toMatchObject({ role: 'leader', configuration: { voters: [3], votersOutgoing: [1, 2] } })
  node.written(left)
  node.acknowledge(id(2), 3)
  const gone = node.acknowledge(id(3), 3)
  expect(node.raft.status()).toMatchObject({ configuration: { voters: [3], retired: [1, 2] }, transferTarget: 3 })
  expect(timeoutsOf(gone)).toMatchObject([{ to: 3 }])
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
