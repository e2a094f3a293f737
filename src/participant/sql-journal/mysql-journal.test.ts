import mysql, { type Pool, type PoolConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { findMariadb, type LocalServer, LocalServers, MARIADB_INSTALL_HINT } from '../../localdb/index.ts'
import { CuttingProxy } from '../../resources/cutting-proxy.contract.ts'
import { ContractInstance, gidOf, journalContract, newTxid } from './journal.contract.ts'
import { mysqlJournal } from './opening.ts'
import { type SharedWorld, sharedJournalContract } from './shared-journal.contract.ts'
import { type Send, SqlWorld, WORK_TABLE } from './sql-world.test-support.ts'

const servers = new LocalServers()
let server: LocalServer
let proxy: CuttingProxy
let admin: Pool

const look: Send = async (text, ...values) => {
  const [rows] = await admin.query(text, [...values])
  return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : []
}

const world: SharedWorld<Pool, PoolConnection> = {
  makePool: (connectionLimit) =>
    mysql.createPool({ uri: server.url().replace(`:${server.port}/`, `:${proxy.port}/`), connectionLimit }),
  journal: (pool, options) => mysqlJournal(pool, options),
  send:
    (sql) =>
    async (text, ...values) => {
      const [rows] = await sql.query(text, [...values])
      return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : []
    },
  look: (...given) => look(...given),
  proxy: () => proxy,
  // With the command's byte before it: the level of isolation has the word as well.
  commit: '\x03COMMIT',
  ending: 'COMMIT',
  // The server commits before it does this.
  disguised: '/*! ALTER TABLE seats COMMENT = "x" */',
}

const hasMariadb = findMariadb() !== undefined
const title = 'a journal in MariaDB'

describe.skipIf(!hasMariadb)(hasMariadb ? title : `${title} (skipped: run "${MARIADB_INSTALL_HINT}")`, () => {
  beforeAll(async () => {
    server = await servers.startMariadb()
    proxy = await CuttingProxy.start(server.port)
    admin = mysql.createPool({ uri: server.url(), connectionLimit: 4 })
    await admin.query(`${WORK_TABLE} ENGINE=InnoDB`)
    const statements = mysqlJournal(admin)
      .schema.split(';\n')
      .filter((text) => text !== '')
    for (const statement of statements) await admin.query(statement)
  })
  afterAll(async () => {
    await admin?.end()
    await proxy?.close()
    await servers.close()
  })

  let made: SqlWorld<PoolConnection> | undefined
  journalContract(() => {
    made ??= new SqlWorld(mysqlJournal(world.makePool(8)), world.send, look)
    return made
  })
  sharedJournalContract(world)

  test('kill -9 of the server between work, vote and commit: it all goes on, and work is real once', async () => {
    const pool = world.makePool(8)
    onTestFinished(() => void pool.end())
    const mail = await ContractInstance.start(new SqlWorld(mysqlJournal(pool), world.send, look))
    const txid = newTxid()
    await mail.work(txid)
    await server.kill()
    await server.restart()
    expect(await mail.prepare(txid)).toBe('commit')
    await server.kill()
    const told = mail.decide(txid, 'commit')
    await server.restart()
    await told
    expect(await look('SELECT state, n FROM seats WHERE gid = ?', gidOf(txid))).toEqual([{ state: 'real', n: 1 }])
  })

  test('a session of the pool has the limits that it had before', async () => {
    const pool = world.makePool(1)
    onTestFinished(() => void pool.end())
    const limits = async () =>
      (
        await pool.query('SELECT @@innodb_lock_wait_timeout AS a, @@idle_transaction_timeout AS b, @@autocommit AS c')
      )[0]
    const before = await limits()
    const mail = await ContractInstance.start(new SqlWorld(mysqlJournal(pool), world.send, look))
    const txid = newTxid()
    let inside: unknown
    mail.onPrepare = async (sql: PoolConnection) => {
      inside = (await sql.query('SELECT @@innodb_lock_wait_timeout AS a, @@idle_transaction_timeout AS b'))[0]
      throw new Error('no')
    }
    await mail.work(txid)
    expect(await limits()).toEqual(before)
    await mail.prepare(txid, 7_000)
    expect(inside).toEqual([{ a: 7, b: 7 }])
    expect(await limits()).toEqual(before)
  })

  test('a table that is not of InnoDB is refused', async () => {
    await admin.query('CREATE TABLE quick_journal LIKE concordat_journal')
    await admin.query('ALTER TABLE quick_journal ENGINE=MyISAM')
    await admin.query('CREATE TABLE quick_journal_meta AS SELECT * FROM concordat_journal_meta')
    const pool = world.makePool(2)
    onTestFinished(() => void pool.end())
    const other = new SqlWorld(mysqlJournal(pool, { table: 'quick_journal' }), world.send, look)
    await expect(ContractInstance.start(other)).rejects.toMatchObject({
      code: 'JOURNAL_UNUSABLE',
      message: expect.stringContaining('quick_journal'),
    })
  })
})
