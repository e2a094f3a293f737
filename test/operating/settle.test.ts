import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { type BranchId, makeGid, type Txid } from '../../src/base/index.ts'
import { type LocalServer, LocalServers } from '../../src/localdb/index.ts'
import type { ForceAnswer, InDoubtAnswer, NodeStatus, SettleAnswer } from '../../src/server/index.ts'
import type { BranchRecord, Settlement } from '../../src/txn/index.ts'
import { noMariadb } from '../support/banks.support.ts'
import { asCluster, newTxid, votedBranch } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { type CommandEnd, concordat, plainEnvironment, program } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'
import { operate } from './operating.support.ts'

const clusterId = asCluster('test')
/** Longer than any test: nobody settles what a test leaves behind but the test. */
const NEVER = { scanMs: 500, graceMs: 3_600_000 }
const noScript = spawnSync('script', ['--version']).status !== 0

let servers: LocalServers
let postgres: LocalServer
let mariadb: LocalServer | undefined
beforeAll(async () => {
  servers = new LocalServers()
  ;[postgres, mariadb] = await Promise.all([
    servers.startPostgres({ settings: { max_prepared_transactions: '32' } }),
    noMariadb ? undefined : servers.startMariadb(),
  ])
  await sql('create table seats (id serial primary key, taken_by text)')
  if (mariadb !== undefined) await inMariadb('create table nights (guest varchar(20)) engine=InnoDB')
})
beforeEach(() => sql('truncate seats'))
afterAll(() => servers?.close())

async function sql(text: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: postgres.url() })
  client.on('error', () => {})
  await client.connect()
  const result = await client.query(text)
  await client.end()
  return result.rows
}

async function inMariadb(...statements: readonly string[]): Promise<unknown> {
  const session = await mysql2.createConnection(mariadb!.url())
  let last: unknown
  for (const statement of statements) [last] = await session.query(statement)
  await session.end()
  return last
}

async function taken(): Promise<readonly unknown[]> {
  return (await sql('select taken_by from seats order by 1')).map(({ taken_by }) => taken_by)
}

async function guests(): Promise<readonly unknown[]> {
  return ((await inMariadb('select guest from nights order by 1')) as { guest: string }[]).map(({ guest }) => guest)
}

function resources() {
  return [
    { name: 'flights', kind: 'postgres' as const, url: postgres.url() },
    ...(mariadb === undefined ? [] : [{ name: 'hotels', kind: 'mysql' as const, url: mariadb.url() }]),
  ]
}

/** An application takes a seat, prepares, and is never heard of again. */
async function leaveInPostgres(txid: Txid, who: string): Promise<void> {
  const gid = makeGid(clusterId, txid, 0 as BranchId)
  await sql(`begin; insert into seats (taken_by) values ('${who}'); prepare transaction '${gid}'`)
  onTestFinished(() => void sql(`rollback prepared '${gid}'`).catch(() => {}))
}

function xaPrepare(txid: Txid, who: string): readonly string[] {
  const xid = `'cdt_test_${txid}','1',1`
  return [`xa start ${xid}`, `insert into nights values ('${who}')`, `xa end ${xid}`, `xa prepare ${xid}`]
}

const FLIGHTS = votedBranch(0, 'flights')
const HOTELS = votedBranch(1, 'hotels')

async function commit(fleet: Fleet, txid: Txid, branches: readonly BranchRecord[] = [FLIGHTS]): Promise<void> {
  const reply = await fleet.port().commit({ clusterId, txid, timeoutMs: 5_000, branches })
  expect(reply).toMatchObject({ outcome: { kind: 'committed' } })
}

async function abort(fleet: Fleet, txid: Txid, branches: readonly BranchRecord[] = [FLIGHTS]): Promise<void> {
  const reply = await fleet.port().abort({ clusterId, txid, branches, participant: undefined }, 5_000)
  expect(reply).toMatchObject({ outcome: { kind: 'aborted' } })
}

function settle(fleet: Fleet, txid: Txid, ...flags: readonly string[]): Promise<CommandEnd> {
  return fleet.operator('settle', txid, '--by', 'ann', '--reason', 'the night shift', '--yes', ...flags)
}

async function book(fleet: Fleet): Promise<readonly Settlement[]> {
  return JSON.parse(await operate(fleet, 'settle', '--json')) as Settlement[]
}

async function inDoubt(fleet: Fleet): Promise<InDoubtAnswer> {
  return JSON.parse(await operate(fleet, 'in-doubt', '--json')) as InDoubtAnswer
}

test('a branch is looked at, and ended as its transaction was decided; the book says who and why, also after a leader change', async () => {
  const fleet = await Fleet.start({ config: { resources: resources().slice(0, 1), resolver: NEVER } })
  const [committed, aborted, unknown] = [newTxid(), newTxid(), newTxid()]
  await leaveInPostgres(committed, 'Ann')
  await leaveInPostgres(aborted, 'Bob')
  await leaveInPostgres(unknown, 'Eve')
  await commit(fleet, committed)
  await abort(fleet, aborted)

  const shown = await operate(fleet, 'settle', committed)
  expect(shown).toMatch(new RegExp(`^${committed}: committed$`, 'm'))
  expect(shown).toMatch(/^0 +flights +commit +prepared +[\d.]+ m?s +1 table$/m)
  expect(shown).toMatch(/^To commit a branch is as decided$/m)
  expect(shown).toMatch(/^To abort a branch is AGAINST the decision/m)
  expect(await taken(), 'looking changes nothing').toEqual([])

  const done = await settle(fleet, committed, '--branch', '0', '--commit', '--json')
  expect({ code: done.code, stderr: done.stderr }).toEqual({ code: 0, stderr: '' })
  const answer = JSON.parse(done.stdout) as ForceAnswer & { readonly before: SettleAnswer }
  expect(answer.settlement).toMatchObject({
    action: 'commit',
    found: 'committed',
    standing: 'asDecided',
    reason: 'the night shift',
  })
  expect(answer.settlement.by).toMatch(/^ann \(127\.0\.0\.1:\d+\)$/)
  expect(answer.before.prepared).toMatchObject([{ branch: 0, resource: 'flights' }])
  expect(JSON.parse(answer.settlement.evidence)).toMatchObject({
    decision: { kind: 'committed' },
    resource: 'flights',
    tables: ['public.seats'],
    branches: [{ branch: 0, participant: 'flights', vote: 'commit' }],
  })
  expect((await settle(fleet, aborted, '--branch', '0', '--abort')).code).toBe(0)
  // A gid says which branch it is. Nobody has heard of this one: its abort is decided before anything else (P5).
  const gid = makeGid(clusterId, unknown, 0 as BranchId)
  expect((await fleet.operator('settle', gid, '--abort', '--reason', 'dead', '--yes')).code).toBe(0)
  expect(await fleet.outcome(unknown)).toMatchObject({ kind: 'aborted', reason: 'presumed' })
  expect(await taken()).toEqual(['Ann'])
  expect((await inDoubt(fleet)).branchCount).toBe(0)
  expect(JSON.parse(await operate(fleet, 'settle', '--json', '--limit', '1'))).toMatchObject([{ txid: unknown }])
  const again = await settle(fleet, committed, '--branch', '0', '--commit')
  expect(again, 'a repeat says the same, and changes nothing').toMatchObject({ code: 0 })

  const { node: old } = await fleet.leader()
  await fleet.kill(old)
  await fleet.leader(old)
  expect(await book(fleet)).toMatchObject([
    { txid: committed, action: 'commit', standing: 'asDecided' },
    { txid: aborted, action: 'abort', standing: 'asDecided' },
    { txid: unknown, action: 'abort', standing: 'asDecided', reason: 'dead' },
  ])
  expect((await inDoubt(fleet)).attention).toEqual({ transactions: [], settlements: [] })
})

test('P1, P2: against its decision a branch is ended only when that is meant; it is shown as mixed until somebody acknowledges it', async () => {
  const fleet = await Fleet.start({ config: { resources: resources().slice(0, 1), resolver: NEVER } })
  const [committed, aborted] = [newTxid(), newTxid()]
  await leaveInPostgres(committed, 'Ann')
  await leaveInPostgres(aborted, 'Bob')
  // Of the second branch nobody knows anything: no database is configured for it.
  await commit(fleet, committed, [FLIGHTS, HOTELS])
  await abort(fleet, aborted)

  const refused = await settle(fleet, committed, '--branch', '0', '--abort')
  expect(refused.code).toBe(2)
  expect(refused.stderr).toMatch(/committed, and to abort this branch would leave .*\[SETTLE_AGAINST_DECISION\]/)
  expect((await inDoubt(fleet)).branchCount).toBe(2)
  expect(await book(fleet), 'a refused order is no record').toEqual([])

  const forced = await settle(fleet, committed, '--branch', '0', '--abort', '--against-decision')
  expect(forced.code).toBe(0)
  expect(forced.stdout).toMatch(/branch 0 of \S+: rolled back, AGAINST the decision/)
  expect((await settle(fleet, aborted, '--branch', '0', '--commit', '--against-decision')).code).toBe(0)
  expect(await taken()).toEqual(['Bob'])
  expect(await fleet.outcome(committed)).toEqual({ kind: 'committed' })
  expect(await fleet.outcome(aborted)).toMatchObject({ kind: 'aborted' })

  const { node: old } = await fleet.leader()
  await fleet.kill(old)
  const { transactions } = (await fleet.leader(old)) as NodeStatus
  expect(transactions).toMatchObject({ heuristics: 2, settlements: 2 })
  expect(await operate(fleet, 'status')).toMatch(/settled by hand, not as decided, and not acknowledged: 2/)
  const human = await operate(fleet, 'in-doubt')
  expect(human).toMatch(
    new RegExp(`${committed} branch 0: rolled back, AGAINST the decision, by ann .*: the night shift`),
  )
  expect(human).toMatch(new RegExp(`${aborted} branch 0: committed, AGAINST the decision`))
  expect(await operate(fleet, 'settle', committed)).toMatch(/^MIXED: its branches ended differently$/m)
  expect(await operate(fleet, 'list', '--state', 'heuristic')).toMatch(/MIXED/)

  const seen = ['--acknowledge', '--reason', 'booked again', '--by', 'bob']
  await operate(fleet, 'settle', committed, ...seen)
  expect((await inDoubt(fleet)).attention).toMatchObject({
    transactions: [{ txid: aborted }],
    settlements: [{ txid: aborted }],
  })
  await operate(fleet, 'settle', aborted, ...seen)
  expect((await inDoubt(fleet)).attention).toEqual({ transactions: [], settlements: [] })
  expect(await operate(fleet, 'status')).not.toMatch(/by hand|otherwise/)
  const twice = await fleet.operator('settle', aborted, ...seen)
  expect(twice).toMatchObject({ code: 1 })
  expect(twice.stderr).toContain('NOTHING_TO_ACKNOWLEDGE')

  // All of them lose their power: the book is in the log, and the decisions are as they were.
  await fleet.kill(...fleet.running)
  fleet.startAll()
  await fleet.leader()
  expect((await book(fleet)).map(({ txid, action, acknowledged }) => [txid, action, acknowledged])).toEqual([
    [committed, 'abort', true],
    [aborted, 'commit', true],
    [committed, 'acknowledge', true],
    [aborted, 'acknowledge', true],
  ])
  expect(await fleet.outcome(committed)).toEqual({ kind: 'committed' })
})

test('what was ended behind the coordinators’ back is found by evidence, shown with its proof, and acknowledged', async () => {
  const config = { resources: resources().slice(0, 1), resolver: { scanMs: 200, graceMs: 200 } }
  const fleet = await Fleet.start({ size: 1, config })
  const [first, second] = [newTxid(), newTxid()]
  const session = new pg.Client({ connectionString: postgres.url() })
  session.on('error', () => {})
  await session.connect()
  const prepareAndEnd = async (txid: Txid, who: string, verb: string): Promise<string> => {
    const gid = makeGid(clusterId, txid, 0 as BranchId)
    await session.query('begin')
    await session.query(`insert into seats (taken_by) values ('${who}')`)
    const xid = (await session.query('select pg_current_xact_id()::text as xid')).rows[0].xid as string
    await session.query(`prepare transaction '${gid}'`)
    await session.query(`${verb} prepared '${gid}'`)
    return xid
  }
  const lost = await prepareAndEnd(first, 'Ann', 'rollback')
  const kept = await prepareAndEnd(second, 'Bob', 'commit')
  await session.end()
  await commit(fleet, first, [{ ...FLIGHTS, evidence: lost }])
  await commit(fleet, second, [{ ...FLIGHTS, evidence: kept }])
  await until('both are judged', async () => (await fleet.status(1))?.transactions.decided === 0)
  expect((await inDoubt(fleet)).attention).toMatchObject({
    settlements: [],
    transactions: [{ txid: first, heuristics: [{ branch: 0, found: 'aborted' }], heuristicMixed: true }],
  })
  expect(await operate(fleet, 'in-doubt')).toMatch(new RegExp(`${first} branch 0: found rolled back \\(MIXED\\)`))
  await operate(fleet, 'settle', first, '--acknowledge', '--reason', 'Ann was called')
  expect((await inDoubt(fleet)).attention).toEqual({ transactions: [], settlements: [] })
  const seen = { txid: first, action: 'acknowledge', found: 'aborted', reason: 'Ann was called' }
  expect(await book(fleet)).toMatchObject([seen])
})

test.skipIf(noMariadb)(
  'in MariaDB branches are ended by hand each way, once the session that prepared them is gone',
  async () => {
    const fleet = await Fleet.start({ size: 1, config: { resources: resources(), resolver: NEVER } })
    const [committed, aborted, mixed] = [newTxid(), newTxid(), newTxid()]
    await inMariadb('delete from nights')
    const owner = await mysql2.createConnection(mariadb!.url())
    onTestFinished(() => owner.destroy())
    for (const statement of xaPrepare(committed, 'Ann')) await owner.query(statement)
    await inMariadb(...xaPrepare(aborted, 'Bob'))
    await inMariadb(...xaPrepare(mixed, 'Eve'))
    await commit(fleet, committed, [HOTELS])
    await abort(fleet, aborted, [HOTELS])
    await commit(fleet, mixed, [HOTELS])

    const busy = await settle(fleet, committed, '--branch', '1', '--commit')
    expect(busy.code).toBe(1)
    expect(busy.stderr).toMatch(/still connected to hotels.*SETTLE_BUSY/)
    expect((await inDoubt(fleet)).attention?.settlements).toMatchObject([{ txid: committed, standing: 'ordered' }])
    await owner.end()
    await until(
      'the branch can be ended',
      async () => (await settle(fleet, committed, '--branch', '1', '--commit')).code === 0,
    )
    expect((await settle(fleet, aborted, '--branch', '1', '--abort')).code).toBe(0)
    expect((await settle(fleet, mixed, '--branch', '1', '--abort')).code).toBe(2)
    expect((await settle(fleet, mixed, '--branch', '1', '--abort', '--against-decision')).code).toBe(0)
    expect(await guests()).toEqual(['Ann'])
    expect(await inMariadb('xa recover')).toEqual([])
    expect((await book(fleet)).map(({ txid, standing }) => [txid, standing])).toEqual([
      [committed, 'asDecided'],
      [aborted, 'asDecided'],
      [mixed, 'against'],
    ])
  },
)

test.skipIf(noMariadb)(
  'an order that could not be carried out is closed by its repeat, and says when nobody can tell the end',
  async () => {
    const fleet = await Fleet.start({ size: 1, config: { resources: resources(), resolver: NEVER } })
    const txid = newTxid()
    const owner = await mysql2.createConnection(mariadb!.url())
    onTestFinished(() => owner.destroy())
    for (const statement of xaPrepare(txid, 'Ann')) await owner.query(statement)
    await commit(fleet, txid, [HOTELS])
    expect((await settle(fleet, txid, '--branch', '1', '--commit')).stderr).toContain('SETTLE_BUSY')
    // Its own application ends it after all. XA keeps no memory of that.
    await owner.query(`xa commit 'cdt_test_${txid}','1',1`)
    const closed = await settle(fleet, txid, '--branch', '1', '--commit')
    expect(closed).toMatchObject({ code: 1 })
    expect(closed.stdout).toMatch(/ended, and no trace tells how/)
    expect((await inDoubt(fleet)).attention).toMatchObject({
      settlements: [{ txid, standing: 'unclear' }],
      transactions: [{ txid, heuristics: [{ branch: 1, found: 'none' }], heuristicMixed: false }],
    })
    await operate(fleet, 'settle', txid, '--acknowledge', '--reason', 'the guest is in the list')
    expect((await inDoubt(fleet)).attention).toEqual({ transactions: [], settlements: [] })
  },
)

test('a branch whose database can not be looked at is not ordered to end', async () => {
  const gone = await servers.startPostgres({ settings: { max_prepared_transactions: '4' } })
  const config = { resources: [{ name: 'flights', kind: 'postgres' as const, url: gone.url() }], resolver: NEVER }
  const fleet = await Fleet.start({ size: 1, config })
  const txid = newTxid()
  await commit(fleet, txid)
  const client = new pg.Client({ connectionString: gone.url() })
  client.on('error', () => {})
  await client.connect()
  await client.query('create table seats (id int)')
  await client.query(
    `begin; insert into seats values (1); prepare transaction '${makeGid(clusterId, txid, 0 as BranchId)}'`,
  )
  await client.end()
  await gone.stop()
  const away = await settle(fleet, txid, '--branch', '0', '--commit')
  expect(away.code).toBe(1)
  expect(away.stderr).toMatch(/not all could \(flights: .*\[ADMIN_REFUSED: SETTLE_UNSEEN\]/)
  expect(await book(fleet), 'nothing was ordered that could not be seen').toEqual([])
})

test('without a decision, because its log is lost, a branch is ended only by somebody who knows it from elsewhere', async () => {
  const fleet = await Fleet.start({ size: 1, config: { resources: resources().slice(0, 1), resolver: NEVER } })
  const [first, second] = [newTxid(), newTxid()]
  await leaveInPostgres(first, 'Ann')
  await leaveInPostgres(second, 'Bob')
  await fleet.kill(1)
  const force = ['--force-new-cluster', '--yes-lose-data', 'test']
  expect((await concordat(['recover', '--data', fleet.dataOf(1), ...force])).code).toBe(0)
  fleet.start(1)
  await fleet.leader()
  expect(await operate(fleet, 'settle', first)).toMatch(/^\S+: a part of the log was lost/)
  for (const flag of ['--branch=0', '--against-decision']) {
    const refused = await settle(fleet, first, '--branch', '0', '--commit', flag)
    expect(refused).toMatchObject({ code: 2 })
    expect(refused.stderr).toContain('SETTLE_NO_DECISION')
  }
  expect((await settle(fleet, first, '--branch', '0', '--commit', '--without-decision')).code).toBe(0)
  expect((await settle(fleet, second, '--branch', '0', '--abort', '--without-decision')).code).toBe(0)
  expect(await taken()).toEqual(['Ann'])
  expect((await inDoubt(fleet)).attention?.settlements).toMatchObject([
    { standing: 'undecided' },
    { standing: 'undecided' },
  ])
  // The guard is lifted, so both are aborted ones now: the first stands against that, and is shown.
  await operate(fleet, 'guard', 'lift', '--reason', 'both settled')
  for (const txid of [first, second]) await operate(fleet, 'outcome', txid, '--settle')
  const { attention } = await inDoubt(fleet)
  expect(attention).toMatchObject({
    settlements: [{ txid: first, standing: 'against' }],
    transactions: [{ txid: first, heuristicMixed: true }],
  })
})

test('what can not be done is refused with the reason, and nothing is changed', async () => {
  const fleet = await Fleet.start({ size: 1, config: { resources: resources().slice(0, 1), resolver: NEVER } })
  const txid = newTxid()
  await leaveInPostgres(txid, 'Ann')
  await commit(fleet, txid)
  const because = ['--reason', 'why']
  const calls: readonly [readonly string[], number, string][] = [
    [[txid, '--branch', '0', '--commit', ...because], 2, 'NOT_CONFIRMED'],
    [[txid, '--branch', '0', '--commit', '--yes'], 2, 'REASON_MISSING'],
    [[txid, '--commit', ...because, '--yes'], 2, 'SETTLE_CALL_INVALID'],
    [['--commit', ...because, '--yes'], 2, 'SETTLE_CALL_INVALID'],
    [[txid, '--branch', '64'], 2, '64'],
    [[txid, '--commit', '--abort'], 2, 'cannot be used with'],
    [[txid, '--branch', '7', '--commit', ...because, '--yes'], 1, 'SETTLE_NOT_PREPARED'],
    [[txid, '--branch', '0', '--commit', '--reason', 'a\u001b[2Jb', '--yes'], 1, 'control characters are not taken'],
    [['nonsense'], 2, 'MALFORMED_ID'],
    [[makeGid(asCluster('others'), txid, 0 as BranchId)], 1, 'WRONG_CLUSTER'],
  ]
  for (const [args, code, word] of calls) {
    const end = await fleet.operator('settle', ...args)
    expect({ args, code: end.code, stderr: end.stderr }).toMatchObject({ code, stderr: expect.stringContaining(word) })
  }
  expect(await book(fleet)).toEqual([])
  expect((await inDoubt(fleet)).branchCount).toBe(1)
  await fleet.kill(1)
  expect((await fleet.operator('settle', txid, '--timeout', '300')).code).toBe(3)
})

test.skipIf(noScript)('at a terminal it shows what is known, and wants the words typed', async () => {
  const fleet = await Fleet.start({ size: 1, config: { resources: resources().slice(0, 1), resolver: NEVER } })
  const txid = newTxid()
  await leaveInPostgres(txid, 'Ann')
  await commit(fleet, txid)
  const call = ['settle', txid, '--branch', '0', '--abort', '--against-decision', '--reason', 'why']
  const wrong = await atTerminal(fleet, call, 'abort flights')
  expect(wrong).toMatchObject({ code: 2 })
  expect(wrong.words).toMatch(/prepared[\s\S]*Type "abort flights against the decision" to go on/)
  expect(await book(fleet)).toEqual([])
  const right = await atTerminal(fleet, call, 'abort flights against the decision')
  expect(right).toMatchObject({ code: 0 })
  expect(await book(fleet)).toMatchObject([{ standing: 'against', reason: 'why' }])
  expect(await taken()).toEqual([])
})

/** Runs the command at a pseudo-terminal, and types a line when it asks. */
async function atTerminal(fleet: Fleet, args: readonly string[], line: string) {
  const words = [process.execPath, program(), ...args, '--coordinators', fleet.addresses.join(',')]
  const quoted = words.map((word) => `'${word}'`).join(' ')
  const child: ChildProcess = spawn('script', ['-qec', quoted, '/dev/null'], { env: plainEnvironment() })
  onTestFinished(() => void child.kill('SIGKILL'))
  let seen = ''
  let typed = false
  child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
    seen += chunk
    if (typed || !seen.includes('to go on: ')) return
    typed = true
    child.stdin!.write(`${line}\r`)
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, words: seen }
}
