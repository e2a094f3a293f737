import { expect, test } from 'vitest'
import { ByteWriter } from '../base/index.ts'
import { encodeCommands, type LedgerCommand } from '../txn/index.ts'
import { Bench, CLUSTER, LOCAL, newTxid } from './coordinator.test-support.ts'
import { FakeDatabase } from './fake-database.test-support.ts'
import { MemoryLog } from './memory-log.test-support.ts'
import { Resolver } from './resolver.ts'
import { settle } from './virtual-clock.test-support.ts'

const GAP_MS = 1_750_000_000_001

function payload(command: LedgerCommand): Uint8Array {
  const writer = new ByteWriter()
  encodeCommands([command], writer)
  return writer.finish()
}

/** A leader over a log that was put in the place of one whose end is lost. */
async function guarded(...later: readonly LedgerCommand[]) {
  const gap = { kind: 'guard', beforeMs: GAP_MS, reason: 'a backup was restored' } as const
  const log = new MemoryLog([gap, ...later].map(payload))
  const bench = new Bench({}, log)
  await bench.coordinator.start()
  log.lead(2)
  await settle()
  const flights = new FakeDatabase()
  const resolver = new Resolver({
    coordinator: bench.coordinator,
    clusterId: CLUSTER,
    resources: [{ name: 'flights', port: flights }],
    clock: bench.clock,
    seed: 1,
  })
  resolver.start()
  return { bench, flights }
}

test('P1: after a part of the log was lost, the resolver leaves branches of unknown transactions as they are', async () => {
  const { bench, flights } = await guarded()
  flights.prepare(newTxid(), 0)
  await bench.clock.advance(30_000)
  expect(flights.scans).toBeGreaterThan(2)
  expect(flights.done).toEqual([])
  expect(bench.kinds()).toEqual(['guard'])
})

test('P8: whoever asks about such a transaction hears that its outcome is pending, and nothing is decided', async () => {
  const { bench } = await guarded()
  const txid = newTxid()
  const answers = [bench.commit(txid, LOCAL), bench.abort(txid), bench.inquire(txid), bench.inquire(txid, false)]
  await settle()
  expect(answers.map(({ word }) => word)).toEqual(Array(4).fill('refused OUTCOME_PENDING'))
  expect(answers[0]!.replies[0]).toMatchObject({ retryable: true })
  expect(bench.kinds()).toEqual(['guard'])
})

test('transactions that were made after the loss are decided as ever', async () => {
  const { bench, flights } = await guarded()
  const answer = bench.commit(newTxid(GAP_MS), LOCAL)
  const left = newTxid(GAP_MS)
  const gid = flights.prepare(left, 0)
  await bench.clock.advance(30_000)
  expect(answer.word).toBe('committed')
  expect(flights.done).toContain(`abort ${gid}`)
})

test('once an operator has lifted the guard, an unknown transaction is an aborted one', async () => {
  const { bench, flights } = await guarded()
  const txid = newTxid()
  const gid = flights.prepare(txid, 0)
  expect(await lift(bench)).toBe(true)
  expect(bench.coordinator.status().guard).toBeUndefined()
  await bench.clock.advance(30_000)
  expect(flights.done).toEqual([`abort ${gid}`])
  expect(await lift(bench)).toBe(true)
})

test('only a leader lifts the guard, and one that loses its place does not claim to have done it', async () => {
  const { bench } = await guarded()
  bench.log.held = true
  const lifted = lift(bench)
  await settle()
  bench.log.follow()
  expect(await lifted).toBe(false)
  expect(await lift(bench)).toBe(false)
  expect(bench.coordinator.guard).toEqual({ fromMs: 0, beforeMs: GAP_MS })
})

test('evidence of guarded transactions is not forgotten, however far the watermark goes', async () => {
  const { bench } = await guarded({ kind: 'watermark', beforeMs: GAP_MS + 1 })
  expect(bench.coordinator.evidenceBoundMs()).toBe(0)
  expect(await lift(bench)).toBe(true)
  expect(bench.coordinator.evidenceBoundMs()).toBe(GAP_MS + 1)
})

function lift(bench: Bench): Promise<boolean> {
  return new Promise((resolve) => bench.coordinator.liftGuard('settled by hand', resolve))
}
