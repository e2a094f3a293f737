import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { Prng, parseGid } from '../../src/base/index.ts'
import { service } from '../../src/client/index.ts'
import { type LocalServer, LocalServers } from '../../src/localdb/index.ts'
import { Fleet } from '../support/fleet.support.ts'
import { pause, until } from '../support/waiting.support.ts'
import { application, Instance, run } from './booking.support.ts'
import type { PurseOrders } from './purse-service.ts'

const PROGRAM = fileURLToPath(new URL('./purse-service.ts', import.meta.url))
const MOMENTS = ['inPrepare', 'inCommit'] as const
const MONEY = 1_000_000
const RUN_MS = 4_000
const RUN_MS_MAX = 20_000

/** One of two services that keep purse and journal in a database of their own. */
class Purse {
  readonly name: string
  readonly pool: pg.Pool
  readonly #orders: PurseOrders

  constructor(fleet: Fleet, server: LocalServer, sign: 1 | -1) {
    this.name = sign < 0 ? 'giver' : 'taker'
    const database = server.url(this.name)
    this.#orders = { name: this.name, coordinators: fleet.addresses, clusterId: fleet.cluster, database, sign }
    this.pool = new pg.Pool({ connectionString: database, max: 2 })
    this.pool.on('error', () => {})
    onTestFinished(() => this.pool.end())
  }

  async make(): Promise<void> {
    await this.pool.query('CREATE TABLE purse (money bigint NOT NULL)')
    await this.pool.query('CREATE TABLE entries (gid text PRIMARY KEY, amount int NOT NULL, state text NOT NULL)')
    await this.pool.query('INSERT INTO purse VALUES ($1)', [MONEY])
  }

  async start(die?: PurseOrders['die']): Promise<Instance> {
    const { child, line } = run(PROGRAM, { ...this.#orders, die })
    return new Instance(this.name, child, `http://127.0.0.1:${await line}`)
  }

  async money(): Promise<number> {
    return Number((await this.pool.query('SELECT money FROM purse')).rows[0]?.money)
  }

  /** Branches whose journal and work do not agree, or that are in doubt. What never voted waits until its time is over. */
  async odd(): Promise<readonly unknown[]> {
    const { rows } = await this.pool.query(
      `SELECT gid, j.state AS noted, e.state AS done FROM concordat_journal j FULL JOIN entries e USING (gid)
       WHERE j.state IS NULL OR NOT (j.state = 'committed' AND e.state = 'booked' OR j.state = 'aborted' AND e.state IS NULL
          OR j.state IN ('joined', 'refused') AND e.state = 'aside')`,
    )
    return rows
  }

  async booked(): Promise<readonly string[]> {
    const { rows } = await this.pool.query("SELECT gid FROM entries WHERE state = 'booked'")
    return rows.map(({ gid }) => String(parseGid(gid)?.txid)).sort()
  }
}

async function stage() {
  const servers = new LocalServers()
  onTestFinished(() => servers.close())
  const [fleet, server] = await Promise.all([
    Fleet.start({ config: { participants: ['giver', 'taker'] } }),
    servers.startPostgres(),
  ])
  const admin = new pg.Client({ connectionString: server.url() })
  await admin.connect()
  for (const name of ['giver', 'taker']) await admin.query(`CREATE DATABASE ${name}`)
  await admin.end()
  const purses = [new Purse(fleet, server, -1), new Purse(fleet, server, 1)] as const
  for (const purse of purses) await purse.make()
  return { fleet, server, purses, concordat: application(fleet) }
}

test('P1, P4: services are killed amid prepare and commit, their database too, and at the end no money is lost or made', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const prng = new Prng(seed)
  const { server, purses, concordat } = await stage()
  const instances = await Promise.all(purses.map((purse) => Promise.all([purse.start(), purse.start()])))
  const counts = { committed: 0, failed: 0, kills: 0 }
  const told = new Map<string, 'committed' | 'aborted' | 'unknown'>()
  const begunMs = performance.now()
  const goesOn = (): boolean => {
    const ranMs = performance.now() - begunMs
    return ranMs < RUN_MS || (ranMs < RUN_MS_MAX && (counts.committed < 5 || counts.kills < 2))
  }
  const transfer = async (): Promise<void> => {
    let txid = ''
    try {
      await concordat.transaction({ timeoutMs: 2_000 }, async (tx) => {
        txid = tx.txid
        const body = JSON.stringify({ amount: 1 + prng.below(9) })
        for (const pair of instances) {
          const { name, url } = pair[prng.below(2)] as Instance
          const branch = await tx.enlist(service(name))
          const answer = await fetch(url, { method: 'POST', headers: branch.headers(), body })
          if (!answer.ok) throw new Error(await answer.text())
        }
      })
      told.set(txid, 'committed')
      counts.committed += 1
    } catch (error) {
      told.set(txid, (error as { code?: string }).code === 'TXN_OUTCOME_UNKNOWN' ? 'unknown' : 'aborted')
      counts.failed += 1
    }
  }
  const worker = async (): Promise<void> => {
    while (goesOn()) await transfer()
  }
  const killer = async (): Promise<void> => {
    for (let round = 1; goesOn(); round++) {
      await pause(100 + prng.below(400))
      counts.kills += 1
      if (round % 4 === 0) {
        await server.kill()
        await server.restart()
        continue
      }
      const which = prng.below(2)
      const pair = instances[which]!
      const place = prng.below(2)
      await pair[place]!.kill()
      // Every second one kills itself at the worst moment of its first branch.
      pair[place] = await purses[which]!.start(round % 2 === 0 ? undefined : MOMENTS[prng.below(2)])
    }
  }
  await Promise.all([killer(), ...Array.from({ length: 4 }, worker)])

  const context = `seed ${seed}, ${JSON.stringify(counts)}`
  await until(
    'no branch is in doubt, and journal and work agree',
    async () => (await Promise.all(purses.map((purse) => purse.odd()))).flat().length === 0,
    40_000,
  ).catch(async (error: Error) => {
    expect(await Promise.all(purses.map((purse) => purse.odd())), `${context}: ${error.message}`).toEqual([[], []])
  })
  const [given, taken] = await Promise.all(purses.map((purse) => purse.booked()))
  expect(given, context).toEqual(taken)
  const money = await Promise.all(purses.map((purse) => purse.money()))
  expect(money[0]! + money[1]!, context).toBe(2 * MONEY)
  for (const [txid, outcome] of told) {
    if (outcome !== 'unknown')
      expect(given?.includes(txid), `${txid} was ${outcome}; ${context}`).toBe(outcome === 'committed')
  }
  expect(counts.committed, context).toBeGreaterThanOrEqual(5)
  console.info(context)
}, 180_000)
