import { expect, test } from 'vitest'
import { type BranchId, makeGid } from '../base/index.ts'
import { Bench, branch, CLUSTER, LOCAL, MIXED, newTxid, settle } from './coordinator.test-support.ts'
import { FakeDatabase } from './fake-database.test-support.ts'
import { Resolver } from './resolver.ts'
import type { ResolverOptions } from './resolver-options.ts'

/** A leading coordinator with a resolver over two databases. */
async function world(options: Partial<ResolverOptions> = {}) {
  const bench = await Bench.leading()
  return { bench, ...resolverOf(bench, options) }
}

function resolverOf(bench: Bench, options: Partial<ResolverOptions> = {}, flights = new FakeDatabase()) {
  const hotels = new FakeDatabase()
  const resolver = new Resolver({
    coordinator: bench.coordinator,
    clusterId: bench.coordinator.clusterId,
    resources: [
      { name: 'flights', port: flights },
      { name: 'hotels', port: hotels },
    ],
    clock: bench.clock,
    seed: 1,
    options,
  })
  resolver.start()
  return { resolver, flights, hotels }
}

test('a branch of an unknown transaction is rolled back, after the abort was written', async () => {
  const { bench, flights } = await world()
  bench.log.held = true
  const txid = newTxid()
  const gid = flights.prepare(txid, 0)
  await bench.clock.advance(1_300)
  expect(bench.log.waitingRecords()).toMatchObject([{ kind: 'aborted', txid, reason: 'presumed' }])
  expect(flights.done).toEqual([])
  bench.log.commit()
  await bench.clock.advance(100)
  expect(flights.done).toEqual([`abort ${gid}`])
})

test('branches of a committed transaction whose client died are committed and acknowledged', async () => {
  const { bench, flights, hotels } = await world()
  const txid = newTxid()
  bench.commit(txid)
  const gids = [flights.prepare(txid, 0), hotels.prepare(txid, 1)]
  await bench.clock.advance(6_000)
  expect([...flights.done, ...hotels.done]).toEqual([`commit ${gids[0]}`, `commit ${gids[1]}`])
  expect(bench.coordinator.transaction(txid)?.state).toBe('completed')
})

test('P1: a prepared branch that the commit does not name is rolled back, and is no heuristic', async () => {
  const { bench, flights, hotels } = await world()
  const txid = newTxid()
  bench.commit(txid)
  const gids = [flights.prepare(txid, 0), hotels.prepare(txid, 1), hotels.prepare(txid, 2)]
  await bench.clock.advance(6_000)
  expect(hotels.done.sort()).toEqual([`abort ${gids[2]}`, `commit ${gids[1]}`])
  expect(flights.done).toEqual([`commit ${gids[0]}`])
  expect(bench.coordinator.transaction(txid)).toMatchObject({ state: 'completed', heuristics: [] })
})

test('a branch that a called service joined, and died after its vote, is committed and acknowledged', async () => {
  const { bench, flights } = await world()
  const txid = newTxid()
  const joined = { ...branch(0, 'joined.0123456789ab.flights'), kind: 'service' } as const
  bench.commit(txid, [{ ...joined, vote: 'commit', evidence: '7' }])
  const gid = flights.prepare(txid, 0)
  await bench.clock.advance(6_000)
  expect(flights.done).toEqual([`commit ${gid}`])
  expect(bench.coordinator.transaction(txid)?.state).toBe('completed')
})

test('P7: what a called service joined and committed without acknowledging is settled by evidence', async () => {
  const { bench, flights } = await world()
  const [told, dead] = [newTxid(), newTxid()]
  const joined = { ...branch(0, 'joined.0123456789ab.flights'), kind: 'service' } as const
  bench.commit(told, [{ ...joined, vote: 'commit', evidence: '7' }])
  flights.evidenceOf.set(makeGid(CLUSTER, told, 0 as BranchId), 'committed')
  bench.abort(dead, [{ ...joined, vote: undefined, evidence: undefined }])
  await bench.clock.advance(8_000)
  for (const txid of [told, dead]) {
    expect(bench.coordinator.transaction(txid)).toMatchObject({ state: 'completed', heuristics: [] })
  }
  expect(flights.tokens).toContain('7')
})

test('a branch of an aborted or a forgotten transaction is rolled back', async () => {
  const bench = await Bench.leading({ keepMs: 0, keepCount: 0, fenceMs: 0 })
  const [aborted, forgotten] = [newTxid(), newTxid(1_700_000_000_000)]
  bench.abort(forgotten)
  await bench.clock.advance(20_000)
  expect(bench.coordinator.knowledge(forgotten).kind).toBe('forgotten')
  bench.abort(aborted)
  await settle()
  const { flights } = resolverOf(bench)
  const gids = [flights.prepare(aborted, 0), flights.prepare(forgotten, 0)]
  await bench.clock.advance(100)
  expect(flights.done).toEqual(gids.map((gid) => `abort ${gid}`))
})

test('a branch whose votes are still being gathered is left alone', async () => {
  const { bench, flights } = await world()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  flights.prepare(txid, 0)
  await bench.clock.advance(20_000)
  expect(flights.scans).toBeGreaterThan(2)
  expect(flights.done).toEqual([])
})

test('a branch within its grace time is left to its application, by the age that the database tells', async () => {
  const { bench, flights } = await world()
  const txid = newTxid()
  flights.prepare(txid, 0, 900)
  await bench.clock.advance(4_000)
  expect(flights.done).toEqual([])
  expect(bench.coordinator.knowledge(txid).kind).toBe('unknown')
})

test('where the database keeps no time, the grace time runs from the first sight', async () => {
  const { bench, flights } = await world({ scanMs: 400 })
  const gid = flights.prepare(newTxid(), 0, 'unknown')
  await bench.clock.advance(900)
  expect(flights.scans).toBeGreaterThan(1)
  expect(flights.done).toEqual([])
  await bench.clock.advance(800)
  expect(flights.done).toEqual([`abort ${gid}`])
})

test('a lost client is followed by a scan after the grace time, not at the next period', async () => {
  const { bench, flights } = await world({ scanMs: 60_000 })
  await bench.clock.advance(5_000)
  const txid = newTxid()
  const gid = flights.prepare(txid, 0, 0)
  bench.coordinator.clientGone()
  await bench.clock.advance(500)
  flights.prepared.set(gid, { ...flights.prepared.get(gid)!, ageMs: 1_050 })
  await bench.clock.advance(800)
  expect(flights.done).toEqual([`abort ${gid}`])
})

test('many lost clients want few scans', async () => {
  const { bench, flights } = await world({ scanMs: 60_000 })
  await bench.clock.advance(5_000)
  const before = flights.scans
  for (let i = 0; i < 1_000; i++) bench.coordinator.clientGone()
  await bench.clock.advance(3_000)
  expect(flights.scans - before).toBe(2)
})

test('a database that is down delays nobody, shows its error and its age, and is settled when it is back', async () => {
  const { bench, flights, hotels, resolver } = await world()
  flights.down = true
  const txid = newTxid()
  const gids = [flights.prepare(txid, 0), hotels.prepare(txid, 1)]
  await bench.clock.advance(20_000)
  expect(hotels.done).toEqual([`abort ${gids[1]}`])
  const [down, up] = resolver.status().resources
  expect(down?.error).toContain('it is down')
  expect(down?.errorAgeMs).toBeGreaterThan(19_000)
  expect(up).toMatchObject({ name: 'hotels', error: undefined, inDoubtCount: 0, oldestMs: undefined, settledCount: 1 })
  // Back-off: far fewer tries than one every 50 ms.
  expect(flights.scans).toBeLessThan(20)
  flights.down = false
  await bench.clock.advance(5_000)
  expect(flights.done).toEqual([`abort ${gids[0]}`])
  expect(resolver.status().resources[0]?.error).toBeUndefined()
})

test('a database that does not answer counts as down after the call timeout', async () => {
  const { bench, flights, hotels, resolver } = await world({ callTimeoutMs: 2_000 })
  flights.hangs = true
  const gid = hotels.prepare(newTxid(), 1)
  await bench.clock.advance(2_500)
  expect(hotels.done).toEqual([`abort ${gid}`])
  expect(resolver.status().resources[0]?.error).toContain('did not answer')
  flights.hangs = false
  await bench.clock.advance(10_000)
  expect(resolver.status().resources[0]?.error).toBeUndefined()
})

test('a committed branch that is not prepared any more is acknowledged by evidence, asked with its token', async () => {
  const { bench, flights, hotels } = await world()
  const txid = newTxid()
  bench.commit(txid)
  await settle()
  flights.evidenceOf.set(flights.prepare(txid, 0), 'committed')
  flights.prepared.clear()
  bench.ack(txid, 1)
  await bench.clock.advance(7_000)
  expect(flights.tokens).toEqual(['700'])
  expect(hotels.tokens).toEqual([])
  expect(bench.coordinator.transaction(txid)).toMatchObject({ state: 'completed', heuristics: [] })
})

test('P1: evidence against the decision is recorded, and the transaction shows as mixed', async () => {
  const { bench, flights } = await world()
  const txid = newTxid()
  bench.commit(txid)
  await settle()
  flights.evidenceOf.set(flights.prepare(txid, 0), 'aborted')
  flights.prepared.clear()
  bench.ack(txid, 1)
  await bench.clock.advance(7_000)
  expect(bench.coordinator.transaction(txid)).toMatchObject({
    state: 'completed',
    heuristics: [{ branch: 0, found: 'aborted' }],
    heuristicMixed: true,
  })
  expect(bench.coordinator.status().heuristicCount).toBe(1)
})

test('a committed branch without any evidence is reported, but only after repeated looks', async () => {
  const { bench, flights } = await world({ evidenceTries: 3 })
  const txid = newTxid()
  bench.commit(txid)
  await settle()
  bench.ack(txid, 1)
  await bench.clock.advance(11_000)
  expect(flights.tokens.length).toBe(2)
  expect(bench.coordinator.transaction(txid)?.heuristics).toEqual([])
  await bench.clock.advance(5_000)
  expect(bench.coordinator.transaction(txid)).toMatchObject({
    state: 'completed',
    heuristics: [{ branch: 0, found: 'none' }],
    heuristicMixed: false,
  })
  await bench.clock.advance(20_000)
  expect(bench.kinds().filter((kind) => kind === 'heuristic')).toHaveLength(1)
})

test('an aborted branch without a trace has ended as it should', async () => {
  const { bench } = await world()
  const txid = newTxid()
  bench.abort(txid, LOCAL)
  await bench.clock.advance(7_000)
  expect(bench.coordinator.transaction(txid)).toMatchObject({ state: 'completed', heuristics: [] })
})

test('a branch that still reaches PREPARE after its abort was acknowledged is found and rolled back', async () => {
  const { bench, flights } = await world()
  const txid = newTxid()
  bench.abort(txid, LOCAL)
  await bench.clock.advance(7_000)
  const gid = flights.prepare(txid, 0, 2_000)
  await bench.clock.advance(6_000)
  expect(flights.done).toEqual([`abort ${gid}`])
})

test('a busy branch is tried again and never reported', async () => {
  const { bench, flights } = await world()
  const txid = newTxid()
  bench.commit(txid)
  await settle()
  bench.ack(txid, 1)
  const gid = flights.prepare(txid, 0)
  flights.busy.add(gid)
  await bench.clock.advance(60_000)
  expect(flights.done).toEqual([])
  expect(bench.kinds()).not.toContain('heuristic')
  flights.busy.clear()
  await bench.clock.advance(6_000)
  expect(flights.done).toEqual([`commit ${gid}`])
})

test('the resolver works only while its coordinator leads, and a new leader’s scans at once', async () => {
  const { bench, flights } = await world()
  await bench.clock.advance(100)
  bench.log.follow()
  const before = flights.scans
  const gid = flights.prepare(newTxid(), 0)
  await bench.clock.advance(30_000)
  expect(flights.scans).toBe(before)

  const next = await bench.successor()
  resolverOf(next, {}, flights)
  await next.clock.advance(50)
  expect(flights.scans).toBe(before + 1)
  await next.clock.advance(1_300)
  expect(flights.done).toEqual([`abort ${gid}`])
})

test('a resolver that was closed scans no more and leaves no timer', async () => {
  const { bench, flights, resolver } = await world()
  await bench.clock.advance(100)
  await resolver.close()
  const before = flights.scans
  await bench.coordinator.close()
  await bench.clock.advance(30_000)
  expect(flights.scans).toBe(before)
  expect(bench.clock.timers).toBe(0)
})

test('status counts branches in doubt, tells the oldest age, and how long settled ones had been in doubt', async () => {
  const { bench, flights, resolver } = await world()
  const open = newTxid()
  bench.commit(open, MIXED)
  flights.prepare(open, 0, 3_000)
  flights.prepare(newTxid(), 0, 2_000)
  await bench.clock.advance(1_300)
  const [status] = resolver.status().resources
  expect(status).toMatchObject({ inDoubtCount: 1, settledCount: 1, recentDoubtMs: [2_000] })
  expect(status?.oldestMs).toBeGreaterThanOrEqual(3_000)
})

test('participants without a configured resource are named in the status', async () => {
  const { bench, resolver } = await world()
  bench.commit(newTxid(), [branch(0, 'payments'), branch(1, 'flights')])
  await bench.clock.advance(2_000)
  expect(resolver.status().unconfigured).toEqual([{ participant: 'payments', branchCount: 1 }])
})

test('evidence is forgotten only up to the watermark, and not beyond an open transaction', async () => {
  const bench = await Bench.leading({ keepMs: 0, keepCount: 0, fenceMs: 0 })
  const finished = newTxid(1_700_000_100_000)
  const open = newTxid(1_700_000_000_000)
  bench.commit(open, MIXED, { timeoutMs: 3_600_000 })
  bench.commit(finished)
  await settle()
  bench.ack(finished, 0, 1)
  await bench.clock.advance(6_000)
  expect(bench.coordinator.status().watermarkMs).toBeGreaterThan(1_700_000_100_000)
  const { flights } = resolverOf(bench)
  await bench.clock.advance(1_000)
  expect(flights.forgotten).toEqual([1_700_000_000_000])
})

test('a hundred branches left behind are settled in one scan, a few at a time', async () => {
  const { bench, flights } = await world({ concurrency: 4 })
  for (let i = 0; i < 100; i++) flights.prepare(newTxid(), 0)
  await bench.clock.advance(1_200)
  for (let turn = 0; turn < 200 && flights.prepared.size > 0; turn++) await settle()
  expect(flights.prepared.size).toBe(0)
  expect(flights.atOnceMax).toBe(4)
  // The first one leaves them the grace time that a new leader gives.
  expect(flights.scans).toBe(2)
  expect(bench.coordinator.status().abortedCount).toBe(100)
})

test('ended branches beyond endedBranchesMax follow soon after', async () => {
  const { bench, flights } = await world({ endedBranchesMax: 10 })
  const txids = Array.from({ length: 35 }, () => newTxid())
  for (const txid of txids) bench.commit(txid, [branch(0, 'flights')])
  await settle()
  for (const txid of txids) flights.evidenceOf.set(makeGid(CLUSTER, txid, 0 as BranchId), 'committed')
  await bench.clock.advance(5_800)
  expect(bench.coordinator.status().undeliveredCount).toBe(0)
})

test('P6: at a new leader live applications get the grace time to repeat their commit requests, whatever the age of their branches', async () => {
  const { bench, flights, hotels } = await world()
  const txid = newTxid()
  const gids = [flights.prepare(txid, 0), hotels.prepare(txid, 1)]
  await bench.clock.advance(500)
  bench.commit(txid)
  await bench.clock.advance(2_000)
  expect([...flights.done, ...hotels.done]).toEqual(gids.map((gid) => `commit ${gid}`))
})

test('P7: a branch whose database set its clock back is settled all the same', async () => {
  const { bench, flights } = await world()
  const gid = flights.prepare(newTxid(), 0, -86_400_000)
  await bench.clock.advance(7_000)
  expect(flights.done).toEqual([`abort ${gid}`])
})
