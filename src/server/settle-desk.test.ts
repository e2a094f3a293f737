import { expect, test } from 'vitest'
import { type BranchId, makeGid, type Txid } from '../base/index.ts'
import { Bench, branch, CLUSTER, LOCAL, MIXED, newTxid, settle } from '../coordinator/coordinator.test-support.ts'
import { FakeDatabase } from '../coordinator/fake-database.test-support.ts'
import type { Resource } from '../resources/index.ts'
import { InDoubtDesk } from './in-doubt-desk.ts'
import type { Release } from './releases.ts'
import { SettleDesk } from './settle-desk.ts'
import type { ForceAnswer, SettleAnswer } from './settle-view.ts'

/** A leader with two databases, and its desk. */
async function desk(releases: readonly Release[] = []) {
  const bench = await Bench.leading()
  await settle()
  const [flights, hotels, mail] = [new FakeDatabase(), new FakeDatabase(), new FakeDatabase()]
  const resources = [resource('flights', flights), resource('hotels', hotels)]
  const { coordinator, log, clock } = bench
  const shared = { coordinator, log, resources, clusterId: CLUSTER, node: 1, clock }
  const service = { name: 'mail', kind: 'service', inDoubt: mail } as const
  const inDoubt = new InDoubtDesk({
    ...shared,
    resources: [...resources, service],
    resolver: { status: () => ({ resources: [] }) as never },
  })
  const settleDesk = new SettleDesk({ ...shared, inDoubt, releases: async () => releases })
  const ask = <T>(method: string, question: object) => settleDesk.answer(method, question, 'here:1') as Promise<T>
  const force = (txid: Txid, action: 'commit' | 'abort', more: object = {}) =>
    ask<ForceAnswer>('settle.force', { txid, branch: 0, action, by: 'ann', reason: 'because', ...more })
  return { bench, flights, hotels, mail, ask, force }
}

function resource(name: string, inDoubt: FakeDatabase): Resource<unknown> {
  return { name, kind: 'postgres', inDoubt } as unknown as Resource<unknown>
}

/** What is proposed from then on waits. */
function holdAfterTheLook({ log }: Bench): void {
  log.readBarrier = async () => {
    log.held = true
  }
}

async function committed(bench: Bench, branches = LOCAL): Promise<Txid> {
  const txid = newTxid()
  bench.commit(txid, branches)
  await settle()
  return txid
}

test('the order is in the log before the database hears of it, and the end before the acknowledgement', async () => {
  const { bench, flights, force } = await desk()
  const txid = await committed(bench)
  flights.prepare(txid, 0)
  holdAfterTheLook(bench)
  const done = force(txid, 'commit')
  await settle()
  expect(bench.log.waiting, 'the order was proposed').toHaveLength(1)
  expect(flights.done, 'the order is not in the log').toEqual([])
  bench.log.held = false
  bench.log.commit()
  const { settlement, decision } = await done
  expect(decision).toEqual({ kind: 'committed' })
  expect(settlement).toMatchObject({ standing: 'asDecided', by: 'ann (here:1)', reason: 'because' })
  expect(bench.kinds()).toEqual(['commit', 'settle', 'settled'])
  expect([...bench.coordinator.undelivered()][0]?.branches).toMatchObject([{ branch: 1 }])
})

test('P5: a branch of an unknown transaction is rolled back only after its abort was decided', async () => {
  const { bench, flights, force } = await desk()
  const txid = newTxid()
  flights.prepare(txid, 0)
  await expect(force(txid, 'commit')).rejects.toMatchObject({ code: 'SETTLE_AGAINST_DECISION' })
  expect(bench.kinds(), 'refused before anything was decided').toEqual([])
  expect(await force(txid, 'abort')).toMatchObject({ decision: { kind: 'aborted', reason: 'presumed' } })
  expect(bench.kinds().slice(0, 3)).toEqual(['aborted', 'settle', 'settled'])
})

test('P2: an unknown transaction of which a branch is forced to commit is aborted first, so nobody can commit it later', async () => {
  const { bench, flights, force } = await desk()
  const txid = newTxid()
  flights.prepare(txid, 0)
  const { settlement, decision } = await force(txid, 'commit', { mean: 'againstDecision' })
  expect(decision).toMatchObject({ kind: 'aborted' })
  expect(settlement).toMatchObject({ found: 'committed', standing: 'against' })
  expect(bench.coordinator.transaction(txid)).toMatchObject({ heuristicMixed: true })
  const late = bench.commit(txid)
  await settle()
  expect(late.word).toBe('aborted presumed')
})

test('while votes are gathered nothing is forced', async () => {
  const { bench, flights, force, ask } = await desk()
  const txid = newTxid()
  bench.commit(txid, MIXED)
  await settle()
  flights.prepare(txid, 0)
  for (const mean of ['asDecided', 'againstDecision', 'withoutDecision'])
    await expect(force(txid, 'abort', { mean })).rejects.toMatchObject({ code: 'SETTLE_TOO_EARLY', retryable: true })
  expect(flights.done).toEqual([])
  expect(await ask('settle', { txid })).toMatchObject({ forcing: { commit: 'tooEarly', abort: 'tooEarly' } })
})

test('a branch that ended in the same moment is recorded as its database proves', async () => {
  const { bench, flights, force } = await desk()
  const txid = await committed(bench)
  const gid = flights.prepare(txid, 0)
  flights.evidenceOf.set(gid, 'committed')
  // It is listed, and gone when it should be rolled back.
  const list = flights.list.bind(flights)
  flights.list = async (cluster) => {
    const listed = await list(cluster)
    flights.prepared.clear()
    return listed
  }
  const { settlement } = await force(txid, 'abort', { mean: 'againstDecision' })
  expect(settlement).toMatchObject({ action: 'abort', found: 'committed', standing: 'asDecided' })
  expect(flights.tokens).toEqual(['700'])
})

test('an order that its database did not carry out stays open, and its repeat finds out how the branch ended', async () => {
  const { bench, flights, force, ask } = await desk()
  const txid = await committed(bench)
  const gid = flights.prepare(txid, 0)
  const { commit } = flights
  flights.commit = async () => {
    throw new Error('the connection was lost')
  }
  await expect(force(txid, 'commit')).rejects.toMatchObject({ code: 'SETTLE_UNFINISHED', retryable: true })
  expect(bench.coordinator.unacknowledged).toMatchObject([{ standing: 'ordered' }])
  // The answer was lost, the commit was not.
  flights.prepared.clear()
  flights.evidenceOf.set(gid, 'committed')
  flights.down = true
  await expect(force(txid, 'commit')).rejects.toMatchObject({ code: 'SETTLE_UNSEEN' })
  flights.down = false
  flights.commit = commit
  expect(await force(txid, 'commit')).toMatchObject({ settlement: { standing: 'asDecided', found: 'committed' } })
  expect(bench.coordinator.unacknowledged).toEqual([])
  const records = bench.kinds().length
  expect(await force(txid, 'commit'), 'and once more').toMatchObject({ settlement: { found: 'committed' } })
  expect(bench.kinds()).toHaveLength(records)
  await expect(ask('settle.acknowledge', { txid, by: 'ann', reason: 'seen' })).rejects.toMatchObject({
    code: 'NOTHING_TO_ACKNOWLEDGE',
  })
})

test('a branch that a live session holds is not ended, and that is said', async () => {
  const { bench, flights, force } = await desk()
  const txid = await committed(bench)
  flights.busy.add(flights.prepare(txid, 0))
  await expect(force(txid, 'commit')).rejects.toMatchObject({ code: 'SETTLE_BUSY', retryable: true })
})

test('what is prepared nowhere, or is no database’s, is not ended', async () => {
  const { bench, hotels, mail, force } = await desk()
  const txid = await committed(bench)
  await expect(force(txid, 'commit')).rejects.toMatchObject({ code: 'SETTLE_NOT_PREPARED' })
  hotels.down = true
  await expect(force(txid, 'commit')).rejects.toMatchObject({ code: 'SETTLE_UNSEEN', retryable: true })
  hotels.down = false
  const withService = newTxid()
  bench.commit(withService, [branch(0, 'flights'), branch(1, 'mail', 'service', 'commit')])
  await settle()
  // Its service lists it as prepared, and ends it by itself all the same.
  mail.prepare(withService, 1)
  await expect(force(withService, 'commit', { branch: 1 })).rejects.toThrow('one of mail, which ends it by itself')
  expect([bench.kinds(), mail.done]).toEqual([['commit', 'commit'], []])
})

test('a coordinator of an older release forbids it; one that does not answer is named', async () => {
  const old = await desk([{ address: '10.0.0.2:7400', knows: false }])
  const txid = await committed(old.bench)
  old.flights.prepare(txid, 0)
  await expect(old.force(txid, 'commit')).rejects.toMatchObject({ code: 'SETTLE_MIXED_VERSIONS' })
  expect(old.bench.kinds()).toEqual(['commit'])
  const silent = await desk([{ address: '10.0.0.3:7400', knows: undefined }])
  const other = await committed(silent.bench)
  silent.flights.prepare(other, 0)
  expect(await silent.force(other, 'commit')).toMatchObject({ unasked: ['10.0.0.3:7400'] })
})

test('P8: a leadership that is lost amid it leaves the order’s fate open, and the next leader has the book', async () => {
  const { bench, flights, force } = await desk()
  const txid = await committed(bench)
  flights.prepare(txid, 0)
  holdAfterTheLook(bench)
  const done = expect(force(txid, 'commit')).rejects.toMatchObject({ code: 'SETTLE_NOT_RECORDED', retryable: true })
  await settle()
  expect(bench.log.waiting).toHaveLength(1)
  bench.log.follow(1)
  await done
  expect(flights.done).toEqual([])
  await expect(force(txid, 'commit')).rejects.toMatchObject({ code: 'NOT_LEADER' })
  const next = await bench.successor()
  expect(next.coordinator.unacknowledged).toMatchObject([{ txid, standing: 'ordered', by: 'ann (here:1)' }])
})

test('two orders for one branch are not carried out at the same time', async () => {
  const { bench, flights, force } = await desk()
  const txid = await committed(bench)
  flights.prepare(txid, 0)
  const [first, second] = await Promise.allSettled([
    force(txid, 'commit'),
    force(txid, 'abort', { mean: 'againstDecision' }),
  ])
  expect(first.status).toBe('fulfilled')
  expect(second).toMatchObject({ status: 'rejected', reason: { code: 'SETTLE_UNFINISHED' } })
  expect(flights.done).toEqual([`commit ${makeGid(CLUSTER, txid, 0 as BranchId)}`])
})

test('what is shown: votes, what is prepared and where, how the others ended, and what was done before', async () => {
  const { bench, flights, hotels, force, ask } = await desk()
  const txid = await committed(bench)
  flights.prepare(txid, 0)
  hotels.evidenceOf.set(makeGid(CLUSTER, txid, 1 as BranchId), 'aborted')
  const shown = await ask<SettleAnswer>('settle', { txid })
  expect(shown).toMatchObject({
    decision: { kind: 'committed' },
    transaction: { branches: [{ vote: 'commit' }, { vote: 'commit' }] },
    prepared: [{ branch: 0, resource: 'flights' }],
    ended: [{ branch: 1, resource: 'hotels', evidence: 'aborted' }],
    unseen: [],
    forcing: { commit: 'asDecided', abort: 'against' },
    settlements: [],
  })
  await force(txid, 'commit')
  expect(await ask('settle', { txid })).toMatchObject({ prepared: [], settlements: [{ action: 'commit' }] })
  await expect(ask('settle', { txid, cluster: 'others' })).rejects.toMatchObject({ code: 'WRONG_CLUSTER' })
})
