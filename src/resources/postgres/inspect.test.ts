import { randomBytes } from 'node:crypto'
import pg from 'pg'
import postgresJs from 'postgres'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { makeGid, makeTxid, parseBranchId, parseClusterId } from '../../base/index.ts'
import { type LocalServer, LocalServers } from '../../localdb/index.ts'
import type { BranchInDoubt, InDoubtReport } from '../inspection.ts'
import { postgres, postgresFromUrl } from './index.ts'

const CLUSTER = parseClusterId('looks')
const servers = new LocalServers()
let server: LocalServer
let admin: pg.Client

beforeAll(async () => {
  server = await servers.startPostgres({ settings: { max_prepared_transactions: '9' } })
  admin = await connect()
  await admin.query(`create table seats (id int primary key, taken_by text); create table prices (id int primary key);
    create schema "Odd One"; create table "Odd One"."Table" (id int);
    create role app login; grant all on all tables in schema public to app`)
  await admin.query('create database other')
})
afterAll(async () => {
  await admin?.end()
  await servers.close()
})

/** A session that is closed with the test, unless it is the administrator's. */
async function connect(user = 'postgres', database = 'postgres'): Promise<pg.Client> {
  const url = new URL(server.url(database))
  url.username = user
  const client = new pg.Client({ connectionString: url.href, application_name: 'web' })
  client.on('error', () => {})
  await client.connect()
  return client
}

async function session(user?: string, database?: string): Promise<pg.Client> {
  const client = await connect(user, database)
  // Not awaited: it may still wait for a branch that ends after it.
  onTestFinished(() => void client.end().catch(() => {}))
  return client
}

const pidOf = async (client: pg.Client): Promise<number> =>
  Number((await client.query('select pg_backend_pid() as pid')).rows[0].pid)

/** Leaves a prepared branch behind, which is rolled back with the test. */
async function prepare(work: string, user?: string, branch = 0): Promise<string> {
  const gid = makeGid(CLUSTER, makeTxid(Date.now(), randomBytes(10)), parseBranchId(branch))
  await prepareAs(gid, work, user)
  return gid
}

async function prepareAs(gid: string, work: string, user?: string, database?: string): Promise<void> {
  const client = await connect(user, database)
  await client.query(`begin; ${work}; prepare transaction '${gid}'`)
  await client.end()
  onTestFinished(async () => {
    const owner = await connect('postgres', database)
    await owner.query(`rollback prepared '${gid}'`)
    await owner.end()
  })
}

/** Starts a statement that will wait, and waits until it does. */
async function block(client: pg.Client, sql: string): Promise<number> {
  const pid = await pidOf(client)
  let failure: unknown
  client.query(sql).catch((error: unknown) => {
    failure = error
  })
  for (;;) {
    expect(failure, sql).toBeUndefined()
    const { rows } = await admin.query('select 1 from pg_locks where pid = $1 and not granted', [pid])
    if (rows.length > 0) return pid
  }
}

async function look(user = 'postgres'): Promise<InDoubtReport> {
  const url = new URL(server.url())
  url.username = user
  const resource = await postgresFromUrl(url.href, { name: 'flights' })
  try {
    return await resource.inspection!.inDoubt(CLUSTER)
  } finally {
    await resource.inDoubt.close()
  }
}

async function branchOf(gid: string): Promise<BranchInDoubt> {
  const found = (await look()).branches.find((each) => each.gid === gid)
  expect(found).toBeDefined()
  return found!
}

test('without anything prepared all slots are left', async () => {
  expect(await look()).toMatchObject({
    branches: [],
    foreign: { here: 0, elsewhere: 0 },
    slots: { max: 9, used: 0 },
    notes: [],
  })
})

test('a branch shows its owner, its age, its tables, and the sessions that wait for its rows, its keys and its tables', async () => {
  const gid = await prepare(
    `insert into seats values (1, null); savepoint s; insert into prices values (7); select * from "Odd One"."Table"`,
    'postgres',
  )
  const key = await block(await session(), 'insert into seats values (1)')
  const table = await block(await session('app'), 'begin; lock table prices in exclusive mode')
  const behind = await block(await session('app'), 'insert into prices values (8)')
  const ddl = await block(await session(), 'drop table "Odd One"."Table"')
  const found = await branchOf(gid)
  expect(found).toMatchObject({ owner: 'postgres', sessionCount: 4, tableCount: 3 })
  expect(found.ageMs).toBeGreaterThanOrEqual(0)
  expect(found.tables).toEqual([
    { name: 'public.prices', mode: 'RowExclusiveLock' },
    { name: 'public.seats', mode: 'RowExclusiveLock' },
    { name: '"Odd One"."Table"', mode: 'AccessShareLock' },
  ])
  const sessions = new Map(found.sessions.map((each) => [each.id, each]))
  expect(sessions.get(key)).toMatchObject({
    user: 'postgres',
    client: 'web',
    waitsFor: expect.stringContaining('the end of the branch'),
    statement: 'insert into seats values ( …',
    behind: undefined,
  })
  expect(sessions.get(table)).toMatchObject({ user: 'app', waitsFor: 'table public.prices', behind: undefined })
  expect(sessions.get(behind)).toMatchObject({ waitsFor: 'table public.prices', behind: table })
  expect(sessions.get(ddl)).toMatchObject({ waitsFor: 'table "Odd One"."Table"' })
  expect(sessions.get(key)?.waitMs).toBeGreaterThanOrEqual(0)
})

test('of two branches each shows its own: the second waiter for a row is behind the first', async () => {
  await admin.query("insert into seats values (2, 'nobody')")
  const first = await prepare("update seats set taken_by = 'Ann' where id = 2")
  const second = await prepare('insert into prices values (9)')
  const front = await block(await session(), "update seats set taken_by = 'Bob' where id = 2")
  const queued = await block(await session(), "update seats set taken_by = 'Eve' where id = 2")
  expect((await branchOf(first)).sessions).toMatchObject([
    { id: front, waitsFor: 'a row of public.seats', behind: undefined },
    { id: queued, waitsFor: 'a row of public.seats', behind: front },
  ])
  expect(await branchOf(second)).toMatchObject({ sessionCount: 0, tables: [{ name: 'public.prices' }] })
})

test('only the oldest branch is said to hold back vacuum, and none is while something older does', async () => {
  const first = await prepare('insert into prices values (10)')
  const second = await prepare('insert into prices values (11)')
  expect((await branchOf(first)).vacuum?.isOldest).toBe(true)
  expect((await branchOf(second)).vacuum?.isOldest).toBe(false)
  const { xids } = (await branchOf(first)).vacuum!
  await admin.query('insert into prices values (12)')
  expect((await branchOf(first)).vacuum?.xids).toBe(xids + 1)
})

test('a reader with an older snapshot holds vacuum back further than a branch', async () => {
  const reader = await session()
  await reader.query('begin isolation level repeatable read; select * from seats')
  await admin.query('insert into prices values (20)')
  const gid = await prepare('insert into prices values (21)')
  expect((await branchOf(gid)).vacuum?.isOldest).toBe(false)
})

test('what is prepared and not ours is counted, and uses slots', async () => {
  await prepareAs('somebody-elses', 'insert into prices values (30)')
  await prepareAs(
    makeGid(parseClusterId('theirs'), makeTxid(Date.now(), randomBytes(10)), parseBranchId(0)),
    'select 1',
  )
  await prepareAs('far-away', 'select 1', 'postgres', 'other')
  await prepare('insert into prices values (31)')
  expect(await look()).toMatchObject({
    branches: [expect.anything()],
    foreign: { here: 2, elsewhere: 1 },
    slots: { max: 9, used: 4 },
  })
})

test('a user without rights sees what is blocked, and is told that statements are hidden', async () => {
  await admin.query("insert into seats values (3, 'nobody') on conflict do nothing")
  await prepare("update seats set taken_by = 'Ann' where id = 3", 'app')
  await block(await session(), "update seats set taken_by = 'Bob' where id = 3")
  const report = await look('app')
  expect(report.branches).toMatchObject([
    { owner: 'app', sessions: [{ user: 'postgres', statement: undefined, waitsFor: 'a row of public.seats' }] },
  ])
  expect(report.notes).toEqual([expect.stringMatching(/GRANT pg_read_all_stats/)])
})

test('after a crash of the server a branch still shows what it blocks', async () => {
  const gid = await prepare('insert into seats values (50, null)')
  await admin.end()
  await server.kill()
  await server.restart()
  admin = await connect()
  const pid = await block(await session(), 'insert into seats values (50)')
  expect(await branchOf(gid)).toMatchObject({ sessions: [{ id: pid }], tables: [{ name: 'public.seats' }] })
})

test('the driver postgres.js sees the same', async () => {
  const gid = await prepare('insert into seats values (60, null)')
  const pid = await block(await session(), 'insert into seats values (60)')
  const sql = postgresJs(server.url(), { max: 1, onnotice: () => {} })
  onTestFinished(() => sql.end({ timeout: 1 }))
  const report = await postgres(sql, { name: 'flights' }).inspection!.inDoubt(CLUSTER)
  expect(report.branches).toMatchObject([{ gid, sessions: [{ id: pid }], tables: [{ name: 'public.seats' }] }])
})
