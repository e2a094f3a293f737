import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type NodeId, parseClusterId, systemClock } from '../base/index.ts'
import { Coordinator, type CoordinatorPort, coordinatorPort, Resolver } from '../coordinator/index.ts'
import { Replica } from '../replica/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { Concordat } from './index.ts'
import { silentLogger } from './logger.ts'
import { book, noMariadb, Trips } from './trips.support.ts'

// A live client against an impatient resolver, over real databases: the resolver may win, but never by halves.

const GRACE_MS = 100
const clusterId = parseClusterId('slow')

let trips: Trips
let coordinator: Coordinator
let resolver: Resolver
let port: CoordinatorPort

beforeAll(async () => {
  trips = await Trips.start()
  await makeSlowTable()
  const nodeId = 1 as NodeId
  const log = await Replica.open({
    nodeId,
    clusterId,
    members: [{ nodeId, host: '127.0.0.1', port: 7001 }],
    directory: '/log',
    disk: new MemoryDisk(),
    clock: systemClock,
    seed: 1,
    logger: silentLogger,
    onFatal: (error) => {
      throw error
    },
  })
  const parts = { clusterId, clock: systemClock, seed: 1 }
  coordinator = new Coordinator({ ...parts, log })
  const databases = [trips.flights, trips.payments, ...(trips.hotels === undefined ? [] : [trips.hotels])]
  const resources = databases.map(({ name, inDoubt }) => ({ name, port: inDoubt }))
  resolver = new Resolver({ ...parts, coordinator, resources, options: { scanMs: 50, graceMs: GRACE_MS } })
  await coordinator.start()
  resolver.start()
  port = coordinatorPort(coordinator, systemClock)
}, 60_000)
afterAll(async () => {
  await resolver?.close()
  await coordinator?.close()
  await trips?.close()
})

/** A row in `slow` makes its PREPARE last: deferred triggers run then. */
async function makeSlowTable(): Promise<void> {
  const admin = new pg.Client(trips.server.url('payments'))
  await admin.connect()
  await admin.query(`
    CREATE TABLE slow (who text);
    CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.8); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER nap AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nap()`)
  await admin.end()
}

/** Answers the commit request only after `delayMs`, as a coordinator does whose answer is late. */
function late(delayMs: number): CoordinatorPort {
  const commit: CoordinatorPort['commit'] = async (request) => {
    const reply = await port.commit(request)
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    return reply
  }
  return { ...port, commit, close: async () => {} }
}

describe.each([{ withHotels: false }, { withHotels: true }])('with MariaDB: $withHotels', ({ withHotels }) => {
  test.skipIf(withHotels && noMariadb)(
    'P1: a branch whose PREPARE outlasts the grace time costs the transaction, and nothing of it is left anywhere',
    async () => {
      const concordat = Concordat.over({ ...port, close: async () => {} })
      const who = `slow-${withHotels}`
      const work = concordat.transaction(async (tx) => {
        await book(await tx.enlist(trips.flights), who)
        await (await tx.enlist(trips.payments)).query('INSERT INTO slow VALUES ($1)', [who])
        if (withHotels) await (await tx.enlist(trips.hotels!)).query('INSERT INTO bookings VALUES (?)', [who])
      })
      await expect(work).rejects.toMatchObject({ reason: 'presumed', retryable: true })
      expect(await trips.bookings(who)).toEqual([0, 0])
      if (withHotels) expect(await trips.nights(who)).toBe(0)
      await expect.poll(() => trips.prepared()).toBe(0)
      expect(coordinator.status().heuristicCount).toBe(0)
      await concordat.close()
    },
  )

  test.skipIf(withHotels && noMariadb)(
    'P1: a resolver that finishes the branches before their client does is proven right by evidence',
    async () => {
      const concordat = Concordat.over(late(8 * GRACE_MS))
      const who = `late-${withHotels}`
      const txid = await concordat.transaction(async (tx) => {
        await book(await tx.enlist(trips.flights), who)
        await book(await tx.enlist(trips.payments), who)
        if (withHotels) await (await tx.enlist(trips.hotels!)).query('INSERT INTO bookings VALUES (?)', [who])
        return tx.txid
      })
      await concordat.close()
      expect(await trips.bookings(who)).toEqual([1, 1])
      if (withHotels) expect(await trips.nights(who)).toBe(1)
      expect(await trips.prepared()).toBe(0)
      await expect.poll(() => coordinator.transaction(txid)?.state).toBe('completed')
      expect(coordinator.status().heuristicCount).toBe(0)
    },
  )
})
