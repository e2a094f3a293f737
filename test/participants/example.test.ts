import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { LocalServers } from '../../src/localdb/index.ts'
import { Fleet } from '../support/fleet.support.ts'
import { root } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

const EXAMPLES = join(root, 'examples/services')

test.each(['payments.mjs', 'payments-postgres.mjs', 'booking.mjs'])('docs/services.md shows %s as it is', (file) => {
  const page = readFileSync(join(root, 'docs/services.md'), 'utf8')
  expect(page).toContain(readFileSync(join(EXAMPLES, file), 'utf8'))
})

function run(file: string, env: Readonly<Record<string, string>>, ...args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [join(EXAMPLES, file), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** What it said when it ended, or when `enough` was said. */
async function outputOf(child: ChildProcess, enough = /(?!)/): Promise<string> {
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  let isClosed = false
  child.on('close', () => {
    isClosed = true
  })
  await until('the example has said it', () => isClosed || enough.test(output))
  if (isClosed) expect(child.exitCode, output).toBe(0)
  return output
}

test('the example books a seat and a payment together, or neither, also when an instance is killed', async () => {
  const servers = new LocalServers()
  onTestFinished(() => servers.close())
  const [fleet, database] = await Promise.all([Fleet.start(), servers.startPostgres()])
  const DATABASE = database.url()
  const COORDINATORS = fleet.addresses.join(',')
  const pool = new pg.Pool({ connectionString: DATABASE })
  onTestFinished(() => pool.end())

  const startService = async (number: number): Promise<{ child: ChildProcess; url: string }> => {
    const JOURNAL = join(fleet.directory, `journal-${number}`)
    const child = run('payments.mjs', { COORDINATORS, CLUSTER: fleet.cluster, DATABASE, JOURNAL, PORT: '0' })
    const output = await outputOf(child, /listens on \d+/)
    return { child, url: `http://127.0.0.1:${/\d+/.exec(output)?.[0]}` }
  }
  const book = async (url: string, who: string, amount: number): Promise<string> =>
    outputOf(run('booking.mjs', { COORDINATORS, DATABASE, PAYMENTS: url }, who, String(amount)))
  const balance = async (): Promise<number> =>
    (await pool.query("select balance from accounts where id = 'ada'")).rows[0]?.balance as number
  const states = async (): Promise<string[]> =>
    (await pool.query('select state from payments')).rows.map(({ state }) => state as string)
  const seats = async (): Promise<number> => (await pool.query('select from seats')).rowCount ?? 0

  const one = await startService(1)
  const two = await startService(2)
  await pool.query("insert into accounts values ('ada', 100)")

  expect(await book(one.url, 'ada', 40)).toBe('booked\n')
  await until('it is booked', async () => (await states()).join() === 'booked')
  expect([await balance(), await seats()]).toEqual([60, 1])

  // The seat is taken, so the database refuses, and the payment that was set aside is dropped.
  expect(await book(two.url, 'ada', 10)).toMatch(/^not booked/)
  await pool.query("delete from seats where who = 'ada'")
  expect(await book(two.url, 'ada', 1_000)).toMatch(/^not booked: .*not enough money/)
  await until('nothing is set aside', async () => !(await states()).includes('aside'))
  expect([await balance(), await seats()]).toEqual([60, 0])

  one.child.kill('SIGKILL')
  await once(one.child, 'exit')
  expect(await book(two.url, 'ada', 5)).toBe('booked\n')
  await until('it is booked', async () => (await states()).join() === 'booked,booked')
  expect([await balance(), await seats()]).toEqual([55, 1])

  two.child.kill('SIGTERM')
  await once(two.child, 'exit')
  expect(two.child.exitCode).toBe(0)
})

test('the same service with its journal in PostgreSQL: instances without a directory, killed and replaced', async () => {
  const servers = new LocalServers()
  onTestFinished(() => servers.close())
  const [fleet, database] = await Promise.all([Fleet.start(), servers.startPostgres()])
  const DATABASE = database.url()
  const COORDINATORS = fleet.addresses.join(',')
  const pool = new pg.Pool({ connectionString: DATABASE })
  onTestFinished(() => pool.end())
  const start = async (): Promise<{ child: ChildProcess; url: string }> => {
    const child = run('payments-postgres.mjs', { COORDINATORS, CLUSTER: fleet.cluster, DATABASE, PORT: '0' })
    return { child, url: `http://127.0.0.1:${/\d+/.exec(await outputOf(child, /listens on \d+/))?.[0]}` }
  }
  const book = (url: string, who: string, amount: number): Promise<string> =>
    outputOf(run('booking.mjs', { COORDINATORS, DATABASE, PAYMENTS: url }, who, String(amount)))
  const balance = async (): Promise<number> =>
    (await pool.query("select balance from accounts where id = 'ada'")).rows[0]?.balance as number
  const journal = async (): Promise<string> =>
    (await pool.query('select state from concordat_journal order by changed_ms')).rows.map(({ state }) => state).join()

  const one = await start()
  await pool.query("insert into accounts values ('ada', 100)")
  expect(await book(one.url, 'ada', 40)).toBe('booked\n')
  await until('it is booked', async () => (await journal()) === 'committed')
  await pool.query('delete from seats')
  expect(await book(one.url, 'ada', 1_000)).toMatch(/^not booked/)
  await until('it is dropped', async () => (await journal()) === 'committed,aborted')
  one.child.kill('SIGKILL')
  const two = await start()
  expect(await book(two.url, 'ada', 5)).toBe('booked\n')
  await until('it is booked', async () => (await journal()) === 'committed,aborted,committed')
  expect(await balance()).toBe(55)
  expect((await pool.query('select state from payments')).rows).toEqual([{ state: 'booked' }, { state: 'booked' }])
  two.child.kill('SIGTERM')
  await once(two.child, 'exit')
  expect(two.child.exitCode).toBe(0)
})
