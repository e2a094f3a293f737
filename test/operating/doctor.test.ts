import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Diagnosis } from '../../src/doctor/index.ts'
import { type LocalServer, LocalServers } from '../../src/localdb/index.ts'
import { noMariadb } from '../support/banks.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat, root } from '../support/program.support.ts'

let servers: LocalServers
let flights: LocalServer
let slotless: LocalServer
let hotels: LocalServer | undefined
beforeAll(async () => {
  servers = new LocalServers()
  ;[flights, slotless, hotels] = await Promise.all([
    servers.startPostgres({ settings: { max_prepared_transactions: '100' } }),
    servers.startPostgres({ settings: { max_prepared_transactions: '0' } }),
    noMariadb ? undefined : servers.startMariadb(),
  ])
})
afterAll(() => servers?.close())

function resources() {
  return [
    { name: 'flights', kind: 'postgres' as const, url: flights.url() },
    ...(hotels === undefined ? [] : [{ name: 'hotels', kind: 'mysql' as const, url: hotels.url(), witness: true }]),
  ]
}

async function examine(fleet: Fleet, id = 1): Promise<{ readonly code: number | null; readonly found: Diagnosis }> {
  const { code, stdout, stderr } = await concordat(['doctor', '--config', fleet.configOf(id), '--json'])
  expect(stderr).toBe('')
  return { code, found: JSON.parse(stdout) as Diagnosis }
}

/** A disk that is busy with other tests may be slow for the moment: that is true, and no fault of the fleet. */
const DISK = ['diskLatency', 'diskSlow']

const worse = ({ findings }: Diagnosis): readonly string[] =>
  findings
    .filter(({ level, what }) => level !== 'ok' && what !== 'diskSlow')
    .map(({ level, what, subject }) => `${level} ${what} (${subject})`)

test('a fleet and databases that are well: nothing but ok, exit code 0, and nothing was changed', async () => {
  const fleet = await Fleet.start({ config: { resources: resources() } })
  await fleet.whole()
  // The node that runs there makes its next segments meanwhile.
  const names = () => readdirSync(fleet.dataOf(1)).filter((name) => !/^\d+\.(wal|tmp)$/.test(name))
  const before = names()
  const { code, found } = await examine(fleet)
  expect(worse(found)).toEqual([])
  expect(code).toBe(0)
  expect(found).toMatchObject({ ok: true, counts: { error: 0 } })
  const seen = found.findings.map(({ what }) => what)
  expect(seen).toEqual(expect.arrayContaining(['ownership', 'answers', 'clock', 'quorum', 'sameResources']))
  expect(seen.filter((what) => DISK.includes(what))).toHaveLength(1)
  expect(names()).toEqual(before)

  const human = await concordat(['doctor', '--config', fleet.configOf(1)])
  expect(human).toMatchObject({ code: 0, stderr: '' })
  expect(human.stdout).toMatch(/^database flights$/m)
  expect(human.stdout).toMatch(/3 of 3 voters answer/)
  expect(human.stdout).toMatch(/\n\d+ ok, [01] warnings?, 0 errors\n$/)
  const quiet = await concordat(['doctor', '--config', fleet.configOf(1), '--quiet'])
  expect(quiet.stdout).toMatch(/\d+ ok, [01] warnings?, 0 errors\n$/)
  expect(quiet.stdout).not.toMatch(/3 of 3 voters answer/)
})

test('what is wrong is found, told with what to do, and ends with 1; the password comes out nowhere', async () => {
  const stranger = new URL(flights.url())
  Object.assign(stranger, { username: 'stranger', password: 'hush-hush' })
  const bad = [
    ...resources().slice(0, 1),
    { name: 'slotless', kind: 'postgres' as const, url: slotless.url() },
    { name: 'locked', kind: 'postgres' as const, url: stranger.href },
  ]
  const fleet = await Fleet.prepare({ config: { resources: bad } })
  // One of them knows another place, and lacks a database.
  fleet.rewrite(3, { resources: [{ ...bad[0]!, url: flights.url('template1') }, bad[1]!] })
  fleet.startAll()
  await fleet.leader()
  await fleet.whole()
  await fleet.kill(2)
  const { code, found } = await examine(fleet)
  expect(code).toBe(1)
  expect(found.ok).toBe(false)
  expect(worse(found)).toEqual(
    expect.arrayContaining([
      'error preparedTransactionsOff (database slotless)',
      'error refused (database locked)',
      `error noAnswer (coordinator at ${fleet.addressOf(2)})`,
      'error databaseError (coordinator 1)',
      'warning notConnected (coordinator 1)',
      'warning notConnected (coordinator 3)',
      'warning votersMissing (fleet)',
      'error resourceMissing (fleet)',
      'warning resourcesDiffer (fleet)',
    ]),
  )
  for (const { level, advice } of found.findings) if (level !== 'ok') expect(advice).toBeTruthy()
  expect(JSON.stringify(found)).not.toContain('hush')

  const human = await concordat(['doctor', '--config', fleet.configOf(1), '--quiet'])
  expect(human.code).toBe(1)
  expect(human.stdout).not.toContain('hush')
  expect(human.stdout).toMatch(/ERROR +max_prepared_transactions is 0/)
  expect(human.stdout).toMatch(/→ Set it in postgresql\.conf/)
  expect(human.stdout).not.toMatch(/^ +ok /m)
})

test('branches that the configured user may not end are an error', async () => {
  const admin = new pg.Client(flights.url())
  await admin.connect()
  await admin.query('create role settler login; create role booker login')
  const booker = new pg.Client(flights.url().replace('postgres@', 'booker@'))
  await booker.connect()
  const gid = 'cdt_test_01890a5d-ac96-774b-bcce-b302099a8057_0'
  await booker.query(`begin; prepare transaction '${gid}'`)
  await booker.end()
  onTestFinished(async () => {
    await admin.query(`rollback prepared '${gid}'`)
    await admin.end()
  })
  const url = flights.url().replace('postgres@', 'settler@')
  const fleet = await Fleet.start({ size: 1, config: { resources: [{ name: 'flights', kind: 'postgres', url }] } })
  const { code, found } = await examine(fleet)
  expect(code).toBe(1)
  expect(worse(found)).toEqual(expect.arrayContaining(['error foreignOwners (database flights)']))
  await expect
    .poll(async () => (await fleet.operator('in-doubt')).stdout, { timeout: 10_000 })
    .toMatch(/^flights .*the user may not do this/m)
})

test('over mutual TLS the doctor comes with its own certificate', async () => {
  const fixture = (name: string): string => join(root, 'src/transport/fixtures', name)
  const tls = { key: fixture('node-key.pem'), cert: fixture('node.pem'), ca: fixture('authority.pem') }
  const fleet = await Fleet.prepare({ config: { tls, resources: resources().slice(0, 1) } })
  fleet.startAll()
  await expect
    .poll(async () => worse((await examine(fleet)).found).filter((each) => each.startsWith('error')), {
      timeout: 20_000,
    })
    .toEqual([])
  const { found } = await examine(fleet)
  expect(found.findings.filter(({ what }) => what === 'certificate' || what === 'certificateEnds')).toHaveLength(2)
  expect(found.findings.filter(({ what }) => what === 'answers')).toHaveLength(3)
})

test('with nothing running it says what it found on this machine and in the databases', async () => {
  const fleet = await Fleet.prepare({ size: 1, config: { resources: resources().slice(0, 1) } })
  const { code, found } = await examine(fleet)
  expect(code).toBe(1)
  expect(worse(found)).toEqual([
    'warning dataMissing (data directory)',
    `error noAnswer (coordinator at ${fleet.addressOf(1)})`,
    'error noQuorum (fleet)',
  ])
})

test('a configuration with a mistake ends with 2', async () => {
  const wrong = await concordat(['doctor', '--config', '/nowhere/concordat.yaml'])
  expect(wrong).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/CONFIG_INVALID/) })
  expect((await concordat(['doctor'])).code).toBe(2)
})
