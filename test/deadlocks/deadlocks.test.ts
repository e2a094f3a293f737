import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Concordat, type Transaction } from '../../src/client/index.ts'
import { LocalServers } from '../../src/localdb/index.ts'
import { postgres, type Resource } from '../../src/resources/index.ts'
import { KvProcess } from '../participants/key-value.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { until } from '../support/waiting.support.ts'

// Coordinators, a key-value participant and databases as users run them; nothing but the coordinators ends a wait within a minute.

const servers = new LocalServers()
let urls: readonly string[]
const NAMES = ['north', 'south'] as const

beforeAll(async () => {
  urls = await Promise.all(
    NAMES.map(async () => {
      const server = await servers.startPostgres()
      const admin = new pg.Client(server.url())
      await admin.connect()
      await admin.query('CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)')
      await admin.end()
      return server.url()
    }),
  )
})
afterAll(() => servers.close())

/** One application: its client, its pools. */
class Application {
  readonly concordat: Concordat
  readonly #databases: readonly Resource<pg.PoolClient>[]

  constructor(fleet: Fleet) {
    const coordinators = fleet.addresses
    this.concordat = new Concordat({ coordinators, timeoutMs: 60_000, closeTimeoutMs: 1_000 })
    const pools = urls.map((connectionString) => new pg.Pool({ connectionString, max: 4 }))
    for (const pool of pools) pool.on('error', () => {})
    this.#databases = pools.map((pool, index) => postgres(pool, { name: NAMES[index]! }))
    onTestFinished(async () => {
      await this.concordat.close()
      await Promise.allSettled(pools.map((pool) => pool.end()))
    })
  }

  async take(tx: Transaction, database: 0 | 1, id: number): Promise<void> {
    const session = await tx.enlist(this.#databases[database]!)
    await session.query('UPDATE t SET n = n + 1 WHERE id = $1', [id])
  }

  run(work: (tx: Transaction) => Promise<void>): Promise<unknown> {
    return this.concordat.transaction(work).then(
      () => 'committed',
      (error: unknown) => error,
    )
  }
}

/** A fleet that may ask both databases. */
function startFleet(): Promise<Fleet> {
  const resources = NAMES.map((name, index) => ({ name, kind: 'postgres' as const, url: urls[index]! }))
  return Fleet.start({ config: { resources, participants: ['accounts'] } })
}

/** Resolves for everybody when so many have called it. */
function meet(count: number): () => Promise<void> {
  let open = (): void => {}
  const all = new Promise<void>((resolve) => {
    open = resolve
  })
  let here = 0
  return () => {
    here += 1
    if (here === count) open()
    return all
  }
}

/** The two outcomes: one is committed, the other one died in the deadlock. */
async function oneDied(outcomes: readonly Promise<unknown>[]): Promise<void> {
  const all = await Promise.all(outcomes)
  expect(all.filter((outcome) => outcome === 'committed')).toHaveLength(1)
  const died = all.find((outcome) => outcome !== 'committed')
  expect(died).toMatchObject({ code: 'TXN_ABORTED', reason: 'deadlock', retryable: true })
}

test('two applications that wait for each other in PostgreSQL and in a key-value participant: one dies', async () => {
  const fleet = await startFleet()
  const accounts = await KvProcess.start(fleet, 'accounts', { limits: { lockTimeoutMs: 60_000 } })
  const store = accounts.store()
  const [one, other] = [new Application(fleet), new Application(fleet)]
  const meeting = meet(2)
  await oneDied([
    one.run(async (tx) => {
      await one.take(tx, 0, 1)
      await meeting()
      await (await tx.enlist(store)).add('ada', 1)
    }),
    other.run(async (tx) => {
      await (await tx.enlist(store)).add('ada', 1)
      await meeting()
      await other.take(tx, 0, 1)
    }),
  ])
  // An application says that nobody waits any more with its next report.
  const { deadlocks } = await until('nobody waits any more', async () => {
    const status = await fleet.leader()
    return status.deadlocks?.waiting === 0 && status
  })
  expect(deadlocks?.found).toBe(1)
  expect(await store.get('ada')).toBe(1)
})

test('a leader that dies with a deadlock before its eyes: the next one finds it', async () => {
  const fleet = await startFleet()
  const leader = await fleet.leader()
  const [one, other] = [new Application(fleet), new Application(fleet)]
  const meeting = meet(2)
  const outcomes = [
    one.run(async (tx) => {
      await one.take(tx, 0, 2)
      await meeting()
      await one.take(tx, 1, 2)
    }),
    other.run(async (tx) => {
      await other.take(tx, 1, 2)
      await meeting()
      // From here on the circle needs one more moment to close, and the leader has not long to live.
      fleet.signal(leader.node, 'SIGSTOP')
      await other.take(tx, 0, 2)
    }),
  ]
  const admin = new pg.Client(urls[0])
  await admin.connect()
  onTestFinished(() => admin.end())
  await until('both wait', async () => {
    const { rows } = await admin.query('SELECT 1 FROM pg_locks WHERE NOT granted')
    return rows.length > 0
  })
  await fleet.kill(leader.node)
  await oneDied(outcomes)
  const next = await fleet.leader()
  expect(next.node).not.toBe(leader.node)
  expect(next.deadlocks?.found).toBe(1)
})
