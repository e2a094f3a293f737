import mysql2 from 'mysql2/promise'
import pg from 'pg'
import postgresJs from 'postgres'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { findMariadb, type LocalServer, LocalServers } from '../localdb/index.ts'
import { mysql, mysqlFromUrl, postgres, postgresFromUrl } from './index.ts'
import { sessionNumbers } from './lock-waits.ts'
import { mysqlLockWaits } from './mysql/lock-waits.ts'
import { newIdentity } from './resource.contract.ts'
import type { Branch, Resource } from './resource.ts'

const servers = new LocalServers()
const closing: (() => Promise<unknown>)[] = []
let server: LocalServer
let mariadb: LocalServer | undefined

beforeAll(async () => {
  const hasMariadb = findMariadb() !== undefined
  ;[server, mariadb] = await Promise.all([
    servers.startPostgres(),
    hasMariadb ? servers.startMariadb({ settings: { innodb_lock_wait_timeout: '60' } }) : undefined,
  ])
  const admin = new pg.Client(server.url())
  await admin.connect()
  await admin.query(
    'CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 9) i',
  )
  await admin.query("CREATE ROLE stranger LOGIN PASSWORD 'x'")
  await admin.end()
  if (mariadb === undefined) return
  const maria = await mysql2.createConnection({ uri: mariadb.url(), multipleStatements: true })
  await maria.query(
    'CREATE TABLE t (id int PRIMARY KEY, n int) ENGINE=InnoDB; INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)',
  )
  await maria.end()
})
afterAll(async () => {
  await Promise.allSettled(closing.map((close) => close()))
  await servers.close()
})

/** An application's resource, a coordinator's, and how the application takes a row. */
interface World {
  readonly application: Resource<unknown>
  readonly coordinator: Resource<unknown>
  readonly take: (session: unknown, id: number) => Promise<unknown>
  /** The code of the error that a statement gets which somebody ended. */
  readonly cancelled: unknown
}

/** MariaDB looks anew only when nobody has looked for a tenth of a second. */
const PATIENCE = { timeout: 10_000, interval: 150 }

const SQL = (id: number): string => `UPDATE t SET n = n + 1 WHERE id = ${id}`

const worlds: Readonly<Record<string, () => Promise<World>>> = {
  pg: async () => {
    const pool = new pg.Pool({ connectionString: server.url() })
    closing.push(() => pool.end())
    const take: World['take'] = (session, id) => (session as pg.PoolClient).query(SQL(id))
    return { application: postgres(pool, { name: 'app' }), ...(await byUrl()), take, cancelled: '57014' }
  },
  'postgres.js': async () => {
    const sql = postgresJs(server.url(), { onnotice: () => {} })
    closing.push(() => sql.end({ timeout: 1 }))
    const take: World['take'] = async (session, id) => (session as postgresJs.ReservedSql).unsafe(SQL(id))
    return { application: postgres(sql, { name: 'app' }), ...(await byUrl()), take, cancelled: '57014' }
  },
  mysql2: async () => {
    const pool = mysql2.createPool({ uri: mariadb!.url() })
    const coordinator = await mysqlFromUrl(mariadb!.url(), { name: 'app' })
    closing.push(
      () => pool.end(),
      () => coordinator.inDoubt.close(),
    )
    const take: World['take'] = (session, id) => (session as mysql2.PoolConnection).query(SQL(id))
    return { application: mysql(pool, { name: 'app' }), coordinator, take, cancelled: 'ER_QUERY_INTERRUPTED' }
  },
}

async function byUrl(): Promise<Pick<World, 'coordinator'>> {
  const coordinator = await postgresFromUrl(server.url(), { name: 'app' })
  closing.push(() => coordinator.inDoubt.close())
  return { coordinator }
}

function sessionOf(branch: Branch<unknown>): string {
  expect(branch.sessionId).toMatch(/^\d+$/)
  return branch.sessionId!
}

describe.each(Object.keys(worlds))('with %s', (name) => {
  test.skipIf(name === 'mysql2' && findMariadb() === undefined)(
    'a session that waits is listed with whom it waits for, and its statement can be ended, once',
    async () => {
      const { application, coordinator, take, cancelled } = await worlds[name]!()
      const [holder, waiter] = [await application.begin(newIdentity()), await application.begin(newIdentity())]
      expect([holder.underWay, waiter.underWay]).toEqual([undefined, undefined])
      await take(holder.session, 1)
      await take(waiter.session, 2)
      const [held, waiting] = [sessionOf(holder), sessionOf(waiter)]
      expect(await coordinator.lockWaits!.list([held, waiting])).toEqual([])

      const failure = take(waiter.session, 1).then(
        () => 'it went on',
        (error: { code?: unknown }) => error.code,
      )
      const wait = await vi.waitFor(async () => {
        const [found, ...more] = await coordinator.lockWaits!.list([held, waiting])
        expect(found).toMatchObject({ session: waiting, blockers: [held] })
        expect(more).toEqual([])
        return found!
      }, PATIENCE)
      expect(waiter.underWay).toBe(2)
      expect(holder.underWay).toBeUndefined()
      // Two looks at one wait give it one name.
      await new Promise((resolve) => setTimeout(resolve, 150))
      expect(await coordinator.lockWaits!.list([waiting])).toEqual([wait])

      expect(await coordinator.lockWaits!.cancel({ ...wait, wait: `${wait.wait}0` })).toBe(false)
      expect(await coordinator.lockWaits!.cancel(wait)).toBe(true)
      expect(await failure).toBe(cancelled)
      await new Promise((resolve) => setTimeout(resolve, 150))
      expect(await coordinator.lockWaits!.cancel(wait)).toBe(false)
      // A command to end its statement may still be on its way: nobody else must get that session.
      waiter.closeAtEnd!()
      await waiter.abort()
      const next = await application.begin(newIdentity())
      await take(next.session, 3)
      expect(sessionOf(next)).not.toBe(waiting)
      await next.abort()
      await take(holder.session, 2)
      await holder.abort()
    },
  )
})

test('whoever stands between two sessions is listed too', async () => {
  const { application, coordinator, take } = await worlds.pg!()
  const [front, back] = [await application.begin(newIdentity()), await application.begin(newIdentity())]
  const between = new pg.Client(server.url())
  await between.connect()
  await between.query('BEGIN')
  const { rows } = await between.query('SELECT pg_backend_pid()::text AS pid')
  await take(front.session, 5)
  await between.query(SQL(6))
  const both = [between.query(SQL(5)), take(back.session, 6)]
  await vi.waitFor(async () => {
    const waits = await coordinator.lockWaits!.list([sessionOf(back)])
    expect(waits.map(({ session, blockers }) => [session, ...blockers])).toEqual([
      [back.sessionId, rows[0].pid],
      [rows[0].pid, front.sessionId],
    ])
  }, PATIENCE)
  await front.abort()
  await both[0]
  await between.end()
  await both[1]
  await back.abort()
})

test('who waits for a prepared branch waits for no session', async () => {
  const { application, coordinator, take } = await worlds.pg!()
  const [holder, waiter] = [await application.begin(newIdentity()), await application.begin(newIdentity())]
  await take(holder.session, 3)
  expect((await holder.prepare()).kind).toBe('commit')
  const waiting = take(waiter.session, 3)
  await vi.waitFor(async () => {
    expect(await coordinator.lockWaits!.list([sessionOf(waiter)])).toMatchObject([{ blockers: [] }])
  }, PATIENCE)
  await holder.commit()
  await waiting
  await waiter.abort()
})

test('in PostgreSQL everybody may look, and only whoever may signal the session may end its statement', async () => {
  const { application, take } = await worlds.pg!()
  const stranger = await postgresFromUrl(server.url().replace(/\/\/[^@]*@/, '//stranger:x@'), { name: 'app' })
  closing.push(() => stranger.inDoubt.close())
  const [holder, waiter] = [await application.begin(newIdentity()), await application.begin(newIdentity())]
  await take(holder.session, 4)
  const waiting = take(waiter.session, 4)
  const wait = await vi.waitFor(async () => {
    const [found] = await stranger.lockWaits!.list([sessionOf(waiter)])
    expect(found?.blockers).toEqual([holder.sessionId])
    return found!
  }, PATIENCE)
  await expect(stranger.lockWaits!.cancel(wait)).rejects.toThrow(/permission denied/)
  await holder.abort()
  await waiting
  await waiter.abort()
})

test('on MySQL the waits are those of performance_schema, and a session that is gone blocks nobody', async () => {
  const asked: string[] = []
  const run = async (sql: string): Promise<readonly Record<string, unknown>[]> => {
    asked.push(sql)
    if (sql.includes('VERSION()')) return [{ version: '8.0.36' }]
    return [
      { session: 7, blocker: 8, wait: '1/2/3' },
      { session: 7, blocker: 9, wait: '1/2/3' },
      { session: 10, blocker: 0, wait: '4/5/6' },
    ]
  }
  expect(await mysqlLockWaits(run, ['7', '10'])).toEqual([
    { session: '7', wait: '1/2/3', blockers: ['8', '9'] },
    { session: '10', wait: '4/5/6', blockers: [] },
  ])
  expect(asked[1]).toMatch(/performance_schema\.data_lock_waits/)
})

test('only numbers of sessions go into a statement', () => {
  expect(sessionNumbers(['7', '', "1) OR ('1", '-2', '1.5', '1e99'])).toEqual([7])
})
