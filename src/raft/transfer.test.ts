import { expect, test } from 'vitest'
import { simpleConfiguration } from './configuration.ts'
import {
  append,
  appendResponse,
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
  writesOf,
} from './testing/one-node.ts'
import { Script } from './testing/script.ts'
import type { RaftEffect } from './types.ts'

function transfer(node: OneNode, to?: number): RaftEffect[] {
  return node.step({ kind: 'transferLeadership', to: to === undefined ? undefined : id(to) })
}

function serving(): OneNode {
  const node = new OneNode()
  node.becomeServing()
  return node
}

const timeoutNow = { kind: 'timeoutNow', from: id(2), to: id(1), term: term(1) } as const

test('thesis §3.10: a target that has the whole log is told to campaign at once', () => {
  const node = serving()
  expect(transfer(node, 3)).toMatchObject([{ kind: 'send', message: { kind: 'timeoutNow', to: 3, term: 1 } }])
  expect(node.raft.status().transferTarget).toBe(3)
  expect(node.raft.isTransferring).toBe(true)
})

test('thesis §3.10: a target that lacks entries gets them first', () => {
  const node = serving()
  node.written(node.propose(1))
  expect(transfer(node, 3)).toEqual([])
  expect(sentOf(node.acknowledge(id(2), 2)).filter(({ kind }) => kind === 'timeoutNow')).toEqual([])
  expect(sentOf(node.acknowledge(id(3), 2))).toMatchObject([{ kind: 'timeoutNow', to: 3 }])
})

test('thesis §3.10: meanwhile no proposal is taken, or the target could never catch up', () => {
  const node = serving()
  transfer(node, 3)
  expect(node.propose(1)).toEqual([{ kind: 'proposalRefused', reason: 'transferring', leader: 1 }])
})

test('members are not changed while the leadership is handed over', () => {
  const node = serving()
  transfer(node, 3)
  const target = { voters: [id(1), id(2)], learners: [] }
  const effects = node.step({ kind: 'changeConfiguration', target, context: new Uint8Array(0), force: true })
  expect(only(effects, 'configurationRefused')).toMatchObject([{ reason: 'transferring' }])
})

test('the message to the target is repeated with each of its answers, for it may be lost', () => {
  const node = serving()
  transfer(node, 3)
  expect(sentOf(node.acknowledge(id(3), 1))).toMatchObject([{ kind: 'timeoutNow' }])
})

test('thesis §3.10: a leader that nobody deposed within an election timeout goes on', () => {
  const node = serving()
  transfer(node, 3)
  const effects = [...node.tick(9), ...node.acknowledge(id(2), 1)]
  expect(only(effects, 'transferFailed')).toEqual([])
  expect(only(node.tick(1), 'transferFailed')).toEqual([{ kind: 'transferFailed', reason: 'timeout' }])
  expect(only(node.propose(1), 'proposed')).toHaveLength(1)
})

test('without a target the furthest voter is chosen', () => {
  const node = serving()
  node.written(node.propose(1))
  node.acknowledge(id(3), 2)
  expect(sentOf(transfer(node))).toMatchObject([{ kind: 'timeoutNow', to: 3 }])
})

test('a voter that was not heard of late, or is in doubt, is no target', () => {
  const silent = serving()
  for (let i = 0; i < 4; i++) {
    silent.tick(8)
    silent.acknowledge(id(2), 1)
  }
  expect(transfer(silent, 3)).toEqual([{ kind: 'transferFailed', reason: 'noTarget' }])
  const doubtful = serving()
  for (const from of [id(2), id(3)]) doubtful.receive(appendResponse({ from, matchIndex: at(1), doubtful: true }))
  expect(transfer(doubtful)).toEqual([{ kind: 'transferFailed', reason: 'noTarget' }])
})

test('neither the leader itself, nor a learner, nor a stranger is a target', () => {
  const configuration = simpleConfiguration([id(1), id(2)], [id(3)])
  const node = new OneNode(undefined, { configuration })
  node.becomeServing()
  node.acknowledge(id(3), 1)
  for (const to of [1, 3, 9]) expect(transfer(node, to)).toEqual([{ kind: 'transferFailed', reason: 'noTarget' }])
})

test('one transfer is under way at most, and only a leader has something to hand over', () => {
  const node = serving()
  transfer(node, 3)
  expect(transfer(node, 2)).toEqual([{ kind: 'transferFailed', reason: 'busy' }])
  expect(transfer(new OneNode())).toEqual([{ kind: 'transferFailed', reason: 'notLeader' }])
})

test('a leader that loses its leadership hands nothing over any more', () => {
  const node = serving()
  transfer(node, 3)
  node.receive(append({ from: id(3), term: term(2) }))
  expect(node.raft.status()).toMatchObject({ role: 'follower', transferTarget: undefined })
})

test('who is told to campaign does so without a pre-vote, behind the write of its own vote', () => {
  const node = new OneNode()
  node.receive(append({ from: id(2) }))
  const effects = node.receive(timeoutNow)
  expect(node.raft.status()).toMatchObject({ role: 'candidate', currentTerm: 2, votedFor: 1 })
  expect(sentOf(effects)).toEqual([])
  expect(writesOf(effects)).toMatchObject([{ hardState: { currentTerm: 2, votedFor: 1 } }])
  expect(unlocksOf(effects)).toMatchObject([
    { kind: 'requestVote', to: 2, preVote: false, leadershipTransfer: true },
    { kind: 'requestVote', to: 3, preVote: false, leadershipTransfer: true },
  ])
})

test('the campaign after a failed one is an ordinary one', () => {
  const node = new OneNode()
  node.receive(append({ from: id(2) }))
  node.written(node.receive(timeoutNow))
  const preVotes = sentOf(node.timeOut()).filter((message) => message.kind === 'requestVote' && message.preVote)
  expect(preVotes[0]).toMatchObject({ leadershipTransfer: false })
})

test('who hears a live leader votes nevertheless when that leader asked for the campaign', () => {
  const node = new OneNode()
  node.receive(append({ from: id(3) }))
  const request = voteRequest({ from: id(2), term: term(2), leadershipTransfer: true })
  expect(unlocksOf(node.receive(request))).toMatchObject([{ voteGranted: true }])
})

test('§5.4.1 holds for such a campaign as well: no vote for a log that lacks entries', () => {
  const node = new OneNode(recoveredLog([1, 1]))
  const effects = node.receive(voteRequest({ from: id(2), term: term(2), leadershipTransfer: true }))
  expect([...sentOf(effects), ...unlocksOf(effects)]).toMatchObject([{ voteGranted: false }])
})

test('a leader that asked for the campaign steps down at the request', () => {
  const node = serving()
  transfer(node, 3)
  const position = { lastLogIndex: at(1), lastLogTerm: term(1) }
  node.receive(voteRequest({ from: id(3), term: term(2), leadershipTransfer: true, ...position }))
  expect(node.raft.status()).toMatchObject({ role: 'follower', currentTerm: 2, votedFor: 3 })
})

test('an order of an earlier term is ignored, and so is one to a node that can not win', () => {
  expect(new OneNode(recoveredLog([], { currentTerm: term(2) })).receive(timeoutNow)).toEqual([])
  const learner = new OneNode(undefined, { configuration: simpleConfiguration([id(2), id(3)], [id(1)]) })
  learner.receive(append({ from: id(2) }))
  expect(learner.receive(timeoutNow)).toEqual([])
})

test('who has not applied what it knows to be committed does not campaign on order either', () => {
  const node = new OneNode(recoveredLog([1, 1], { commitIndex: at(2) }))
  const [load] = only(node.receive(append({ from: id(2) })), 'load')
  expect(node.receive(timeoutNow)).toEqual([])
  node.step({ kind: 'loaded', loadId: load!.loadId, entries: entriesOf([1, 1]) })
  node.receive(timeoutNow)
  expect(node.raft.status().role).toBe('candidate')
})

test('a planned change of the leader takes one round of votes, and loses nothing', () => {
  const script = new Script(3)
  script.elect(1, 2, 3)
  script.deliver()
  script.node(1).step({ kind: 'propose', proposals: [new Uint8Array(1)] })
  script.node(1).step({ kind: 'transferLeadership', to: undefined })
  script.deliver()
  expect(script.node(2).raft!.status()).toMatchObject({ role: 'leader', currentTerm: 2, serving: true })
  expect(script.terms(2)).toEqual([1, 1, 2])
})
