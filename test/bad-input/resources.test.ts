import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Concordat } from '../../src/client/index.ts'
import { type LocalServer, LocalServers } from '../../src/localdb/index.ts'
import { mysql, postgres, type Resource } from '../../src/resources/index.ts'
import { noMariadb } from '../support/banks.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

/** One database that is well, and those that are not. */
let servers: LocalServers
let good: LocalServer
let slotless: LocalServer
let mariadb: LocalServer | undefined
beforeAll(async () => {
  servers = new LocalServers()
  ;[good, slotless, mariadb] = await Promise.all([
    servers.startPostgres(),
    servers.startPostgres({ settings: { max_prepared_transactions: '0' } }),
    noMariadb ? undefined : servers.startMariadb(),
  ])
  for (const server of [good, slotless]) {
    const client = new pg.Client(server.url())
    await client.connect()
    await client.query('create table notes (id text primary key)')
    await client.end()
  }
})
afterAll(() => servers?.close())

/** A user that nobody made, with a password that nobody may see. */
function asStranger(server: LocalServer): string {
  const url = new URL(server.url())
  url.username = 'stranger'
  url.password = 'hush-hush'
  return url.href
}

function poolOf(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  return pool
}

function clientOf(fleet: Fleet): Concordat {
  const client = new Concordat({ coordinators: fleet.addresses, timeoutMs: 5_000 })
  onTestFinished(() => client.close())
  return client
}

/** Writes a note in the good database, and then in the bad one: what the application is told. */
async function failure(client: Concordat, bad: Resource<{ query(sql: string): Promise<unknown> }>): Promise<Error> {
  const well = postgres(poolOf(good.url()), { name: 'well' })
  const work = client.transaction(async (tx) => {
    await (await tx.enlist(well)).query("insert into notes values ('half')")
    await (await tx.enlist(bad)).query("insert into notes values ('half')")
  })
  const error = await work.then(
    () => expect.unreachable('it should have failed'),
    (thrown: unknown) => thrown as Error,
  )
  const { rows } = await poolOf(good.url()).query("select 1 from notes where id = 'half'")
  expect(rows, 'nothing was left behind').toEqual([])
  return error
}

/** What `concordat status` shows of a resource once the resolver has looked at it. */
async function stateOf(fleet: Fleet, name: string, pattern: RegExp): Promise<void> {
  await until(`status says of ${name}: ${pattern}`, async () => {
    const { stdout, code } = await concordat(['status', '--coordinators', fleet.addresses.join(',')])
    expect(code).toBe(0)
    expect(stdout).not.toContain('hush')
    const line = stdout.split('\n').find((each) => each.startsWith(name))
    return line !== undefined && pattern.test(line)
  })
}

test('a database with max_prepared_transactions = 0 is called that, in the log, in the status and to the application', async () => {
  const resources = [{ name: 'slotless', kind: 'postgres' as const, url: slotless.url() }]
  const fleet = await Fleet.start({ size: 1, config: { resources } })
  await until('the log says so', () => /max_prepared_transactions is 0.*restart PostgreSQL/.test(fleet.logOf(1)))
  await stateOf(fleet, 'slotless', /max_prepared_transactions is 0/)
  const error = await failure(clientOf(fleet), postgres(poolOf(slotless.url()), { name: 'slotless' }))
  expect(String(error.message)).toMatch(
    /"slotless" can't take part in transactions: its setting max_prepared_transactions is 0/,
  )
  expect(String(error.message)).toMatch(/Set it to .* in postgresql\.conf and restart PostgreSQL/)
})

test('a database that refuses the user is called that, and the password comes out nowhere', async () => {
  const resources = [
    { name: 'locked', kind: 'postgres' as const, url: asStranger(good) },
    ...(mariadb === undefined ? [] : [{ name: 'barred', kind: 'mysql' as const, url: asStranger(mariadb) }]),
  ]
  const fleet = await Fleet.start({ size: 1, config: { resources } })
  await stateOf(fleet, 'locked', /refuses the user or the database name: role "stranger" does not exist/)
  if (mariadb !== undefined) await stateOf(fleet, 'barred', /refuses|Access denied/)
  expect(fleet.logOf(1)).toMatch(/role \\"stranger\\" does not exist/)
  expect(fleet.logOf(1)).not.toContain('hush')
  const client = clientOf(fleet)
  const error = await failure(client, postgres(poolOf(asStranger(good)), { name: 'locked' }))
  expect(error.message).toMatch(/"locked" .*refuses the user or the database name: role "stranger" does not exist/)
  if (mariadb === undefined) return
  const pool = mysql2.createPool(asStranger(mariadb))
  onTestFinished(() => pool.end())
  const denied = await failure(
    client,
    mysql(pool, { name: 'barred' }) as Resource<{ query(sql: string): Promise<unknown> }>,
  )
  expect(denied.message).toMatch(/"barred" .*Access denied for user 'stranger'/)
})

test('a database that is down is called that; it holds up no other, and is served again when it is back', async () => {
  const shaky = await servers.startPostgres()
  onTestFinished(() => shaky.stop())
  const pool = poolOf(shaky.url())
  await pool.query('create table notes (id text primary key)')
  const resources = [
    { name: 'shaky', kind: 'postgres' as const, url: shaky.url() },
    { name: 'well', kind: 'postgres' as const, url: good.url() },
  ]
  const fleet = await Fleet.start({ size: 1, config: { resources } })
  const client = clientOf(fleet)
  await stateOf(fleet, 'shaky', /ok$/)
  await shaky.kill()
  await stateOf(fleet, 'shaky', /not available/)
  await stateOf(fleet, 'well', /ok$/)
  const error = await failure(client, postgres(pool, { name: 'shaky' }))
  expect(error).toMatchObject({ retryable: true })
  expect(error.message).toMatch(/"shaky" is not available: .*ECONNREFUSED/)

  await shaky.restart()
  await stateOf(fleet, 'shaky', /ok$/)
  await client.transaction(async (tx) => {
    await (await tx.enlist(postgres(poolOf(good.url()), { name: 'well' }))).query("insert into notes values ('whole')")
    await (await tx.enlist(postgres(pool, { name: 'shaky' }))).query("insert into notes values ('whole')")
  })
  for (const each of [pool, poolOf(good.url())]) {
    expect((await each.query("select 1 from notes where id = 'whole'")).rows).toHaveLength(1)
  }
})
