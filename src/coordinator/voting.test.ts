import { expect, test } from 'vitest'
import type { BranchId } from '../base/index.ts'
import { Bench, branch, MIXED, newTxid, settle } from './coordinator.test-support.ts'

test('PREPARE goes out in the moment in which `prepared` is proposed, only to branches without a vote', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const txid = newTxid()
  bench.commit(txid, MIXED, { timeoutMs: 1_234 })
  expect(bench.participants.sent).toEqual([])
  await settle()
  expect(bench.log.waitingRecords()).toEqual([{ kind: 'prepared', txid, timeoutMs: 1_234, branches: MIXED }])
  expect(bench.participants.sent).toEqual([
    { kind: 'prepare', to: 'mail', participant: 'mail', txid, branch: 1, timeoutMs: 1_234 },
    { kind: 'prepare', to: 'stock', participant: 'stock', txid, branch: 2, timeoutMs: 1_234 },
  ])
})

test('the transaction commits when every branch voted, each vote counted once', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  const answer = bench.commit(txid, MIXED)
  await settle()
  bench.vote(txid, 1)
  bench.vote(txid, 1)
  bench.vote(txid, 0)
  bench.vote(txid, 9)
  await settle()
  expect(answer.word).toBe('nothing')
  bench.vote(txid, 2)
  await settle()
  expect(answer.word).toBe('committed')
  expect(bench.kinds()).toEqual(['prepared', 'commit'])
})

test('the votes and the evidence are in the commit record, for the next leader', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  bench.coordinator.vote(txid, 1 as BranchId, 'readOnly', undefined)
  bench.coordinator.vote(txid, 2 as BranchId, 'commit', 'epoch-7')
  await settle()
  expect(bench.coordinator.transaction(txid)?.branches).toMatchObject([
    { branch: 0, vote: 'commit' },
    { branch: 1, vote: 'readOnly' },
    { branch: 2, vote: 'commit', evidence: 'epoch-7' },
  ])
})

test('a read-only voter is left out of phase two', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  bench.vote(txid, 1, 'readOnly')
  bench.vote(txid, 2)
  await settle()
  bench.participants.take()
  await bench.clock.advance(20_000)
  const told = new Set(bench.participants.take())
  expect(told).toEqual(new Set(['commit stock']))
  bench.ack(txid, 0, 2)
  await bench.clock.advance(200)
  expect(bench.coordinator.transaction(txid)?.state).toBe('completed')
})

test('the first abort vote decides at once, and what comes later changes nothing', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  const answer = bench.commit(txid, MIXED)
  await settle()
  bench.vote(txid, 2, 'abort')
  bench.vote(txid, 1, 'abort')
  bench.vote(txid, 1)
  await bench.clock.advance(60_000)
  expect(answer.replies).toEqual([
    { kind: 'outcome', outcome: { kind: 'aborted', reason: 'votedAbort', participant: 'stock' } },
  ])
  expect(bench.kinds().filter((kind) => kind !== 'watermark')).toEqual(['prepared', 'aborted'])
})

test('a participant that is gone for good, and has not voted, aborts at once what waits for it, and nothing else', async () => {
  const bench = await Bench.leading()
  const [waiting, voted] = [newTxid(), newTxid()]
  const answers = [waiting, voted].map((txid) => bench.commit(txid, MIXED))
  await settle()
  bench.vote(voted, 2)
  bench.coordinator.participantGone('stock')
  await settle()
  expect(answers.map(({ word }) => word)).toEqual(['aborted unreachable', 'nothing'])
  bench.vote(voted, 1)
  await settle()
  expect(answers.map(({ word }) => word)).toEqual(['aborted unreachable', 'committed'])
})

test('a participant that never votes: at the deadline the transaction aborts, exactly once, and names it', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  const answer = bench.commit(txid, MIXED, { timeoutMs: 5_000 })
  await settle()
  bench.vote(txid, 1)
  await bench.clock.advance(4_950)
  expect(answer.word).toBe('nothing')
  await bench.clock.advance(100)
  expect(answer.replies).toEqual([
    { kind: 'outcome', outcome: { kind: 'aborted', reason: 'deadline', participant: 'stock' } },
  ])
  bench.vote(txid, 2)
  await bench.clock.advance(20_000)
  expect(bench.kinds().filter((kind) => kind === 'aborted' || kind === 'commit')).toEqual(['aborted'])
})

test('P2: when the last vote and the deadline meet, the first to be proposed stands', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const txid = newTxid()
  const answer = bench.commit(txid, MIXED, { timeoutMs: 1_000 })
  await settle()
  bench.vote(txid, 1)
  bench.vote(txid, 2)
  await bench.clock.advance(5_000)
  bench.log.commit()
  expect(answer.word).toBe('committed')
  expect(bench.kinds()).toEqual(['prepared', 'commit'])
})

test('PREPARE is repeated with growing pauses until the vote comes', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  bench.vote(txid, 1)
  bench.participants.take()
  await bench.clock.advance(1_000)
  const early = bench.participants.take()
  await bench.clock.advance(1_000)
  const later = bench.participants.take()
  expect(new Set([...early, ...later])).toEqual(new Set(['prepare stock']))
  expect(early.length).toBeGreaterThan(later.length)
  expect(later.length).toBeGreaterThan(0)
})

test('a decision is repeated until each branch acknowledges, then `completed` is written, lazily', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  bench.vote(txid, 1)
  bench.vote(txid, 2)
  await settle()
  expect(bench.participants.take()).toEqual(['prepare mail', 'prepare stock', 'commit mail', 'commit stock'])
  bench.ack(txid, 1)
  await bench.clock.advance(200)
  expect(new Set(bench.participants.take())).toEqual(new Set(['commit stock']))
  bench.ack(txid, 2)
  bench.ack(txid, 2)
  bench.participants.take()
  await bench.clock.advance(20_000)
  expect(bench.participants.take()).toEqual([])
  expect(bench.coordinator.transaction(txid)?.state).toBe('committed')
  bench.ack(txid, 0)
  expect(bench.kinds()).not.toContain('completed')
  await bench.clock.advance(200)
  expect(bench.coordinator.transaction(txid)?.state).toBe('completed')
})

test('acknowledgements of many transactions share one `completed` record', async () => {
  const bench = await Bench.leading({ completedBatchMax: 50 })
  const txids = Array.from({ length: 120 }, () => newTxid())
  for (const txid of txids) bench.commit(txid)
  await settle()
  for (const txid of txids) bench.ack(txid, 0, 1)
  await bench.clock.advance(200)
  expect(bench.kinds().filter((kind) => kind === 'completed')).toHaveLength(3)
  expect(bench.coordinator.status()).toMatchObject({ undeliveredCount: 0, finishedCount: 120 })
})

test('the application may abort while the votes are gathered', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  const commit = bench.commit(txid, MIXED)
  await settle()
  const abort = bench.abort(txid, [], { participant: 'flights' })
  await settle()
  expect([commit.word, abort.word]).toEqual(['aborted requested', 'aborted requested'])
  expect(bench.participants.take().slice(2)).toEqual(['abort mail', 'abort stock'])
})

test('a participant that asks while its vote is missing hears preparing', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  const inquiry = bench.inquire(txid)
  await settle()
  expect(inquiry.word).toBe('preparing')
})

test('preparing is said only by a leader that a majority has confirmed: another one may have decided', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  bench.log.held = true
  const inquiry = bench.inquire(txid)
  await settle()
  expect(inquiry.word).toBe('nothing')
  bench.log.follow()
  await settle()
  expect(inquiry.word).toBe('refused NOT_LEADER')
})

test('a transaction whose first record is not applied yet is preparing, not unknown', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.log.held = true
  bench.commit(txid, MIXED)
  await settle()
  bench.log.held = false
  const inquiry = bench.inquire(txid, false)
  await settle()
  expect(inquiry.word).toBe('preparing')
})

test('a participant that votes after the decision is told it again at once', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  bench.vote(txid, 1, 'abort')
  await settle()
  bench.participants.take()
  bench.vote(txid, 2)
  expect(bench.participants.take()).toEqual(['abort stock'])
})

test('a participant that nobody knows: the transaction aborts at once, durably, and its branches are told', async () => {
  const bench = await Bench.leading()
  bench.participants.strangers.add('stock')
  const txid = newTxid()
  const answer = bench.commit(txid, MIXED)
  await settle()
  expect(answer.replies).toEqual([
    { kind: 'outcome', outcome: { kind: 'aborted', reason: 'unreachable', participant: 'stock' } },
  ])
  expect([...bench.coordinator.undelivered()].map(({ branches }) => branches.length)).toEqual([3])
})

test('other branches under the same txid are refused while the votes are gathered', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  expect(bench.commit(txid, [branch(0, 'flights')]).word).toBe('refused TXN_OTHER_BRANCHES')
})
