import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { expect, onTestFailed, onTestFinished, test } from 'vitest'
import { Prng } from '../../src/base/index.ts'
import { LocalServers } from '../../src/localdb/index.ts'
import { Fleet, freePorts } from '../support/fleet.support.ts'
import { pause, until } from '../support/waiting.support.ts'

const RUN_MS = 4_000
/** On a slow machine it goes on until enough has happened to prove something. */
const RUN_MS_MAX = 40_000
const MOVED_MIN = 20
const KILLS_MIN = 4
const ACCOUNTS = 16

/** A process that is killed and started again; resolves when it is at work. */
class Victim {
  readonly #program: string
  readonly #orders: object
  #child: ChildProcess | undefined

  constructor(program: string, orders: object) {
    this.#program = fileURLToPath(new URL(program, import.meta.url))
    this.#orders = orders
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [this.#program, JSON.stringify(this.#orders)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child = child
    onTestFinished(() => void child.kill('SIGKILL'))
    let isReady = false
    child.stdout.on('data', () => {
      isReady = true
    })
    await until('the process is ready', () => isReady)
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
}

test('P1, P7: callers and called services are killed at random, and no money is made or lost, nor anything left open', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  onTestFailed(() => console.error(`seed ${seed}`))
  const prng = new Prng(seed)
  const servers = new LocalServers()
  onTestFinished(() => servers.close())
  const [near, far] = await Promise.all([servers.startPostgres(), servers.startPostgres()])
  const pools = [near, far].map((server) => new pg.Pool({ connectionString: server.url(), max: 2 }))
  for (const pool of pools) {
    pool.on('error', () => {})
    onTestFinished(() => pool.end())
    await pool.query('create table accounts (id int primary key, balance int not null)')
    await pool.query('insert into accounts select id, 1000000 from generate_series(0, $1) id', [ACCOUNTS - 1])
  }
  const resources = [
    { name: 'near', kind: 'postgres' as const, url: near.url() },
    { name: 'far', kind: 'postgres' as const, url: far.url() },
  ]
  const fleet = await Fleet.start({ config: { resources } })
  const [port = 0] = await freePorts(1)
  const { addresses: coordinators, cluster } = fleet
  const service = new Victim('./transfer-service.mjs', { coordinators, cluster, url: far.url(), port })
  const caller = new Victim('./transfer-caller.mjs', {
    coordinators,
    url: near.url(),
    service: `http://127.0.0.1:${port}/`,
    accounts: ACCOUNTS,
  })
  const victims = [service, caller]
  await Promise.all(victims.map((victim) => victim.start()))

  const numberOf = async (pool: pg.Pool | undefined, sql: string): Promise<number> =>
    Number((await pool!.query<{ n: string }>(sql)).rows[0]?.n)
  const totals = (): Promise<number[]> =>
    Promise.all(pools.map((pool) => numberOf(pool, 'select sum(balance) as n from accounts')))
  const whole = ACCOUNTS * 1_000_000

  const begunMs = performance.now()
  let kills = 0
  const goesOn = async (): Promise<boolean> => {
    const ranMs = performance.now() - begunMs
    if (ranMs < RUN_MS) return true
    return ranMs < RUN_MS_MAX && (kills < KILLS_MIN || whole - (await totals())[0]! < MOVED_MIN)
  }
  while (await goesOn()) {
    await pause(200 + prng.below(600))
    const victim = victims[prng.below(2)]!
    await victim.kill()
    kills += 1
    await victim.start()
  }
  await Promise.all(victims.map((victim) => victim.kill()))

  // Whatever the dead left is settled by the coordinators alone.
  await until('nothing is prepared, and nothing waits', async () => {
    const sql = 'select count(*) as n from pg_prepared_xacts'
    const prepared = await Promise.all(pools.map((pool) => numberOf(pool, sql)))
    return prepared.every((count) => count === 0) && (await fleet.leader()).transactions.decided === 0
  })
  const [kept = 0, got = 0] = await totals()
  const moved = whole - kept
  console.info(`moved ${moved} with ${kills} kills`)
  expect(got - whole).toBe(moved)
  expect(moved).toBeGreaterThanOrEqual(MOVED_MIN)
  expect(kills).toBeGreaterThanOrEqual(KILLS_MIN)
  expect((await fleet.leader()).transactions.heuristics).toBe(0)
}, 180_000)
