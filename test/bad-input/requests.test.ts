import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { MalformedIdError } from '../../src/base/index.ts'
import { Concordat, TransactionAbortedError, TransactionEndedError } from '../../src/client/index.ts'
import { Banks } from '../support/banks.support.ts'
import { asCluster, BOTH, Decisions, newTxid, votedBranch } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

let banks: Banks
beforeAll(async () => {
  banks = await Banks.start()
})
afterAll(() => banks?.close())

const clusterId = asCluster('test')

test('a commit whose votes are incomplete is refused, names the branch, and may be repeated complete', async () => {
  const fleet = await Fleet.start({ size: 1 })
  const port = fleet.port()
  const txid = newTxid()
  const unvoted = { ...votedBranch(1, 'hotels'), vote: undefined }
  const commit = { clusterId, txid, timeoutMs: 5_000 }
  const incomplete = await port.commit({ ...commit, branches: [votedBranch(0), unvoted] })
  expect(incomplete).toMatchObject({ kind: 'refused', code: 'TXN_VOTES_INCOMPLETE', retryable: false })
  expect(incomplete).toHaveProperty(
    'message',
    expect.stringMatching(/branch 1 \(hotels\) came without a vote.*prepare it first/),
  )
  expect(await port.commit({ ...commit, branches: [] })).toMatchObject({ code: 'TXN_VOTES_INCOMPLETE' })
  const twice = await port.commit({ ...commit, branches: [votedBranch(0), votedBranch(0)] })
  expect(twice).toMatchObject({
    code: 'TXN_VOTES_INCOMPLETE',
    message: expect.stringMatching(/branch 0 is named twice/),
  })

  expect(await fleet.outcome(txid), 'nothing was done').toEqual({ kind: 'unknown' })
  expect(await port.commit({ ...commit, branches: BOTH })).toMatchObject({ outcome: { kind: 'committed' } })
})

test('a second commit with other branches is refused, with the same ones it has the same answer', async () => {
  const fleet = await Fleet.start()
  const port = fleet.port()
  const commit = { clusterId, txid: newTxid(), timeoutMs: 5_000 }
  expect(await port.commit({ ...commit, branches: BOTH })).toMatchObject({ outcome: { kind: 'committed' } })
  for (const branches of [[votedBranch(0)], [...BOTH, votedBranch(2)], [votedBranch(0), votedBranch(1, 'elsewhere')]]) {
    const other = await port.commit({ ...commit, branches })
    expect(other).toMatchObject({ kind: 'refused', code: 'TXN_OTHER_BRANCHES', retryable: false })
    expect(other).toHaveProperty('message', expect.stringMatching(/use a new txid for every transaction/))
  }
  expect(await port.commit({ ...commit, branches: BOTH })).toMatchObject({ outcome: { kind: 'committed' } })
  // The next leader says the same. A client that asked the dying one as well could only be told OUTCOME_PENDING.
  const { node } = await fleet.leader()
  await fleet.kill(node)
  await fleet.leader()
  expect(await fleet.port('another').commit({ ...commit, branches: [votedBranch(0)] })).toMatchObject({
    code: 'TXN_OTHER_BRANCHES',
  })
})

test('P5: a commit for a txid older than the watermark is refused for good, whatever became of it', async () => {
  const fleet = await Fleet.start({ size: 1, config: { transactions: { keepMs: 1_000 } } })
  const port = fleet.port()
  const old = Date.now() - 10 * 60_000
  const asked = newTxid(old)
  expect(await port.inquire({ clusterId, txid: asked, settle: true }, 5_000)).toMatchObject({
    outcome: { kind: 'aborted', reason: 'presumed' },
  })
  // The clock of a client must confirm the coordinator's before anything is forgotten.
  const request = { clusterId, timeoutMs: 5_000, branches: BOTH }
  expect(await port.commit({ ...request, txid: newTxid() })).toMatchObject({ outcome: { kind: 'committed' } })
  await until('the tombstone is forgotten', async () => (await fleet.outcome(asked)).kind === 'forgotten')

  const neverSeen = newTxid(old - 1_000)
  for (const txid of [asked, neverSeen]) {
    const refused = await port.commit({ ...request, txid })
    expect(refused).toMatchObject({ kind: 'refused', code: 'TXN_TOO_OLD', retryable: false })
    expect(refused).toHaveProperty(
      'message',
      expect.stringMatching(/older than what the coordinators remember.*begin a new/),
    )
  }
  const { stdout, code } = await concordat(['outcome', neverSeen, '--coordinators', fleet.addressOf(1)])
  expect(stdout).toMatch(/it ended long ago and was forgotten/)
  expect(code).toBe(0)
  expect(await port.commit({ ...request, txid: newTxid() })).toMatchObject({ outcome: { kind: 'committed' } })

  await fleet.kill(1)
  fleet.start(1)
  await fleet.leader()
  expect(await port.commit({ ...request, txid: asked })).toMatchObject({ code: 'TXN_TOO_OLD' })
})

test('a commit for a txid from the future is refused, and says that a clock is wrong', async () => {
  const fleet = await Fleet.start({ size: 1 })
  const port = fleet.port()
  const txid = newTxid(Date.now() + 2 * 3_600_000)
  const refused = await port.commit({ clusterId, txid, timeoutMs: 5_000, branches: BOTH })
  expect(refused).toMatchObject({ kind: 'refused', code: 'TXN_TOO_NEW', retryable: false })
  expect(refused).toHaveProperty('message', expect.stringMatching(/72\d\d s ahead .* nothing was done; set the clocks/))
  expect(await fleet.outcome(txid)).toEqual({ kind: 'unknown' })
})

test('a malformed txid is refused before anybody is asked, a foreign gid with the name of its cluster', async () => {
  const fleet = await Fleet.start({ size: 1 })
  const at = ['--coordinators', fleet.addressOf(1)]
  for (const text of ['booking-7', newTxid().toUpperCase(), '8c4e1a70-7a3f-4c1e-9d2a-1f2b3c4d5e6f']) {
    const { code, stderr } = await concordat(['outcome', text, ...at])
    expect(code).toBe(2)
    expect(stderr).toMatch(/is not a txid; a txid is a lower-case UUIDv7 such as .*\[MALFORMED_ID\]/)
  }
  const foreign = await concordat(['outcome', `cdt_other_${newTxid()}_0`, ...at])
  expect(foreign.code).toBe(1)
  expect(foreign.stderr).toMatch(/that branch belongs to cluster other, and this is test; ask its coordinators/)

  const client = new Concordat({ coordinators: fleet.addresses })
  onTestFinished(() => client.close())
  await expect(client.outcome('booking-7')).rejects.toBeInstanceOf(MalformedIdError)
})

test('a branch that is used after its end sends nothing, and says that it has ended', async () => {
  const fleet = await Fleet.start({ config: { resources: banks.configured } })
  const client = new Concordat({ coordinators: fleet.addresses })
  onTestFinished(() => client.close())
  const [north, south] = banks.banks
  const leaked = await client.transaction(async (tx) => {
    await north!.book(tx, 'leak', 1, -10)
    await south!.book(tx, 'leak', 1, 10)
    return { tx, session: (await tx.enlist(north!.resource)) as { query(sql: string): Promise<unknown> } }
  })
  const late = async (): Promise<unknown> => leaked.session.query("insert into transfers values ('late')")
  await expect(late()).rejects.toMatchObject({
    code: 'BRANCH_ENDED',
    message: expect.stringMatching(/Enlist the database in a new transaction/),
  })
  await expect(north!.book(leaked.tx, 'late', 1, 5)).rejects.toBeInstanceOf(TransactionEndedError)
  expect(await banks.bookedIn('late')).toEqual([])
  expect(await banks.bookedIn('leak')).toEqual(['north', 'south'])
  expect(await banks.total()).toBe(banks.totalAtStart)
})

test('a fleet that can not decide: the transaction is aborted, leaves nothing behind, and says what was missing', async () => {
  const fleet = await Fleet.start({ config: { resources: banks.configured } })
  const client = new Concordat({ coordinators: fleet.addresses, timeoutMs: 1_500, decisionTimeoutMs: 1_500 })
  onTestFinished(() => client.close())
  const [north, south] = banks.banks
  const move = (transfer: string): Promise<void> =>
    client.transaction(async (tx) => {
      await north!.book(tx, transfer, 2, -10)
      await south!.book(tx, transfer, 2, 10)
    })
  await move('before')
  await fleet.kill(...fleet.ids)
  const error = await move('meanwhile').catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(TransactionAbortedError)
  expect(error).toMatchObject({ reason: 'unavailable', retryable: true })
  expect(String(error)).toMatch(
    /left nothing behind: no coordinator could be asked to decide .*ECONNREFUSED.*safe to run it again/s,
  )
  await until('nothing is prepared', async () => (await banks.prepared()).length === 0)
  expect(await banks.bookedIn('meanwhile')).toEqual([])
  fleet.startAll()
  await fleet.leader()
  await until('it works again', () =>
    move('after').then(
      () => true,
      () => false,
    ),
  )
  expect(await banks.bookedIn('after')).toEqual(['north', 'south'])
  await new Decisions(fleet).holdAtLeader(fleet.port())
})
