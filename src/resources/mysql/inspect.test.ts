import { randomBytes } from 'node:crypto'
import mysql2, { type Connection, type RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Gid, makeGid, makeTxid, parseBranchId, parseClusterId } from '../../base/index.ts'
import { findMariadb, type LocalServer, LocalServers, MARIADB_INSTALL_HINT } from '../../localdb/index.ts'
import type { InDoubtReport } from '../inspection.ts'
import { innodbBlocking, preparedInStatus } from './blocking.ts'
import { mysqlFromUrl } from './index.ts'
import { inspectMysql } from './inspect.ts'
import { xidLiteral } from './xid.ts'

const CLUSTER = parseClusterId('looks')
/** InnoDB's views show one moment until nobody has read them for a tenth of a second. */
const PAUSE_MS = 150
const hasMariadb = findMariadb() !== undefined
const title = hasMariadb ? 'MariaDB' : `MariaDB (skipped: run "${MARIADB_INSTALL_HINT}")`

describe.skipIf(!hasMariadb)(title, () => {
  const servers = new LocalServers()
  let server: LocalServer
  let admin: Connection
  beforeAll(async () => {
    server = await servers.startMariadb()
    admin = await connect()
    await admin.query('create table nights (id int primary key, guest text) engine=InnoDB')
    await admin.query("insert into nights values (1, 'nobody'), (2, 'nobody')")
    await admin.query('create table rooms (id int primary key) engine=InnoDB')
    await admin.query("create user poor identified by 'x'")
    await admin.query('grant all on app.* to poor')
  })
  afterAll(async () => {
    await admin?.end()
    await servers.close()
  })

  const connect = (): Promise<Connection> => mysql2.createConnection(server.url())

  /** Prepares in a session that lives on with the test; `leave` closes it. The branch is rolled back with the test. */
  async function prepare(work: string, literal?: string): Promise<{ gid: Gid; leave(): Promise<void> }> {
    const identity = { cluster: CLUSTER, txid: makeTxid(Date.now(), randomBytes(10)), branch: parseBranchId(0) }
    const xid = literal ?? xidLiteral(identity)
    const session = await connect()
    for (const sql of [`xa start ${xid}`, work, `xa end ${xid}`, `xa prepare ${xid}`]) await session.query(sql)
    let isOpen = true
    const leave = async (): Promise<void> => {
      if (isOpen) await session.end()
      isOpen = false
    }
    onTestFinished(async () => {
      await leave()
      await until(async () => {
        await admin.query(`xa rollback ${xid}`)
        return true
      })
    })
    return { gid: makeGid(identity.cluster, identity.txid, identity.branch), leave }
  }

  /** Until it is true and throws nothing. */
  async function until(check: () => Promise<boolean>): Promise<void> {
    for (let left = 40; ; left--) {
      const done = await check().catch((error: unknown) => {
        if (left === 0) throw error
        return false
      })
      if (done) return
      expect(left).toBeGreaterThan(0)
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }

  /** Starts a statement that will wait, and waits until the server says so. */
  async function block(sql: string, where: 'row' | 'metadata' = 'row'): Promise<number> {
    const session = await connect()
    session.query(sql).catch(() => {})
    const id = session.threadId
    // Its statement must not be carried out when the branch is gone.
    onTestFinished(async () => {
      await admin.query(`kill ${id}`)
      session.destroy()
    })
    const waiting =
      where === 'row'
        ? `select 1 from information_schema.innodb_trx where trx_state = 'LOCK WAIT' and trx_mysql_thread_id = ${id}`
        : `select 1 from information_schema.processlist where id = ${id} and state like 'Waiting for % metadata lock'`
    await until(async () => (await admin.query<RowDataPacket[]>(waiting))[0].length > 0)
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    return id
  }

  async function look(user = 'root'): Promise<InDoubtReport> {
    const url = new URL(server.url())
    if (user !== 'root') Object.assign(url, { username: user, password: 'x' })
    const resource = await mysqlFromUrl(url.href, { name: 'hotels' })
    try {
      return await resource.inspection!.inDoubt(CLUSTER)
    } finally {
      await resource.inDoubt.close()
    }
  }

  test('without anything prepared there is nothing to tell', async () => {
    expect(await look()).toEqual({
      branches: [],
      unattributed: { sessions: [], sessionCount: 0, tables: [], tableCount: 0 },
      foreign: { here: 0, elsewhere: 0 },
      slots: undefined,
      notes: [],
    })
  })

  test('what a lone branch blocks is shown as its own, whether its session lives or not', async () => {
    const { gid, leave } = await prepare("update nights set guest = 'Ann' where id = 1")
    const id = await block("update nights set guest = 'Bob' where id = 1")
    const expected = {
      branches: [
        {
          gid,
          ageMs: undefined,
          sessions: [
            {
              id,
              user: 'root',
              waitsFor: 'a row of app.nights',
              statement: 'update nights set guest = …',
            },
          ],
          tables: [{ name: 'app.nights', mode: 'X' }],
        },
      ],
      unattributed: { sessionCount: 0 },
      foreign: { here: 0 },
    }
    const living = await look()
    expect(living, 'its session lives').toMatchObject(expected)
    expect(living.notes).toEqual([
      expect.stringMatching(/^prepared by session \d+, still connected: .*KILL CONNECTION/),
    ])
    await leave()
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    const left = await look()
    expect(left, 'its session is gone').toMatchObject(expected)
    expect(left.notes).toEqual([])
  })

  test('of several branches nobody can tell whose it is, so what they block is shown apart', async () => {
    const [first, second] = [
      await prepare("update nights set guest = 'Ann' where id = 1"),
      await prepare('insert into rooms values (1)'),
    ]
    await first.leave()
    const id = await block("update nights set guest = 'Bob' where id = 1")
    const report = await look()
    expect(report.branches.map(({ gid, sessionCount }) => [gid, sessionCount]).sort()).toEqual(
      [first.gid, second.gid].sort().map((gid) => [gid, 0]),
    )
    expect(report.unattributed).toMatchObject({
      sessions: [{ id }],
      sessionCount: 1,
      tables: [{ name: 'app.nights' }],
      tableCount: 2,
    })
    expect(report.notes).toContain('MariaDB names a locked table only while somebody waits for it')
  })

  test("other transaction managers' branches are counted; ours is not blamed for what they block", async () => {
    await prepare("update nights set guest = 'Ann' where id = 1")
    await prepare("update nights set guest = 'Eve' where id = 2", "'theirs','1',7")
    const id = await block("update nights set guest = 'Bob' where id = 2")
    expect(await look()).toMatchObject({
      branches: [{ sessionCount: 0 }],
      foreign: { here: 1, elsewhere: 0 },
      unattributed: { sessions: [{ id }] },
    })
  })

  test('sessions that wait for a metadata lock are named, and nobody is blamed', async () => {
    await prepare('insert into rooms values (2)')
    const id = await block('alter table rooms add column n int', 'metadata')
    const { notes } = await look()
    expect(notes).toContainEqual(
      expect.stringMatching(`^session ${id} waits for a metadata lock; the server does not say`),
    )
  })

  test('a user without PROCESS sees the branches, and is told what it may not see', async () => {
    const { gid } = await prepare('insert into rooms values (3)')
    await block('insert into rooms values (3)')
    const report = await look('poor')
    expect(report.branches).toMatchObject([{ gid, sessionCount: 0 }])
    expect(report.notes).toContainEqual(expect.stringMatching(/GRANT PROCESS/))
  })
})

describe('MySQL, by the columns that its manual names', () => {
  const answers: Readonly<Record<string, readonly Record<string, unknown>[]>> = {
    'SELECT VERSION()': [{ version: '8.0.36' }],
    'XA RECOVER': [
      {
        formatID: 1,
        gtrid_length: 46,
        bqual_length: 1,
        data: Buffer.from(`cdt_looks_${makeTxid(1, randomBytes(10))}0`),
      },
    ],
    'SHOW ENGINE INNODB STATUS': [{ Status: '---TRANSACTION 1807, ACTIVE (PREPARED) 12 sec\n2 lock struct(s)' }],
    'SELECT trx_id': [
      { trx_id: '1807', thread: 44, tables: 1 },
      { trx_id: '1808', thread: 45, tables: 1 },
    ],
    'SELECT w.REQUESTING': [
      { waiter: '1808', holder: '1807', type: 'RECORD', mode: 'X,REC_NOT_GAP', name: 'app.nights' },
    ],
    'SELECT t.trx_id': [
      { trx_id: '1808', id: 45, user: 'web', host: '10.0.0.9:4711', info: 'select 1', waited: '1500.0' },
    ],
    'SELECT ENGINE_TRANSACTION_ID': [
      { holder: '1807', mode: 'IX', name: 'app.nights' },
      { holder: '1808', mode: 'IX', name: 'app.rooms' },
    ],
    'SELECT id AS id': [],
  }
  const run = async (sql: string) => answers[Object.keys(answers).find((head) => sql.startsWith(head)) ?? ''] ?? []

  test('tables come from performance_schema, whether anybody waits or not', async () => {
    expect(await inspectMysql(run, CLUSTER)).toMatchObject({
      branches: [
        {
          sessions: [{ id: 45, user: 'web', waitMs: 1_500, waitsFor: 'a row of app.nights' }],
          tables: [{ name: 'app.nights', mode: 'IX' }],
        },
      ],
      notes: [],
    })
  })

  test('a server that fails, rather than refuses, is an error', async () => {
    const broken = async (): Promise<never> => {
      throw new Error('gone')
    }
    await expect(innodbBlocking(broken, false)).rejects.toThrow('gone')
  })
})

test('a transaction at work is not taken for a prepared one', () => {
  const status =
    '---TRANSACTION 31, ACTIVE (PREPARED) 1 sec recovered trx\n---TRANSACTION 32, ACTIVE 1 sec\n---TRANSACTION 3, not started'
  expect(preparedInStatus(status)).toEqual(new Set(['31']))
})
