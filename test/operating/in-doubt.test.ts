import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type BranchId, makeGid, type Txid } from '../../src/base/index.ts'
import { type LocalServer, LocalServers } from '../../src/localdb/index.ts'
import type { InDoubtAnswer } from '../../src/server/index.ts'
import { noMariadb } from '../support/banks.support.ts'
import { asCluster, newTxid, votedBranch } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

const clusterId = asCluster('test')
/** Longer than any test: nobody settles what a test leaves behind. */
const NEVER = { scanMs: 500, graceMs: 3_600_000 }

let servers: LocalServers
let postgres: LocalServer
let mariadb: LocalServer | undefined
beforeAll(async () => {
  servers = new LocalServers()
  ;[postgres, mariadb] = await Promise.all([
    servers.startPostgres({ settings: { max_prepared_transactions: '8' } }),
    noMariadb ? undefined : servers.startMariadb(),
  ])
  await run('create table seats (id int primary key, taken_by text); insert into seats values (1, null), (2, null)')
})
afterAll(() => servers?.close())

async function run(sql: string): Promise<void> {
  const client = await session()
  await client.query(sql)
  await client.end()
}

async function session(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: postgres.url(), application_name: 'web' })
  client.on('error', () => {})
  await client.connect()
  return client
}

function resources() {
  return [
    { name: 'flights', kind: 'postgres' as const, url: postgres.url() },
    ...(mariadb === undefined ? [] : [{ name: 'hotels', kind: 'mysql' as const, url: mariadb.url() }]),
  ]
}

/** An application prepares a branch and is never heard of again. */
async function leaveBehind(txid: Txid, work: string): Promise<void> {
  await run(`begin; ${work}; prepare transaction '${makeGid(clusterId, txid, 0 as BranchId)}'`)
}

/** Starts a statement that will wait, and waits until it does. */
async function block(sql: string): Promise<number> {
  const client = await session()
  onTestFinished(() => void client.end().catch(() => {}))
  const pid = Number((await client.query('select pg_backend_pid() as pid')).rows[0].pid)
  client.query(sql).catch(() => {})
  const admin = await session()
  await until('the statement waits', async () => {
    return (await admin.query('select 1 from pg_locks where pid = $1 and not granted', [pid])).rows.length > 0
  })
  await admin.end()
  return pid
}

async function answered(fleet: Fleet): Promise<InDoubtAnswer> {
  const { code, stdout, stderr } = await fleet.operator('in-doubt', '--json')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout) as InDoubtAnswer
}

test('in-doubt shows branches that were left behind, what is decided of them, and whom they block, until they are settled', async () => {
  const fleet = await Fleet.start({ config: { resources: resources(), resolver: NEVER } })
  const quiet = await fleet.operator('in-doubt')
  expect(quiet).toMatchObject({ code: 0, stderr: '' })
  expect(quiet.stdout).toMatch(/^nothing is in doubt\n/)
  expect(quiet.stdout).toMatch(/^flights +postgres +0 +0 of 8 +8 +0 +ok$/m)

  const [committed, aborted, unknown] = [newTxid(), newTxid(), newTxid()]
  await leaveBehind(committed, "update seats set taken_by = 'Ann' where id = 1")
  await leaveBehind(aborted, 'select * from seats')
  await leaveBehind(unknown, 'insert into seats values (3, null)')
  await run("begin; prepare transaction 'somebody-elses'")
  onTestFinished(() => run("rollback prepared 'somebody-elses'"))
  const branches = [votedBranch(0, 'flights')]
  const port = fleet.port()
  expect(await port.commit({ clusterId, txid: committed, timeoutMs: 5_000, branches })).toMatchObject({
    outcome: { kind: 'committed' },
  })
  expect(await port.abort({ clusterId, txid: aborted, branches, participant: undefined }, 5_000)).toMatchObject({
    outcome: { kind: 'aborted' },
  })
  const front = await block("update seats set taken_by = 'Bob' where id = 1 and taken_by is null")
  const behind = await block("update seats set taken_by = 'Eve' where id = 1 and taken_by is null")

  const found = await answered(fleet)
  expect(found).toMatchObject({ cluster: 'test', current: true, branchCount: 3 })
  expect(Object.fromEntries(found.branches.map(({ txid, decision }) => [txid, decision.kind]))).toEqual({
    [committed]: 'committed',
    [aborted]: 'aborted',
    [unknown]: 'unknown',
  })
  expect(found.branches.find(({ txid }) => txid === committed)).toMatchObject({
    resource: 'flights',
    owner: 'postgres',
    ageIsBound: false,
    sessions: [{ id: front }, { id: behind, behind: front }],
    tables: [{ name: 'public.seats', mode: 'RowExclusiveLock' }],
  })
  expect(found.resources[0]).toMatchObject({ inDoubt: 3, slots: { max: 8, used: 4 }, foreign: { here: 1 } })

  const human = await fleet.operator('in-doubt')
  expect(human).toMatchObject({ code: 0, stderr: '' })
  expect(human.stdout).toMatch(
    new RegExp(`^${committed} +0 +flights +[\\d.]+ m?s +committed +2 sessions, 1 table$`, 'm'),
  )
  expect(human.stdout).toMatch(
    new RegExp(`session ${behind} \\(postgres@web\\): .* behind session ${front} for a row of public.seats`),
  )
  expect(human.stdout).toMatch(/update seats set taken_by = …/)
  expect(human.stdout, "nobody's data").not.toMatch(/Eve|Bob/)
  expect(human.stdout).toMatch(/^unknown: no coordinator has heard of it/m)
  expect(human.stdout).toMatch(/^flights +postgres +3 +4 of 8 +4 +1 +ok$/m)

  const limited = JSON.parse((await fleet.operator('in-doubt', '--json', '--limit', '1')).stdout) as InDoubtAnswer
  expect(limited).toMatchObject({ branchCount: 3, branches: [{ txid: committed }] })

  // Nothing was touched by looking. Now a resolver may work.
  await fleet.kill(...fleet.ids)
  for (const id of fleet.ids) fleet.rewrite(id, { resolver: { scanMs: 200, graceMs: 200 } })
  fleet.startAll()
  await until('everything is settled', async () => {
    const { code, stdout } = await fleet.operator('in-doubt', '--json')
    return code === 0 && (JSON.parse(stdout) as InDoubtAnswer).branchCount === 0
  })
  const reader = await session()
  const { rows } = await reader.query('select id, taken_by from seats order by id')
  await reader.end()
  expect(rows, 'as decided: Ann has her seat, and nobody made a third').toEqual([
    { id: 1, taken_by: 'Ann' },
    { id: 2, taken_by: null },
  ])
})

test.skipIf(noMariadb)('in-doubt shows whom a branch in MariaDB blocks, with the age of its transaction', async () => {
  const fleet = await Fleet.start({ size: 1, config: { resources: resources(), resolver: NEVER } })
  const txid = newTxid(Date.now() - 120_000)
  const [owner, waiter] = await Promise.all([
    mysql2.createConnection(mariadb!.url()),
    mysql2.createConnection(mariadb!.url()),
  ])
  await owner.query('create table nights (id int primary key) engine=InnoDB')
  const xid = `'cdt_test_${txid}','0',1`
  for (const sql of [`xa start ${xid}`, 'insert into nights values (1)', `xa end ${xid}`, `xa prepare ${xid}`])
    await owner.query(sql)
  await owner.end()
  waiter.query('insert into nights values (1)').catch(() => {})
  onTestFinished(() => waiter.destroy())
  await until('the waiter is seen', async () => (await answered(fleet)).branches[0]?.sessionCount === 1)
  const human = await fleet.operator('in-doubt')
  expect(human.stdout).toMatch(new RegExp(`^${txid} +0 +hotels +< 2 min \\d+ s +unknown +1 session, 1 table$`, 'm'))
  expect(human.stdout).toMatch(/for a row of app\.nights/)
  expect(human.stdout).toMatch(/^hotels +mysql +1 +- +- +0 +ok$/m)
})

test('without a majority in-doubt shows what one coordinator sees, says so and ends with 1', async () => {
  const fleet = await Fleet.start({ config: { resources: resources().slice(0, 1), resolver: NEVER } })
  const [committed, unknown] = [newTxid(), newTxid()]
  await leaveBehind(committed, 'insert into seats values (10, null)')
  await leaveBehind(unknown, 'insert into seats values (11, null)')
  const branches = [votedBranch(0, 'flights')]
  await fleet.port().commit({ clusterId, txid: committed, timeoutMs: 5_000, branches })
  await fleet.whole()
  await fleet.kill(...fleet.ids.slice(1))
  await until('the survivor leads no more', async () => (await fleet.status(1))?.serving === false)
  const human = await fleet.operator('in-doubt', '--timeout', '3000')
  expect(human.code).toBe(1)
  expect(human.stdout).toMatch(/^No leader answers\. This is what node 1 sees/)
  expect(human.stdout).toMatch(new RegExp(`^${committed} .* committed `, 'm'))
  expect(human.stdout).toMatch(new RegExp(`^${unknown} .* unknown `, 'm'))
  await fleet.kill(1)
  expect((await fleet.operator('in-doubt', '--timeout', '500')).code).toBe(3)
})

test('a database that can not be looked at is named, and in-doubt ends with 1; without databases too', async () => {
  const gone = await servers.startPostgres()
  const bad = [...resources().slice(0, 1), { name: 'gone', kind: 'postgres' as const, url: gone.url() }]
  const fleet = await Fleet.start({ size: 1, config: { resources: bad, resolver: NEVER } })
  await gone.stop()
  const human = await fleet.operator('in-doubt')
  expect(human.code).toBe(1)
  expect(human.stdout).toMatch(/^gone +postgres +\? +- +- +\? +.*ECONNREFUSED/m)
  expect(human.stdout).toMatch(/^flights .* ok$/m)

  const without = await Fleet.start({ size: 1 })
  const none = await without.operator('in-doubt')
  expect(none.code).toBe(1)
  expect(none.stdout).toMatch(/^No databases are configured/)
})

test('a call that is wrong ends with 2', async () => {
  expect((await concordat(['in-doubt', '--limit', 'many'])).code).toBe(2)
})
