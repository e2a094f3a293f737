import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Clock, makeGid, makeTxid, parseBranchId, parseClusterId, systemClock } from '../../base/index.ts'
import { type LocalServer, LocalServers } from '../../localdb/index.ts'
import type { Observation } from '../inspection.ts'
import { postgresFromUrl } from './index.ts'

const servers = new LocalServers()
let good: LocalServer
let slotless: LocalServer

beforeAll(async () => {
  ;[good, slotless] = await Promise.all([
    servers.startPostgres({ settings: { max_prepared_transactions: '10', max_connections: '10' } }),
    servers.startPostgres({
      settings: { max_prepared_transactions: '0', fsync: 'off', synchronous_commit: 'off' },
    }),
  ])
  await run(good, 'create role app login; create role web login')
})
afterAll(() => servers.close())

async function open(server: LocalServer, user = 'postgres'): Promise<pg.Client> {
  const client = new pg.Client(urlOf(server, user))
  client.on('error', () => {})
  await client.connect()
  return client
}

function urlOf(server: LocalServer, user: string): string {
  const url = new URL(server.url())
  url.username = user
  return url.href
}

async function run(server: LocalServer, sql: string, user?: string): Promise<void> {
  const client = await open(server, user)
  await client.query(sql)
  await client.end()
}

async function examine(
  server: LocalServer,
  user = 'postgres',
  clock: Clock = systemClock,
): Promise<readonly Observation[]> {
  const resource = await postgresFromUrl(urlOf(server, user), { name: 'flights', clock })
  try {
    return await resource.inspection!.examine()
  } finally {
    await resource.inDoubt.close()
  }
}

const worse = (found: readonly Observation[]) =>
  found.filter(({ level }) => level !== 'ok').map(({ level, what }) => `${level} ${what}`)

test('a server that is well set up has nothing but ok', async () => {
  const found = await examine(good)
  expect(worse(found)).toEqual([])
  expect(found.map(({ what }) => what)).toEqual([
    'version',
    'preparedTransactions',
    'ownership',
    'durability',
    'synchronousCommit',
    'clock',
  ])
})

test('a server as it comes, tuned for speed, is told what each setting loses', async () => {
  const found = await examine(slotless)
  expect(worse(found)).toEqual(['error preparedTransactionsOff', 'error fsyncOff', 'warning synchronousCommit'])
  for (const { level, advice } of found) if (level !== 'ok') expect(advice).toMatch(/^[A-Z].*\.$/)
  expect(found.find(({ what }) => what === 'preparedTransactionsOff')?.advice).toMatch(/restart PostgreSQL/)
  expect(found.find(({ what }) => what === 'synchronousCommit')?.message).toMatch(/told committed before it is on disk/)
})

test('a setting of one role or of the database is found as well', async () => {
  await run(good, 'alter role app set synchronous_commit to off')
  onTestFinished(() => run(good, 'alter role app reset synchronous_commit'))
  const found = await examine(good)
  expect(worse(found)).toEqual(['warning synchronousCommit'])
  expect(found.find(({ level }) => level === 'warning')?.message).toMatch(/^For app synchronous_commit is off/)
})

test('with synchronous standbys, votes that do not wait for them are a warning', async () => {
  await run(good, 'alter system set synchronous_commit to local')
  await run(good, "alter system set synchronous_standby_names to 'far'")
  await run(good, 'select pg_reload_conf()')
  onTestFinished(async () => {
    await run(good, 'alter system reset all')
    await run(good, 'select pg_reload_conf()')
  })
  await expect
    .poll(async () => (await examine(good)).find(({ what }) => what === 'synchronousCommit')?.message)
    .toMatch(/is local: votes do not wait for the synchronous standbys/)
})

test('a replica that commits do not wait for is a warning', async () => {
  const options = { connectionString: good.url(), replication: 'true' }
  const replica = new pg.Client(options as pg.ClientConfig)
  replica.on('error', () => {})
  await replica.connect()
  onTestFinished(() => void replica.end().catch(() => {}))
  const { xlogpos } = (await replica.query('IDENTIFY_SYSTEM')).rows[0]
  replica.query(`START_REPLICATION PHYSICAL ${xlogpos}`).catch(() => {})
  await expect.poll(async () => worse(await examine(good))).toEqual(['warning asynchronousReplicas'])
})

test('slots that are nearly used up are a warning, and used up an error', async () => {
  const gids = Array.from({ length: 10 }, (_, n) => `full-${n}`)
  const fill = (some: readonly string[]) =>
    Promise.all(some.map((gid) => run(good, `begin; prepare transaction '${gid}'`)))
  await fill(gids.slice(0, 9))
  expect(worse(await examine(good))).toEqual(['warning slotsNearlyUsedUp'])
  await fill(gids.slice(9))
  expect(worse(await examine(good))).toEqual(['error slotsUsedUp'])
  for (const gid of gids) await run(good, `rollback prepared '${gid}'`)
})

test('a user that may not end what another one prepared is told of it, before and after', async () => {
  expect(worse(await examine(good, 'web')), 'nobody else is there').toEqual([])
  const other = await open(good, 'app')
  expect(worse(await examine(good, 'web'))).toEqual(['warning otherUsersConnected'])
  const gid = makeGid(parseClusterId('any'), makeTxid(Date.now(), randomBytes(10)), parseBranchId(0))
  await other.query(`begin; prepare transaction '${gid}'`)
  const found = await examine(good, 'web')
  expect(worse(found)).toEqual(['error foreignOwners'])
  expect(found.find(({ level }) => level === 'error')?.message).toMatch(/prepared here by app, .* user web can't/)
  expect(worse(await examine(good, 'app')), 'its owner may').toEqual([])
  await other.query(`rollback prepared '${gid}'`)
  await other.end()
})

test('a clock that is wrong is a warning', async () => {
  const slow: Clock = { ...systemClock, wallMs: () => Date.now() - 60_000 }
  const found = await examine(good, 'postgres', slow)
  expect(worse(found)).toEqual(['warning clock'])
  expect(found.find(({ what }) => what === 'clock')?.message).toMatch(/60 s ahead of/)
})

test('a user that is refused, and a server that is down, are errors that say so', async () => {
  expect(await examine(good, 'stranger')).toMatchObject([
    { level: 'error', what: 'refused', message: expect.stringMatching(/role "stranger" does not exist/) },
  ])
  await slotless.kill()
  expect(await examine(slotless)).toMatchObject([
    { level: 'error', what: 'unreachable', message: expect.stringMatching(/ECONNREFUSED/) },
  ])
})
