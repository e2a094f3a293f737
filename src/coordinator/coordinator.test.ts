import { expect, test } from 'vitest'
import { BRANCHES_MAX, parseClusterId } from '../base/index.ts'
import { Bench, branch, CLUSTER, LOCAL, newTxid, settle } from './coordinator.test-support.ts'
import { OTHER_NODE } from './memory-log.test-support.ts'

test('a commit with every vote is one log entry, and its caller hears committed', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  const answer = bench.commit(txid)
  await settle()
  expect(answer.word).toBe('committed')
  expect(bench.log.records()).toEqual([{ kind: 'commit', txid, branches: LOCAL }])
})

test('P3: nobody is told committed before the record is applied', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const answer = bench.commit(newTxid())
  await settle()
  expect(bench.log.waiting).toHaveLength(1)
  expect(answer.word).toBe('nothing')
  bench.log.commit()
  expect(answer.word).toBe('committed')
})

test('the records of one turn share one log entry', async () => {
  const bench = await Bench.leading()
  const answers = Array.from({ length: 100 }, () => bench.commit(newTxid()))
  await settle()
  expect(answers.every(({ word }) => word === 'committed')).toBe(true)
  expect(bench.log.committed).toHaveLength(1)
})

test('a log entry carries at most batchCommandsMax records, and at most about batchBytesMax bytes', async () => {
  const bench = await Bench.leading({ batchCommandsMax: 10, batchBytesMax: 400 })
  for (let i = 0; i < 30; i++) bench.commit(newTxid())
  await settle()
  expect(bench.kinds()).toHaveLength(30)
  for (const payload of bench.log.committed) expect(payload.length).toBeLessThanOrEqual(400)
  expect(bench.log.committed.length).toBeGreaterThan(3)
})

test('a repeat with the same branches gives the same answer, before and after the transaction is completed', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  const first = bench.commit(txid)
  const meanwhile = bench.commit(txid)
  await settle()
  const later = bench.commit(txid)
  bench.ack(txid, 0, 1)
  await bench.clock.advance(200)
  expect(bench.coordinator.transaction(txid)?.state).toBe('completed')
  const last = bench.commit(txid)
  await settle()
  expect([first, meanwhile, later, last].map(({ word }) => word)).toEqual(Array(4).fill('committed'))
  expect(bench.coordinator.status().committedCount).toBe(1)
})

test('a second commit with other branches is refused, before and after the decision', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  const first = bench.commit(txid)
  const others = [branch(0, 'flights'), branch(1, 'payments')]
  const meanwhile = bench.commit(txid, others)
  await settle()
  const later = bench.commit(txid, others)
  await settle()
  expect([first, meanwhile, later].map(({ word }) => word)).toEqual([
    'committed',
    'refused TXN_OTHER_BRANCHES',
    'refused TXN_OTHER_BRANCHES',
  ])
})

test('P5: an inquiry about an unknown transaction writes aborted before it answers, and a late commit hears aborted', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const txid = newTxid()
  const inquiry = bench.inquire(txid)
  await settle()
  expect(inquiry.word).toBe('nothing')
  expect(bench.log.waitingRecords().map(({ kind }) => kind)).toEqual(['aborted'])
  bench.log.commit()
  expect(inquiry.word).toBe('aborted presumed')
  expect(bench.commit(txid).word).toBe('aborted presumed')
})

test('an inquiry that must not settle answers unknown after a linearizable read, and writes nothing', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const inquiry = bench.inquire(newTxid(), false)
  await settle()
  expect(inquiry.word).toBe('nothing')
  bench.log.commit()
  await settle()
  expect(inquiry.word).toBe('unknown')
  expect(bench.log.committed).toHaveLength(0)
})

test('P2: an inquiry while a commit is under way waits for that decision', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const txid = newTxid()
  const commit = bench.commit(txid)
  await settle()
  const inquiry = bench.inquire(txid)
  const abort = bench.abort(txid)
  await settle()
  bench.log.commit()
  expect([commit.word, inquiry.word, abort.word]).toEqual(['committed', 'committed', 'committed'])
  expect(bench.kinds()).toEqual(['commit'])
})

test('P2: a commit that comes while an abort is under way hears aborted', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const txid = newTxid()
  const abort = bench.abort(txid, LOCAL, { participant: 'flights' })
  const commit = bench.commit(txid)
  await settle()
  bench.log.commit()
  expect([abort.word, commit.word]).toEqual(['aborted requested', 'aborted requested'])
  expect(bench.abort(txid).word).toBe('aborted requested')
})

test.each([
  ['no branch', []],
  ['one branch twice', [branch(0, 'flights'), branch(0, 'hotels')]],
  ['a local branch without a vote', [branch(0, 'flights'), { ...branch(1, 'hotels'), vote: undefined }]],
  ['too many branches', Array.from({ length: BRANCHES_MAX + 1 }, (_, i) => branch(i, 'flights'))],
  ['a branch number out of range', [branch(BRANCHES_MAX, 'flights')]],
  ['an endless name', [branch(0, 'f'.repeat(70_000))]],
])('a commit with %s is refused and leaves nothing behind', async (_, branches) => {
  const bench = await Bench.leading()
  expect(bench.commit(newTxid(), branches).word).toBe('refused TXN_VOTES_INCOMPLETE')
  await settle()
  expect(bench.log.committed).toHaveLength(0)
  expect(bench.coordinator.status().openCount).toBe(0)
})

test('a request for another cluster is refused', async () => {
  const bench = await Bench.leading()
  const clusterId = parseClusterId('other')
  expect(clusterId).not.toBe(CLUSTER)
  expect(bench.commit(newTxid(), LOCAL, { clusterId }).word).toBe('refused WRONG_CLUSTER')
  expect(bench.inquire(newTxid(), true, { clusterId }).word).toBe('refused WRONG_CLUSTER')
  expect(bench.abort(newTxid(), [], { clusterId }).word).toBe('refused WRONG_CLUSTER')
})

test('only a leader answers: another one names the leader it knows', async () => {
  const bench = new Bench()
  await bench.coordinator.start()
  expect(bench.commit(newTxid()).word).toBe('refused NOT_LEADER')
  bench.log.lead()
  bench.log.follow()
  expect(bench.inquire(newTxid()).replies).toMatchObject([{ code: 'NOT_LEADER', leader: OTHER_NODE, retryable: true }])
})

test('beyond openMax new requests are refused as OVERLOADED, and taken again when there is room', async () => {
  const bench = await Bench.leading({ openMax: 2 })
  bench.log.held = true
  const taken = [bench.commit(newTxid()), bench.inquire(newTxid())]
  expect(bench.commit(newTxid()).word).toBe('refused OVERLOADED')
  await settle()
  bench.log.commit()
  expect(taken.map(({ word }) => word)).toEqual(['committed', 'aborted presumed'])
  const next = bench.commit(newTxid())
  await settle()
  bench.log.commit()
  expect(next.word).toBe('committed')
})

test('a caller that throws while it takes its answer disturbs nobody', async () => {
  const bench = await Bench.leading()
  const request = { clusterId: CLUSTER, txid: newTxid(), timeoutMs: 1, branches: LOCAL }
  bench.coordinator.commit(request, () => {
    throw new Error('a caller’s mistake')
  })
  const other = bench.commit(newTxid())
  await settle()
  expect(other.word).toBe('committed')
})
