import { expect, test } from 'vitest'
import type { BranchId } from '../base/index.ts'
import { Bench, LOCAL, newTxid, settle } from './coordinator.test-support.ts'
import type { OperatorRecord } from './operator-records.ts'

function order(txid = newTxid()): OperatorRecord {
  const details = { by: 'ann', reason: 'because', evidence: '{}', atMs: 1 }
  return { kind: 'settle', txid, branch: 0 as BranchId, action: 'abort', ...details }
}

function record(bench: Bench, what: OperatorRecord): boolean[] {
  const told: boolean[] = []
  bench.coordinator.record(what, (recorded) => told.push(recorded))
  return told
}

test('P3: nobody hears that an operator’s record is in the log before it is applied', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const told = record(bench, order())
  await settle()
  expect(told).toEqual([])
  bench.log.held = false
  bench.log.commit()
  expect(told).toEqual([true])
})

test('each hears of its own record', async () => {
  const bench = await Bench.leading()
  bench.log.held = true
  const first = record(bench, order())
  await settle()
  const second = record(bench, order())
  await settle()
  bench.log.commit(1)
  expect([first, second]).toEqual([[true], []])
  bench.log.commit()
  expect([first, second]).toEqual([[true], [true]])
})

test('a follower records nothing, and a leader that loses its place says that nobody knows', async () => {
  const bench = new Bench()
  await bench.coordinator.start()
  expect(record(bench, order())).toEqual([false])
  bench.log.lead()
  bench.log.held = true
  const told = record(bench, order())
  await settle()
  bench.log.follow(1)
  expect(told).toEqual([false])
  expect(bench.coordinator.settlements, 'it survived all the same').toHaveLength(1)
})

test('a record survives its leader: the next one has the book, and goes on telling the decision', async () => {
  const bench = await Bench.leading()
  const txid = newTxid()
  bench.commit(txid, LOCAL)
  await settle()
  record(bench, order(txid))
  record(bench, { kind: 'settled', txid, branch: 0 as BranchId, found: 'aborted' })
  await settle()
  const next = await bench.successor()
  expect(next.coordinator.settlements).toEqual(bench.coordinator.settlements)
  expect(next.coordinator.status()).toMatchObject({ heuristicCount: 1, unacknowledgedCount: 1 })
  expect([...next.coordinator.undelivered()]).toMatchObject([{ txid, decision: 'commit' }])
  record(next, { kind: 'acknowledged', txid, by: 'bob', reason: 'seen', atMs: 2 })
  await settle()
  expect(next.coordinator.status()).toMatchObject({ heuristicCount: 0, unacknowledgedCount: 0 })
  expect(next.coordinator.knowledge(txid)).toEqual({ kind: 'committed' })
})
