import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { LocalServers } from '../../src/localdb/index.ts'
import { root } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'
import { fleetOver } from './joining.support.ts'

const EXAMPLES = join(root, 'examples/joining')

function run(file: string, env: Readonly<Record<string, string>>, ...args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [join(EXAMPLES, file), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** A service's URL, once it listens. */
async function started(file: string, env: Readonly<Record<string, string>>): Promise<string> {
  const child = run(file, { ...env, PORT: '0' })
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  await until(`${file} listens`, () => /listens on \d+/.test(output))
  return `http://127.0.0.1:${/\d+/.exec(output)?.[0]}`
}

test('the shop’s money, the order and the stock change together, or not at all', async () => {
  const servers = new LocalServers()
  onTestFinished(() => servers.close())
  const databases = await Promise.all(['money', 'orders', 'stock'].map(() => servers.startPostgres()))
  const [money = '', orders = '', stock = ''] = databases.map((server) => server.url())
  const urls = { money, orders, stock }
  const fleet = await fleetOver(urls)
  const pools = Object.values(urls).map((connectionString) => new pg.Pool({ connectionString, max: 1 }))
  for (const pool of pools) {
    pool.on('error', () => {})
    onTestFinished(() => pool.end())
  }
  const ask = async (place: number, sql: string): Promise<unknown[]> => (await pools[place]!.query(sql)).rows
  await ask(0, 'create table accounts (id text primary key, balance int not null check (balance >= 0))')
  await ask(0, "insert into accounts values ('ada', 100)")
  await ask(1, 'create table orders (who text, item text, count int)')
  await ask(2, 'create table items (id text primary key, free int not null)')
  await ask(2, "insert into items values ('lamp', 5)")

  const env = { COORDINATORS: fleet.addresses.join(','), CLUSTER: fleet.cluster }
  const STOCK = await started('stock.mjs', { ...env, DATABASE: stock })
  const ORDERS = await started('orders.mjs', { ...env, DATABASE: orders, STOCK })
  const shop = async (count: number): Promise<string> => {
    const child = run('shop.mjs', { ...env, DATABASE: money, ORDERS }, 'ada', 'lamp', String(count))
    let output = ''
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
    await once(child, 'close')
    return output
  }
  const places = (): Promise<unknown[]> =>
    Promise.all([
      ask(0, 'select balance from accounts'),
      ask(1, 'select who, item, count from orders'),
      ask(2, 'select free from items'),
    ])

  expect(await shop(2)).toBe('bought\n')
  const bought = [[{ balance: 80 }], [{ who: 'ada', item: 'lamp', count: 2 }], [{ free: 3 }]]
  await until('everything is there', async () => JSON.stringify(await places()) === JSON.stringify(bought))
  // The last of the three refuses; then the first.
  expect(await shop(4)).toBe('not bought: there is not enough of lamp\n')
  expect(await shop(9)).toMatch(/^not bought: .*accounts_balance_check/)
  expect(await places()).toEqual(bought)
  expect(await (await fetch(STOCK, { method: 'POST', body: '{}' })).text()).toContain('only taken inside')
})
