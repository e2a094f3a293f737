import { readFileSync } from 'node:fs'
import pg from 'pg'
import postgresJs from 'postgres'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type LocalServer, LocalServers } from '../../localdb/index.ts'
import { CuttingProxy } from '../../resources/cutting-proxy.contract.ts'
import { ContractInstance, gidOf, journalContract, newTxid } from './journal.contract.ts'
import { postgresJournal } from './opening.ts'
import { type SharedWorld, sharedJournalContract } from './shared-journal.contract.ts'
import { type Send, SqlWorld, WORK_TABLE } from './sql-world.test-support.ts'

const servers = new LocalServers()
let server: LocalServer
let proxy: CuttingProxy
let admin: pg.Pool

beforeAll(async () => {
  server = await servers.startPostgres()
  proxy = await CuttingProxy.start(server.port)
  admin = new pg.Pool({ connectionString: server.url(), max: 4 })
  admin.on('error', () => {})
  await admin.query(WORK_TABLE)
  for (const statement of postgresJournal(admin).schema.split(';\n')) await admin.query(statement)
})
afterAll(async () => {
  await admin?.end()
  await proxy?.close()
  await servers.close()
})

/** PostgreSQL numbers its parameters. */
function numbered(text: string): string {
  let index = 0
  return text.replace(/\?/g, () => `$${++index}`)
}

const look: Send = async (text, ...values) => (await admin.query(numbered(text), [...values])).rows

function url(): string {
  return server.url().replace(`:${server.port}/`, `:${proxy.port}/`)
}

const withPg: SharedWorld<pg.Pool, pg.PoolClient> = {
  makePool: (max) => {
    const pool = new pg.Pool({ connectionString: url(), max })
    pool.on('error', () => {})
    return pool
  },
  journal: (pool, options) => postgresJournal(pool, options),
  send:
    (sql) =>
    async (text, ...values) => {
      if (values.length > 0) return (await sql.query(numbered(text), [...values])).rows
      return (await sql.query(text)).rows ?? []
    },
  look,
  proxy: () => proxy,
  commit: '; COMMIT',
  ending: 'COMMIT',
  disguised: 'SELECT 1; COMMIT; SELECT 2',
}

const withPostgresJs: SharedWorld<postgresJs.Sql, postgresJs.ReservedSql> = {
  makePool: (max) => postgresJs(url(), { max, onnotice: () => {} }),
  journal: (pool, options) => postgresJournal(pool, options),
  send:
    (sql) =>
    async (text, ...values) => [...(await sql.unsafe(numbered(text), [...values]))],
  look,
  proxy: () => proxy,
  commit: '; COMMIT',
  ending: 'ROLLBACK',
  disguised: undefined,
}

function poolOf(max = 8): pg.Pool {
  const pool = withPg.makePool(max)
  onTestFinished(() => void pool.end())
  return pool
}

describe('a journal in PostgreSQL', () => {
  const world = () => new SqlWorld(postgresJournal(poolOf()), withPg.send, look)
  let made: ReturnType<typeof world> | undefined
  journalContract(() => {
    made ??= new SqlWorld(postgresJournal(withPg.makePool(8)), withPg.send, look)
    return made
  })
  sharedJournalContract(withPg)

  test('P4: a vote is flushed to disk even where synchronous_commit is off', async () => {
    await admin.query('ALTER DATABASE postgres SET synchronous_commit = off')
    onTestFinished(async () => void (await admin.query('ALTER DATABASE postgres RESET synchronous_commit')))
    const mail = await ContractInstance.start(world())
    const txid = newTxid()
    const seen: unknown[] = []
    mail.onPrepare = async (sql: pg.PoolClient) => {
      seen.push((await sql.query('SHOW synchronous_commit')).rows[0]?.synchronous_commit)
      seen.push((await sql.query('SHOW transaction_isolation')).rows[0]?.transaction_isolation)
    }
    await mail.work(txid)
    expect(await mail.prepare(txid)).toBe('commit')
    expect(seen).toEqual(['on', 'read committed'])
  })

  test('kill -9 of the server between work, vote and commit: it all goes on, and work is real once', async () => {
    const mail = await ContractInstance.start(world(), { options: { retryMaxMs: 500 } })
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
    expect(mail.errors).toEqual([])
  })

  test('an unlogged table is refused', async () => {
    await admin.query('CREATE UNLOGGED TABLE quick_journal (LIKE concordat_journal INCLUDING ALL)')
    await admin.query('CREATE TABLE quick_journal_meta (LIKE concordat_journal_meta INCLUDING ALL)')
    await admin.query('INSERT INTO quick_journal_meta VALUES (1, 1, 0)')
    const unlogged = new SqlWorld(postgresJournal(poolOf(), { table: 'public.quick_journal' }), withPg.send, look)
    await expect(ContractInstance.start(unlogged)).rejects.toMatchObject({
      code: 'JOURNAL_UNUSABLE',
      message: expect.stringContaining('quick_journal'),
    })
  })

  test('docs/services.md shows the statements as they are', () => {
    const page = readFileSync(new URL('../../../docs/services.md', import.meta.url), 'utf8')
    expect(page).toContain(postgresJournal(poolOf()).schema)
  })

  test('options that can not be used are refused', () => {
    const pool = poolOf()
    for (const [key, value] of [
      ['table', 'a; b'],
      ['localMs', 1],
      ['rememberMs', 60_000],
      ['tabel', 'x'],
    ] as const) {
      expect(() => postgresJournal(pool, { [key]: value }), key).toThrow(expect.objectContaining({ key }))
    }
  })
})

describe('a journal in PostgreSQL, over postgres.js', () => sharedJournalContract(withPostgresJs))
