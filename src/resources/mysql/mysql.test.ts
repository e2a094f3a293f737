import mysql2, { type Pool, type PoolConnection } from 'mysql2'
import promiseMysql, { type PoolConnection as PromiseConnection, type Pool as PromisePool } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseBranchId, parseClusterId } from '../../base/index.ts'
import { findMariadb, type LocalServer, LocalServers, MARIADB_INSTALL_HINT } from '../../localdb/index.ts'
import { CuttingProxy } from '../cutting-proxy.contract.ts'
import { ResourceMisconfiguredError, ResourceUnavailableError } from '../errors.ts'
import { CONTRACT_CLUSTER, type ContractWorld, newIdentity, resourceContract } from '../resource.contract.ts'
import type { Resource } from '../resource.ts'
import { versionFindings } from './check.ts'
import { mysqlDriver } from './driver.ts'
import { MysqlInDoubt } from './in-doubt.ts'
import { mysql, mysqlInDoubtFromUrl } from './index.ts'

const servers = new LocalServers()
let server: LocalServer
let admin: PromisePool

const hasMariadb = findMariadb() !== undefined
const title = hasMariadb ? 'MariaDB' : `MariaDB (skipped: run "${MARIADB_INSTALL_HINT}")`

async function count(key: string): Promise<number> {
  const [rows] = await admin.query('SELECT count(*) AS n FROM t WHERE k = ?', [key])
  return (rows as { n: number }[])[0]!.n
}

async function crash(): Promise<void> {
  await server.kill()
  await server.restart()
}

describe.skipIf(!hasMariadb)(title, () => {
  beforeAll(async () => {
    server = await servers.startMariadb({ settings: { innodb_lock_wait_timeout: '1' } })
    admin = promiseMysql.createPool({ uri: server.url(), connectionLimit: 2 })
    await admin.query('CREATE TABLE t (k varchar(80)) ENGINE=InnoDB')
    await admin.query('CREATE TABLE rivals (id int PRIMARY KEY, n int) ENGINE=InnoDB')
    await admin.query('INSERT INTO rivals VALUES (1, 0), (2, 0)')
  })
  afterAll(async () => {
    await admin?.end()
    await servers.close()
  })

  const promiseWorld = async (witness: boolean, many: boolean): Promise<ContractWorld<PromiseConnection>> => {
    const pool = promiseMysql.createPool({ uri: server.url(), connectionLimit: 5, multipleStatements: many })
    const resolver = await mysqlInDoubtFromUrl(server.url(), { name: 'resolver', witness })
    return {
      resource: mysql(pool, { name: 'test', witness }),
      resolver,
      write: (session, key) => session.query('INSERT INTO t VALUES (?)', [key]),
      fail: (session) => session.query('SELECT nonsense'),
      send: (session, sql) => session.query(sql),
      count,
      crash,
      slow: 'SELECT SLEEP(30)',
      hasEvidence: witness,
      detaches: false,
      close: async () => {
        await resolver.close()
        await pool.end()
      },
    }
  }

  test('with preparedMax branches are refused when so many are prepared on the server', async () => {
    const pool = promiseMysql.createPool({ uri: server.url(), connectionLimit: 4 })
    const resource = mysql(pool, { name: 'capped', preparedMax: 1 })
    const branch = await resource.begin(newIdentity())
    await branch.session.query("INSERT INTO t VALUES ('capped')")
    expect(await branch.prepare()).toMatchObject({ kind: 'commit' })
    const refused = { code: 'RESOURCE_EXHAUSTED', retryable: true }
    await expect(resource.begin(newIdentity())).rejects.toMatchObject(refused)
    const other = mysql(pool, { name: 'capped', preparedMax: 1 })
    await expect(other.begin(newIdentity()), 'another process looks at the server').rejects.toMatchObject(refused)
    await branch.abort()
    await (await resource.begin(newIdentity())).abort()
    expect(() => mysql(pool, { name: 'capped', preparedMax: 0 })).toThrow(ResourceMisconfiguredError)
    await pool.end()
  })

  resourceContract('mysql over mysql2 promises, with a witness', () => promiseWorld(true, false))
  resourceContract('mysql over mysql2 with several statements in a text', () => promiseWorld(false, true))
  resourceContract('mysql over mysql2 callbacks', async (): Promise<ContractWorld<PoolConnection>> => {
    const pool: Pool = mysql2.createPool({ uri: server.url(), connectionLimit: 5 })
    const resolver = await mysqlInDoubtFromUrl(server.url(), { name: 'resolver' })
    const query = (session: PoolConnection, sql: string, values: string[] = []): Promise<unknown> =>
      new Promise((resolve, reject) => {
        session.query(sql, values, (error, result) => (error ? reject(error) : resolve(result)))
      })
    return {
      resource: mysql(pool, { name: 'test' }),
      resolver,
      write: (session, key) => query(session, 'INSERT INTO t VALUES (?)', [key]),
      fail: (session) => query(session, 'SELECT nonsense'),
      send: (session, sql) => query(session, sql),
      count,
      crash,
      slow: 'SELECT SLEEP(30)',
      hasEvidence: false,
      detaches: false,
      close: async () => {
        await resolver.close()
        await new Promise<void>((resolve) => pool.end(() => resolve()))
      },
    }
  })

  describe('traps', () => {
    let pool: PromisePool
    let resource: Resource<PromiseConnection>
    beforeAll(() => {
      pool = promiseMysql.createPool({ uri: server.url(), connectionLimit: 5 })
      resource = mysql(pool, { name: 'hotels' })
    })
    afterAll(async () => pool.end())

    test('after a lock wait timeout (1205) XA PREPARE would succeed, but the branch aborts', async () => {
      const [first, second] = [await resource.begin(newIdentity()), await resource.begin(newIdentity())]
      await first.session.query('UPDATE rivals SET n = n + 1 WHERE id = 1')
      await second.session.query('INSERT INTO t VALUES (1)')
      await expect(second.session.query('UPDATE rivals SET n = n + 1 WHERE id = 1')).rejects.toMatchObject({
        errno: 1205,
      })
      expect(await second.prepare()).toMatchObject({ kind: 'abort', cause: { errno: 1205 } })
      await first.abort()
    })

    test('a deadlock’s victim (1213) is rolled back, and its session is fit for use again', async () => {
      const [first, second] = [await resource.begin(newIdentity()), await resource.begin(newIdentity())]
      await first.session.query('UPDATE rivals SET n = n + 1 WHERE id = 1')
      await second.session.query('UPDATE rivals SET n = n + 1 WHERE id = 2')
      const results = await Promise.allSettled([
        first.session.query('UPDATE rivals SET n = n + 1 WHERE id = 2'),
        second.session.query('UPDATE rivals SET n = n + 1 WHERE id = 1'),
      ])
      const victims = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.errno] : []))
      expect(victims).toEqual([1213])
      const votes = await Promise.all([first.prepare(), second.prepare()])
      expect(votes.map(({ kind }) => kind).sort()).toEqual(['abort', 'commit'])
      await Promise.all([first.abort(), second.abort()])
      for (let n = 0; n < 5; n += 1) await (await resource.begin(newIdentity())).abort()
    })

    test('execute, prepared statements and beginTransaction are guarded too', async () => {
      const branch = await resource.begin(newIdentity())
      const statement = await branch.session.prepare('INSERT INTO t VALUES (?)')
      await statement.execute(['prepared'])
      await expect(branch.session.execute('SELECT nonsense')).rejects.toThrow()
      await expect(branch.session.beginTransaction()).rejects.toMatchObject({ code: 'BRANCH_STATEMENT_REFUSED' })
      expect(await branch.prepare()).toMatchObject({ kind: 'abort' })
      expect(await count('prepared')).toBe(0)
    })

    test('P1: work through the raw connection inside a promise connection is part of the branch', async () => {
      const branch = await resource.begin(newIdentity())
      const raw = branch.session.connection as unknown as PoolConnection
      await raw.promise().query("INSERT INTO t VALUES ('raw')")
      expect(await branch.prepare()).toMatchObject({ kind: 'commit' })
      await branch.commit()
      expect(await count('raw')).toBe(1)
    })

    test('an error of a statement that was prepared with a callback poisons the branch', async () => {
      const callbacks = mysql2.createPool({ uri: server.url(), connectionLimit: 1 })
      const branch = await mysql(callbacks, { name: 'callbacks' }).begin(newIdentity())
      await new Promise<void>((resolve, reject) =>
        branch.session.prepare('INSERT INTO rivals VALUES (?, 0)', (error, statement) => {
          if (error) return reject(error)
          statement.execute([1], () => resolve())
        }),
      )
      expect(branch.poisonedBy).toMatchObject({ errno: 1062 })
      expect(await branch.prepare()).toMatchObject({ kind: 'abort' })
      await new Promise((resolve) => callbacks.end(resolve))
    })

    test('a statement that would commit by itself (DDL) is refused by the server and poisons the branch (1399)', async () => {
      const branch = await resource.begin(newIdentity())
      await expect(branch.session.query('CREATE TABLE gone (k int)')).rejects.toMatchObject({ errno: 1399 })
      expect(await branch.prepare()).toMatchObject({ kind: 'abort' })
    })

    test('an xid that is in use already is refused at begin (1440)', async () => {
      const identity = newIdentity()
      const branch = await resource.begin(identity)
      await expect(resource.begin(identity)).rejects.toMatchObject({ cause: { errno: 1440 } })
      await branch.abort()
    })

    test('foreign XA branches are not listed', async () => {
      const connection = await pool.getConnection()
      await connection.query("XA START 'stranger'")
      await connection.query('INSERT INTO t VALUES (1)')
      await connection.query("XA END 'stranger'")
      await connection.query("XA PREPARE 'stranger'")
      expect(await resource.inDoubt.list(CONTRACT_CLUSTER)).toEqual([])
      await connection.query("XA ROLLBACK 'stranger'")
      connection.release()
    })

    test('old evidence is forgotten, of the asked cluster only', async () => {
      const witnessed = mysql(pool, { name: 'witnessed', witness: 'proofs' })
      const identity = newIdentity(parseBranchId(3))
      const branch = await witnessed.begin(identity)
      await branch.session.query('INSERT INTO t VALUES (1)')
      await branch.prepare()
      await branch.commit()
      await witnessed.inDoubt.forgetEvidence(identity.cluster, Date.now() + 1_000)
      expect(await witnessed.inDoubt.evidence(identity, undefined)).toBe('none')
    })

    test('a witness table’s name that is no plain one is refused', () => {
      expect(() => mysql(pool, { name: 'x', witness: 't; DROP TABLE t' })).toThrow(ResourceMisconfiguredError)
    })

    test('a server that is down is unavailable; a user that is refused is misconfigured', async () => {
      const down = mysql(promiseMysql.createPool('mysql://root@127.0.0.1:1/app'), { name: 'down' })
      await expect(down.begin(newIdentity())).rejects.toThrow(ResourceUnavailableError)
      expect(await down.check()).toMatchObject([{ severity: 'fatal', what: 'unreachable' }])
      const refused = mysql(promiseMysql.createPool(server.url().replace('root@', 'stranger:x@')), { name: 'refused' })
      await expect(refused.begin(newIdentity())).rejects.toThrow(ResourceMisconfiguredError)
      expect(await refused.check()).toMatchObject([{ severity: 'fatal', what: 'refused' }])
    })
  })

  describe('a connection lost', () => {
    let proxy: CuttingProxy
    let pool: PromisePool
    let resource: Resource<PromiseConnection>
    beforeAll(async () => {
      proxy = await CuttingProxy.start(server.port)
      pool = promiseMysql.createPool(server.url().replace(String(server.port), String(proxy.port)))
      resource = mysql(pool, { name: 'far', witness: true })
    })
    afterAll(async () => {
      await pool.end().catch(() => {})
      await proxy.close()
    })
    test('P7: a database that takes questions and never answers does not use up a resolver’s sessions', async () => {
      const small = promiseMysql.createPool({
        uri: server.url().replace(String(server.port), String(proxy.port)),
        connectionLimit: 1,
      })
      const inDoubt = new MysqlInDoubt('far', mysqlDriver(small), undefined, () => small.end(), 200)
      proxy.stallAt('XA RECOVER')
      await expect(inDoubt.list(CONTRACT_CLUSTER)).rejects.toThrow(ResourceUnavailableError)
      expect(await inDoubt.list(parseClusterId('other'))).toEqual([])
      await inDoubt.close()
    })

    const beginWriting = async () => {
      const identity = newIdentity()
      const branch = await resource.begin(identity)
      await branch.session.query('INSERT INTO t VALUES (?)', [identity.txid])
      return { identity, branch }
    }

    test('after XA PREPARE arrived votes commit, because the branch is listed', async () => {
      const { identity, branch } = await beginWriting()
      proxy.cutAt('XA PREPARE', 'answer')
      expect(await branch.prepare()).toMatchObject({ kind: 'commit' })
      await expect.poll(() => branch.commit()).toEqual({ kind: 'done' })
      expect(await count(identity.txid)).toBe(1)
    })

    test('before XA PREPARE arrived is unknown, and the branch is gone', async () => {
      const { identity, branch } = await beginWriting()
      proxy.cutAt('XA PREPARE', 'request')
      expect(await branch.prepare()).toMatchObject({ kind: 'unknown' })
      expect(await branch.abort()).toEqual({ kind: 'unknownGid' })
      expect(await count(identity.txid)).toBe(0)
    })

    test('in phase two is unavailable; the retry finds the gid unknown, and the evidence says committed', async () => {
      const { identity, branch } = await beginWriting()
      const vote = await branch.prepare()
      proxy.cutAt('XA COMMIT', 'answer')
      await expect(branch.commit()).rejects.toThrow(ResourceUnavailableError)
      expect(await branch.commit()).toEqual({ kind: 'unknownGid' })
      const token = vote.kind === 'commit' ? vote.evidence : undefined
      expect(await resource.inDoubt.evidence(identity, token)).toBe('committed')
    })

    test('while it commits in one phase leaves the outcome unknown', async () => {
      const { branch } = await beginWriting()
      proxy.cutAt('XA COMMIT', 'answer')
      await expect(branch.commitOnePhase()).rejects.toMatchObject({ code: 'BRANCH_OUTCOME_UNKNOWN' })
    })
  })
})

test('versions where XA is not safe are refused', () => {
  const what = (version: string, binlog = false) => versionFindings(version, binlog).map((finding) => finding.what)
  expect(what('10.5.1-MariaDB')).toEqual(['serverTooOld'])
  expect(what('5.5.5-10.4.34-MariaDB-log')).toEqual(['serverTooOld'])
  expect(what('10.5.2-MariaDB')).toEqual([])
  expect(what('11.4.2-MariaDB', true)).toEqual([])
  expect(what('8.0.28')).toEqual(['serverTooOld'])
  expect(what('8.0.29', true)).toEqual(['binlogUnsafeXa'])
  expect(what('8.0.29')).toEqual([])
  expect(what('8.0.30', true)).toEqual([])
  expect(what('9.1.0', true)).toEqual([])
})
