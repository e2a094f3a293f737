import pg from 'pg'
import postgresJs from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeGid, parseClusterId } from '../../base/index.ts'
import { type LocalServer, LocalServers } from '../../localdb/index.ts'
import { CuttingProxy } from '../cutting-proxy.contract.ts'
import {
  BranchOutcomeUnknownError,
  BranchStatementRefusedError,
  ResourceMisconfiguredError,
  ResourceUnavailableError,
} from '../errors.ts'
import { CONTRACT_CLUSTER, type ContractWorld, newIdentity, resourceContract } from '../resource.contract.ts'
import type { Resource } from '../resource.ts'
import { PostgresInDoubt } from './in-doubt.ts'
import { postgres, postgresInDoubtFromUrl } from './index.ts'
import { pgDriver } from './pg-driver.ts'
import type { PgPoolShape } from './pg-shapes.ts'

const servers = new LocalServers()
let server: LocalServer
let admin: pg.Pool

beforeAll(async () => {
  server = await servers.startPostgres()
  admin = quietPool(server.url())
  await admin.query('CREATE TABLE t (k text, deferred int)')
  await admin.query('CREATE TABLE u (k int UNIQUE DEFERRABLE INITIALLY DEFERRED)')
  await admin.query('CREATE FUNCTION sneaky(key text) RETURNS void LANGUAGE sql AS $$ INSERT INTO t VALUES (key) $$')
})
afterAll(async () => {
  await admin?.end()
  await servers.close()
})

function quietPool(url: string, more: pg.PoolConfig & { pipeline?: boolean } = {}): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 5, ...more })
  pool.on('error', () => {})
  return pool
}

async function count(key: string): Promise<number> {
  const { rows } = await admin.query('SELECT count(*)::int AS n FROM t WHERE k = $1', [key])
  return rows[0].n
}

async function crash(): Promise<void> {
  await server.kill()
  await server.restart()
}

async function pgWorld(pool: pg.Pool): Promise<ContractWorld<pg.PoolClient>> {
  const resolver = await postgresInDoubtFromUrl(server.url(), { name: 'resolver' })
  return {
    resource: postgres(pool, { name: 'test' }),
    resolver,
    write: (session, key) => session.query('INSERT INTO t VALUES ($1)', [key]),
    fail: (session) => session.query('SELECT nonsense'),
    send: (session, sql) => session.query(sql),
    count,
    crash,
    slow: 'SELECT pg_sleep(30)',
    hasEvidence: true,
    detaches: true,
    close: async () => {
      await resolver.close()
      await pool.end()
    },
  }
}

resourceContract('postgres over pg', () => pgWorld(quietPool(server.url())))
resourceContract('postgres over pg in pipeline mode', () => pgWorld(quietPool(server.url(), { pipeline: true })))
resourceContract('postgres over postgres.js', async (): Promise<ContractWorld<postgresJs.ReservedSql>> => {
  const sql = postgresJs(server.url(), { max: 5, onnotice: () => {} })
  const resolver = await postgresInDoubtFromUrl(server.url(), { name: 'resolver' })
  return {
    resource: postgres(sql, { name: 'test' }),
    resolver,
    write: async (session, key) => session`INSERT INTO t VALUES (${key})`,
    fail: async (session) => session`SELECT nonsense`,
    send: async (session, text) => session.unsafe(text),
    count,
    crash,
    slow: 'SELECT pg_sleep(30)',
    hasEvidence: true,
    detaches: true,
    close: async () => {
      await resolver.close()
      await sql.end({ timeout: 1 })
    },
  }
})

test('a branch over postgres.js is in its transaction before its first statement can be sent', async () => {
  const sql = postgresJs(server.url(), { max: 1, onnotice: () => {} })
  const branch = await postgres(sql, { name: 'test' }).begin(newIdentity())
  const { rows } = await admin.query("SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction'")
  expect(rows).toHaveLength(1)
  await branch.abort()
  await sql.end({ timeout: 1 })
})

describe('PostgreSQL', () => {
  let pool: pg.Pool
  let resource: Resource<pg.PoolClient>
  beforeAll(() => {
    pool = quietPool(server.url())
    resource = postgres(pool, { name: 'flights' })
  })
  afterAll(async () => pool.end())

  test('a branch of SELECTs is read-only, and so is an UPDATE of no rows', async () => {
    for (const text of ['SELECT * FROM t', "UPDATE t SET k = 'x' WHERE false"]) {
      const identity = newIdentity()
      const branch = await resource.begin(identity)
      await branch.session.query(text)
      expect(await branch.prepare()).toEqual({ kind: 'readOnly' })
      expect(await resource.inDoubt.list(identity.cluster)).toEqual([])
    }
  })

  test('a SELECT whose function writes is not read-only', async () => {
    const identity = newIdentity()
    const branch = await resource.begin(identity)
    await branch.session.query('SELECT sneaky($1)', [identity.txid])
    expect(await branch.prepare()).toMatchObject({ kind: 'commit' })
    await branch.commit()
    expect(await count(identity.txid)).toBe(1)
  })

  test('a COMMIT hidden behind another statement is found out at PREPARE', async () => {
    for (const text of [
      'SELECT 1; COMMIT',
      'SELECT 1; COMMIT; BEGIN; INSERT INTO t VALUES (1)',
      'SELECT 1; COMMIT AND CHAIN',
    ]) {
      const identity = newIdentity()
      const branch = await resource.begin(identity)
      await branch.session.query('INSERT INTO t VALUES ($1)', ['escaped'])
      await branch.session.query(text)
      const vote = await branch.prepare()
      expect(vote).toMatchObject({ kind: 'abort', cause: { code: 'BRANCH_ESCAPED' } })
      expect(await resource.inDoubt.list(identity.cluster)).toEqual([])
    }
    const lone = await resource.begin(newIdentity())
    await lone.session.query('SELECT 1')
    await lone.session.query('SELECT 1; COMMIT')
    await expect(lone.commitOnePhase()).rejects.toThrow(BranchOutcomeUnknownError)
  })

  test('a transaction that failed unseen answers PREPARE with an abort, not with a prepared branch', async () => {
    const identity = newIdentity()
    const branch = await resource.begin(identity)
    await branch.session.query('INSERT INTO t VALUES (1)')
    // Past the guard: as a driver plug-in would that keeps errors to itself.
    const raw = branch.session as unknown as { connection: { query(text: string): void } }
    raw.connection.query('SELECT nonsense')
    expect((await branch.prepare()).kind).not.toBe('commit')
    expect(await resource.inDoubt.list(identity.cluster)).toEqual([])
  })

  test('a bare PREPARE TRANSACTION in a failed transaction answers with the tag ROLLBACK', async () => {
    const client = await pool.connect()
    await client.query('BEGIN')
    await client.query('SELECT nonsense').catch(() => {})
    expect((await client.query("PREPARE TRANSACTION 'x'")).command).toBe('ROLLBACK')
    client.release()
  })

  test('a deferred constraint that fails at PREPARE is an abort with its own error', async () => {
    const branch = await resource.begin(newIdentity())
    await branch.session.query('INSERT INTO u VALUES (1), (1)')
    expect(await branch.prepare()).toMatchObject({ kind: 'abort', cause: { code: '23505' } })
    const lone = await resource.begin(newIdentity())
    await lone.session.query('INSERT INTO u VALUES (2), (2)')
    await expect(lone.commitOnePhase()).rejects.toMatchObject({ code: 'BRANCH_ABORTED', cause: { code: '23505' } })
  })

  test('a temporary table can’t be prepared, and the error says what to keep out (0A000)', async () => {
    const branch = await resource.begin(newIdentity())
    await branch.session.query('CREATE TEMP TABLE gone (k int)')
    await branch.session.query('INSERT INTO gone VALUES (1)')
    expect(await branch.prepare()).toMatchObject({ kind: 'abort', cause: { code: 'BRANCH_NOT_PREPARABLE' } })
  })

  test('a gid that is taken already is refused (42710)', async () => {
    const identity = newIdentity()
    const [first, second] = [await resource.begin(identity), await resource.begin(identity)]
    await first.session.query('INSERT INTO t VALUES (1)')
    await second.session.query('INSERT INTO t VALUES (1)')
    expect(await first.prepare()).toMatchObject({ kind: 'commit' })
    expect(await second.prepare()).toMatchObject({ kind: 'abort', cause: { code: 'BRANCH_NOT_PREPARABLE' } })
    await first.abort()
  })

  test('the position of a syntax error counts from the application’s own text', async () => {
    const branch = await resource.begin(newIdentity())
    await expect(branch.session.query('SELEKT 1')).rejects.toMatchObject({ code: '42601', position: '1' })
    await branch.abort()
  })

  test('named statements can be used again on the same session, also when their first use failed', async () => {
    const one = quietPool(server.url(), { max: 1 })
    const single = postgres(one, { name: 'one' })
    for (const text of ['SELECT nonsense', 'SELECT 1 AS one']) {
      for (let round = 0; round < 3; round += 1) {
        const branch = await single.begin(newIdentity())
        const result = await branch.session.query({ name: `n${text}`, text }).catch((error) => error)
        expect(text.endsWith('one') ? result.rows : result.code).toEqual(text.endsWith('one') ? [{ one: 1 }] : '42703')
        await branch.abort()
      }
    }
    await one.end()
  })

  test('callbacks work, and release() is refused', async () => {
    const branch = await resource.begin(newIdentity())
    const rows = await new Promise((resolve, reject) =>
      branch.session.query('SELECT 1 AS one', (error: Error | null, result: pg.QueryResult) =>
        error ? reject(error) : resolve(result.rows),
      ),
    )
    expect(rows).toEqual([{ one: 1 }])
    expect(() => branch.session.release()).toThrow(BranchStatementRefusedError)
    await branch.abort()
  })

  test('ready-made Query objects work as the first statement, and their errors poison the branch', async () => {
    const run = (session: pg.PoolClient, text: string): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const query = session.query(new pg.Query(text))
        query.on('error', reject)
        query.on('end', (result) => resolve(result.rows))
      })
    const branch = await resource.begin(newIdentity())
    expect(await run(branch.session, 'INSERT INTO t VALUES (1) RETURNING k')).toEqual([{ k: '1' }])
    expect(await branch.prepare()).toMatchObject({ kind: 'commit' })
    await branch.abort()
    const failed = await resource.begin(newIdentity())
    await expect(run(failed.session, 'SELECT nonsense')).rejects.toMatchObject({ code: '42703' })
    expect(await failed.prepare()).toMatchObject({ kind: 'abort', cause: { code: '42703' } })
  })

  test('a session lost before PREPARE is an abort', async () => {
    const branch = await resource.begin(newIdentity())
    const { rows } = await branch.session.query('INSERT INTO t VALUES (1) RETURNING pg_backend_pid() AS pid')
    const ended = new Promise<void>((resolve) => branch.session.once('end', resolve))
    await admin.query('SELECT pg_terminate_backend($1)', [rows[0].pid])
    await ended
    expect(await branch.prepare()).toMatchObject({ kind: 'abort' })
    expect(await branch.abort()).toEqual({ kind: 'done' })
  })

  test('another user can’t end a branch, and the error says who can (42501)', async () => {
    await admin.query('CREATE ROLE stranger LOGIN')
    const identity = newIdentity()
    const branch = await resource.begin(identity)
    await branch.session.query('INSERT INTO t VALUES (1)')
    await branch.prepare()
    const url = server.url().replace('postgres@', 'stranger@')
    const stranger = await postgresInDoubtFromUrl(url, { name: 'stranger' })
    await expect(stranger.commit(identity)).rejects.toThrow(/superuser/)
    await stranger.close()
    await branch.abort()
  })

  test('a branch of another database of the same server is neither listed nor settled (0A000)', async () => {
    await admin.query('CREATE DATABASE other')
    const identity = newIdentity()
    const branch = await resource.begin(identity)
    await branch.session.query('INSERT INTO t VALUES (1)')
    await branch.prepare()
    const other = await postgresInDoubtFromUrl(server.url('other'), { name: 'other' })
    expect(await other.list(identity.cluster)).toEqual([])
    await expect(other.abort(identity)).rejects.toThrow(ResourceMisconfiguredError)
    await other.close()
    await branch.abort()
  })

  test('evidence is none for tokens that are no xid, or one of the future', async () => {
    for (const token of ['', "1'; DROP TABLE t; --", '9999999999999']) {
      expect(await resource.inDoubt.evidence(newIdentity(), token)).toBe('none')
    }
  })

  test('a server that is down is unavailable; check says so', async () => {
    const down = postgres(quietPool('postgres://postgres@127.0.0.1:1/postgres'), { name: 'down' })
    await expect(down.begin(newIdentity())).rejects.toThrow(ResourceUnavailableError)
    expect(await down.check()).toMatchObject([{ severity: 'fatal', what: 'unreachable' }])
  })

  test('a database that refuses the user says so', async () => {
    const refused = postgres(quietPool(server.url('nowhere')), { name: 'refused' })
    await expect(refused.begin(newIdentity())).rejects.toThrow(ResourceMisconfiguredError)
    expect(await refused.check()).toMatchObject([{ severity: 'fatal', what: 'refused' }])
  })
})

describe.each(['pg', 'postgres.js'] as const)('a PostgreSQL connection lost, over %s,', (driver) => {
  let proxy: CuttingProxy
  let resource: Resource<unknown>
  let write: (session: unknown, key: string) => Promise<unknown>
  let close: () => Promise<void>
  beforeAll(async () => {
    proxy = await CuttingProxy.start(server.port)
    const url = server.url().replace(String(server.port), String(proxy.port))
    if (driver === 'pg') {
      const pool = quietPool(url)
      resource = postgres(pool, { name: 'far' })
      write = (session, key) => (session as pg.PoolClient).query('INSERT INTO t VALUES ($1)', [key])
      close = () => pool.end()
    } else {
      const sql = postgresJs(url, { max: 5, onnotice: () => {}, backoff: () => 0.01 })
      resource = postgres(sql, { name: 'far' })
      write = async (session, key) => (session as postgresJs.ReservedSql)`INSERT INTO t VALUES (${key})`
      close = () => sql.end({ timeout: 1 })
    }
  })
  afterAll(async () => {
    await close()
    await proxy.close()
  })
  const beginWriting = async () => {
    const identity = newIdentity()
    const branch = await resource.begin(identity)
    await write(branch.session, identity.txid)
    return { identity, branch }
  }

  test.runIf(driver === 'pg')('and not noticed does not use up a resolver’s sessions (P7)', async () => {
    const small = new pg.Pool({
      connectionString: server.url().replace(String(server.port), String(proxy.port)),
      max: 1,
    })
    const inDoubt = new PostgresInDoubt('far', pgDriver(small as unknown as PgPoolShape), () => small.end(), 200)
    proxy.stallAt('pg_prepared_xacts')
    await expect(inDoubt.list(CONTRACT_CLUSTER)).rejects.toThrow(ResourceUnavailableError)
    expect(await inDoubt.list(parseClusterId('other'))).toEqual([])
    await inDoubt.close()
  })

  test('after PREPARE arrived votes commit, because the branch is listed, with its xid as evidence', async () => {
    const { identity, branch } = await beginWriting()
    proxy.cutAt('PREPARE TRANSACTION', 'answer')
    const vote = await branch.prepare()
    expect(vote).toMatchObject({ kind: 'commit', evidence: expect.stringMatching(/^\d+$/) })
    expect(await branch.commit()).toEqual({ kind: 'done' })
    expect(await count(identity.txid)).toBe(1)
    expect(await resource.inDoubt.evidence(identity, vote.kind === 'commit' ? vote.evidence : undefined)).toBe(
      'committed',
    )
  })

  test('before PREPARE arrived is unknown, and the branch is gone', async () => {
    const { identity, branch } = await beginWriting()
    proxy.cutAt('PREPARE TRANSACTION', 'request')
    expect(await branch.prepare()).toMatchObject({ kind: 'unknown' })
    expect(await branch.abort()).toEqual({ kind: 'unknownGid' })
    expect(await count(identity.txid)).toBe(0)
  })

  test('in phase two is unavailable; the retry finds the gid unknown, and the evidence says committed', async () => {
    const { identity, branch } = await beginWriting()
    const vote = await branch.prepare()
    proxy.cutAt('COMMIT PREPARED', 'answer')
    await expect(branch.commit()).rejects.toThrow(ResourceUnavailableError)
    expect(await branch.commit()).toEqual({ kind: 'unknownGid' })
    const token = vote.kind === 'commit' ? vote.evidence : undefined
    expect(await resource.inDoubt.evidence(identity, token)).toBe('committed')
  })

  test('in phase two before the statement arrived is unavailable, and the retry commits', async () => {
    const { identity, branch } = await beginWriting()
    await branch.prepare()
    proxy.cutAt('COMMIT PREPARED', 'request')
    await expect(branch.commit()).rejects.toThrow(ResourceUnavailableError)
    expect(await branch.commit()).toEqual({ kind: 'done' })
    expect(await count(identity.txid)).toBe(1)
  })

  test('while it commits in one phase leaves the outcome unknown', async () => {
    const { branch } = await beginWriting()
    proxy.cutAt('COMMIT', 'answer')
    await expect(branch.commitOnePhase()).rejects.toThrow(BranchOutcomeUnknownError)
  })

  test('in the middle of the work refuses every later statement and aborts', async () => {
    const { identity, branch } = await beginWriting()
    proxy.cutAt('lost', 'request')
    await expect(write(branch.session, 'lost')).rejects.toThrow()
    await expect(write(branch.session, 'later')).rejects.toThrow()
    expect(await branch.prepare()).toMatchObject({ kind: 'abort' })
    expect([await count(identity.txid), await count('later')]).toEqual([0, 0])
  })
})

describe('PostgreSQL without room for prepared branches', () => {
  test('max_prepared_transactions = 0 is said in plain words by check and by the first branch (55000)', async () => {
    const off = await servers.startPostgres({ settings: { max_prepared_transactions: '0' } })
    const pool = quietPool(off.url())
    const resource = postgres(pool, { name: 'off' })
    expect(await resource.check()).toMatchObject([{ severity: 'fatal', what: 'preparedTransactionsOff' }])
    await expect(resource.begin(newIdentity())).rejects.toThrow(/max_prepared_transactions is 0/)
    await pool.end()
    await off.stop()
  })

  test('branches are refused before the places run out, with nothing begun, and taken again when there is room', async () => {
    const small = await servers.startPostgres({ settings: { max_prepared_transactions: '3' } })
    const pool = quietPool(small.url())
    await pool.query('CREATE TABLE t (k text)')
    const resource = postgres(pool, { name: 'small' })
    const branches = []
    for (let n = 0; n < 2; n++) {
      const branch = await resource.begin(newIdentity())
      await branch.session.query('INSERT INTO t VALUES (1)')
      expect(await branch.prepare()).toMatchObject({ kind: 'commit' })
      branches.push(branch)
    }
    await expect(resource.begin(newIdentity())).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', retryable: true })
    // Another process sees it as well: it looks at the server.
    const other = quietPool(small.url())
    await expect(postgres(other, { name: 'small' }).begin(newIdentity())).rejects.toThrow(
      /holds 2 prepared branches, and nobody is let in from 2 on; nothing was begun/,
    )
    const capped = postgres(other, { name: 'small', preparedMax: 1, admission: true })
    await expect(capped.begin(newIdentity())).rejects.toThrow(/from 1 on/)
    expect(pool.idleCount, 'the session went back to its pool').toBeGreaterThan(0)
    await branches[0]?.commit()
    const next = await resource.begin(newIdentity())
    await next.abort()
    await branches[1]?.commit()
    await Promise.all([pool.end(), other.end()])
    await small.stop()
  })

  test('the last place taken is a retryable abort (53200)', async () => {
    const small = await servers.startPostgres({ settings: { max_prepared_transactions: '1' } })
    const pool = quietPool(small.url())
    await pool.query('CREATE TABLE t (k text)')
    const resource = postgres(pool, { name: 'small' })
    const [first, second] = [await resource.begin(newIdentity()), await resource.begin(newIdentity())]
    await first.session.query('INSERT INTO t VALUES (1)')
    await second.session.query('INSERT INTO t VALUES (1)')
    expect(await first.prepare()).toMatchObject({ kind: 'commit' })
    const vote = await second.prepare()
    expect(vote).toMatchObject({ kind: 'abort', cause: { code: 'RESOURCE_EXHAUSTED', retryable: true } })
    await first.commit()
    await pool.end()
    await small.stop()
  })
})

test('gids have only characters that are safe inside quotes', () => {
  const { cluster, txid, branch } = newIdentity()
  expect(makeGid(cluster, txid, branch)).toMatch(/^[A-Za-z0-9_-]{1,60}$/)
})
