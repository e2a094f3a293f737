import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import postgresJs from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseBranchId, parseClusterId, parseTxid } from '../base/index.ts'
import { findMariadb, LocalServers } from '../localdb/index.ts'
import { mysql, mysqlFromUrl, postgres, postgresFromUrl, type Resource } from '../resources/index.ts'
import { Concordat, type Transaction, TransactionAbortedError } from './index.ts'

// Two PostgreSQL servers and a MariaDB, each with a table of rows; nothing but the detector ends a wait within a minute.

const hasMariadb = findMariadb() !== undefined
const servers = new LocalServers()
const closing: (() => Promise<unknown>)[] = []
const directory = mkdtempSync(join(tmpdir(), 'cdt-deadlocks-'))
let concordat: Concordat
let northUrl = ''
const verdicts: unknown[] = []
let north: Place
let south: Place
let east: Place

/** A database, and how to change a row in it. */
interface Place {
  readonly resource: Resource<unknown>
  take(tx: Transaction, id: number): Promise<unknown>
}

const TXID = '01890a5d-ac96-774b-bcce-b302099a8057'
const SQL = (id: number): string => `UPDATE t SET n = n + 1 WHERE id = ${id}`
const ROWS = Array.from({ length: 40 }, (_, id) => `(${id}, 0)`).join(', ')

beforeAll(async () => {
  const [one, two, three] = await Promise.all([
    servers.startPostgres(),
    servers.startPostgres(),
    hasMariadb ? servers.startMariadb({ settings: { innodb_lock_wait_timeout: '60' } }) : undefined,
  ])
  northUrl = one.url()
  const pool = new pg.Pool({ connectionString: one.url(), max: 20 })
  pool.on('error', () => {})
  const sql = postgresJs(two.url(), { max: 20, onnotice: () => {} })
  closing.push(
    () => pool.end(),
    () => sql.end({ timeout: 1 }),
  )
  await pool.query(`CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES ${ROWS}`)
  await sql.unsafe(`CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES ${ROWS}`)
  const [a, b] = [postgres(pool, { name: 'north' }), postgres(sql, { name: 'south' })]
  north = { resource: a, take: async (tx, id) => (await tx.enlist(a)).query(SQL(id)) }
  south = { resource: b, take: async (tx, id) => (await tx.enlist(b)).unsafe(SQL(id)) }
  // As coordinators have them: with sessions of their own.
  const resources = [
    await postgresFromUrl(one.url(), { name: 'north' }),
    await postgresFromUrl(two.url(), { name: 'south' }),
  ]
  if (three !== undefined) {
    const maria = mysql2.createPool({ uri: three.url(), connectionLimit: 20 })
    closing.push(() => maria.end())
    await maria.query('CREATE TABLE t (id int PRIMARY KEY, n int) ENGINE=InnoDB')
    await maria.query(`INSERT INTO t VALUES ${ROWS}`)
    const c = mysql(maria, { name: 'east' })
    east = { resource: c, take: async (tx, id) => (await tx.enlist(c)).query(SQL(id)) }
    resources.push(await mysqlFromUrl(three.url(), { name: 'east' }))
  }
  closing.push(
    ...resources.map(
      ({ inDoubt }) =>
        () =>
          inDoubt.close(),
    ),
  )
  concordat = await Concordat.embedded({ dataDir: directory, resources, timeoutMs: 60_000, logger })
})
afterAll(async () => {
  await concordat?.close()
  await Promise.allSettled(closing.map((close) => close()))
  await servers.close()
  rmSync(directory, { recursive: true, force: true })
})

const logger = {
  debug() {},
  info: (fields: object) => verdicts.push(fields),
  warn: (fields: object, message: string) => console.warn(message, fields),
  error: (fields: object, message: string) => console.error(message, fields),
}

/** A row in a place. */
type Row = readonly [Place, number]

/** Somebody who takes rows, one after the other; before each but the first he waits for the others. */
interface Story {
  readonly outcome: Promise<unknown>
  readonly txid: Promise<string>
}

/** Everybody in a ring: the first takes one row, and when all have theirs, each takes what the next one has. */
function ring(rows: readonly Row[]): readonly Story[] {
  const meeting = meet(rows.length)
  return rows.map(([place, id], index) => {
    const [nextPlace, nextId] = rows[(index + 1) % rows.length]!
    let tell: (txid: string) => void = () => {}
    const txid = new Promise<string>((resolve) => {
      tell = resolve
    })
    const outcome = concordat
      .transaction(async (tx) => {
        tell(tx.txid)
        await place.take(tx, id)
        await meeting()
        await nextPlace.take(tx, nextId)
      })
      .then(...ending)
    return { outcome, txid }
  })
}

const ending = [() => 'committed', (error: unknown) => error] as const

function outcomeOf(work: (tx: Transaction) => Promise<unknown>): Promise<unknown> {
  return concordat.transaction(work).then(...ending)
}

/** Each of so many waits for the others. */
function meet(count: number): () => Promise<void> {
  let allHere = (): void => {}
  const all = new Promise<void>((resolve) => {
    allHere = resolve
  })
  let here = 0
  return () => {
    here += 1
    if (here === count) allHere()
    return all
  }
}

/** The ring breaks at its youngest, and only there. */
async function breaksAtTheYoungest(rows: readonly Row[]): Promise<void> {
  const stories = ring(rows)
  const txids = await Promise.all(stories.map(({ txid }) => txid))
  const outcomes = await Promise.all(stories.map(({ outcome }) => outcome))
  const youngest = txids.indexOf([...txids].sort().at(-1)!)
  const error = outcomes[youngest] as TransactionAbortedError
  expect(error).toBeInstanceOf(TransactionAbortedError)
  expect(error).toMatchObject({ code: 'TXN_ABORTED', reason: 'deadlock', retryable: true })
  for (const [index, txid] of txids.entries()) {
    expect(error.message).toContain(`${txid} waits for ${txids[(index + 1) % txids.length]}`)
  }
  expect(outcomes.filter((outcome) => outcome !== 'committed')).toEqual([error])
}

describe('a circle', () => {
  test('over two PostgreSQL servers ends with the younger', () =>
    breaksAtTheYoungest([
      [north, 1],
      [south, 1],
    ]))

  test.skipIf(!hasMariadb)('over PostgreSQL and MariaDB ends with the younger', () =>
    breaksAtTheYoungest([
      [east, 2],
      [north, 2],
    ]),
  )

  test.skipIf(!hasMariadb)('of three over three databases ends with the youngest', () =>
    breaksAtTheYoungest([
      [north, 3],
      [south, 3],
      [east, 3],
    ]),
  )

  // The youngest waits in the database in which another one waits for it: its statement must be ended, not only its transaction.
  test('in which the victim is waited for where it waits itself is broken all the same', () =>
    breaksAtTheYoungest([
      [south, 5],
      [north, 4],
      [south, 4],
    ]))

  test.skipIf(!hasMariadb)('of that kind is broken in MariaDB too', () =>
    breaksAtTheYoungest([
      [east, 5],
      [north, 5],
      [east, 4],
    ]),
  )

  test('that goes through a session of somebody else is found', async () => {
    const outsider = new pg.Client(northUrl)
    await outsider.connect()
    await outsider.query('BEGIN')
    await outsider.query(SQL(7))
    let waits: Promise<unknown> = Promise.resolve()
    const meeting = meet(2)
    const first = outcomeOf(async (tx) => {
      await south.take(tx, 6)
      await meeting()
      await north.take(tx, 7)
    })
    // Of two txids of one millisecond either may be the greater one.
    await new Promise((resolve) => setTimeout(resolve, 5))
    const second = outcomeOf(async (tx) => {
      await north.take(tx, 6)
      waits = outsider.query(SQL(6))
      await meeting()
      await south.take(tx, 6)
    })
    expect(await second).toMatchObject({ reason: 'deadlock' })
    await waits
    await outsider.query('ROLLBACK')
    expect(await first).toBe('committed')
    await outsider.end()
  })
})

test('a transaction whose time is over while it waits leaves no statement behind that goes on waiting', async () => {
  let release = (): void => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const holder = outcomeOf(async (tx) => {
    await north.take(tx, 30)
    await released
  })
  const late = concordat
    .transaction({ timeoutMs: 1_000 }, async (tx) => {
      await new Promise((resolve) => setTimeout(resolve, 100))
      await north.take(tx, 30)
    })
    .catch((error: { reason?: unknown }) => error.reason)
  expect(await late).toBe('deadline')
  const admin = new pg.Client(northUrl)
  await admin.connect()
  const { rows } = await admin.query('SELECT pid FROM pg_locks WHERE NOT granted')
  expect(rows).toEqual([])
  await admin.end()
  release()
  expect(await holder).toBe('committed')
})

describe('a long wait without a circle', () => {
  test('is never ended, however many wait in however many places', async () => {
    const found = verdicts.length
    let release = (): void => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const holder = outcomeOf(async (tx) => {
      await Promise.all([north.take(tx, 10), south.take(tx, 10)])
      await released
    })
    const others = Array.from({ length: 6 }, (_, index) =>
      outcomeOf(async (tx) => {
        await (index % 2 === 0 ? north : south).take(tx, 20 + index)
        await (index % 2 === 0 ? south : north).take(tx, 10)
      }),
    )
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    release()
    expect([await holder, ...(await Promise.all(others))]).toEqual(Array(7).fill('committed'))
    expect(verdicts).toHaveLength(found)
  })

  test('for a prepared branch is no deadlock', async () => {
    const identity = { cluster: parseClusterId('foreign'), txid: parseTxid(TXID), branch: parseBranchId(0) }
    const holder = await north.resource.begin(identity)
    await (holder.session as pg.PoolClient).query(SQL(11))
    expect((await holder.prepare()).kind).toBe('commit')
    const meeting = meet(2)
    const waiters = [
      outcomeOf(async (tx) => {
        await south.take(tx, 11)
        await meeting()
        await north.take(tx, 11)
      }),
      outcomeOf(async (tx) => {
        await north.take(tx, 12)
        await meeting()
        await south.take(tx, 11)
      }),
    ]
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    await holder.commit()
    expect(await Promise.all(waiters)).toEqual(['committed', 'committed'])
  })
})
