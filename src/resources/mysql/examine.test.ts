import mysql2 from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../base/index.ts'
import { findMariadb, type LocalServer, LocalServers, MARIADB_INSTALL_HINT } from '../../localdb/index.ts'
import type { Observation } from '../inspection.ts'
import { examineMysql } from './examine.ts'
import { mysqlFromUrl } from './index.ts'

const hasMariadb = findMariadb() !== undefined
const title = hasMariadb ? 'MariaDB' : `MariaDB (skipped: run "${MARIADB_INSTALL_HINT}")`

const worse = (found: readonly Observation[]) =>
  found.filter(({ level }) => level !== 'ok').map(({ level, what }) => `${level} ${what}`)

describe.skipIf(!hasMariadb)(title, () => {
  const servers = new LocalServers()
  let good: LocalServer
  let bad: LocalServer
  beforeAll(async () => {
    ;[good, bad] = await Promise.all([
      servers.startMariadb(),
      servers.startMariadb({
        settings: {
          innodb_flush_log_at_trx_commit: '2',
          log_bin: 'binlog',
          server_id: '7',
          sync_binlog: '0',
          innodb_doublewrite: '0',
          binlog_do_db: 'app',
          default_storage_engine: 'Aria',
        },
      }),
    ])
    const admin = await mysql2.createConnection(good.url())
    await admin.query('create table nights (id int) engine=InnoDB')
    await admin.query("create user poor identified by 'x'")
    await admin.query('grant all on app.* to poor')
    await admin.end()
  })
  afterAll(() => servers.close())

  async function examine(server: LocalServer, user = 'root'): Promise<readonly Observation[]> {
    const url = new URL(server.url())
    if (user !== 'root') Object.assign(url, { username: user, password: 'x' })
    const resource = await mysqlFromUrl(url.href, { name: 'hotels', witness: true })
    try {
      return await resource.inspection!.examine()
    } finally {
      await resource.inDoubt.close()
    }
  }

  test('a server that is well set up has nothing but ok, and nothing is made in it', async () => {
    const found = await examine(good)
    expect(worse(found)).toEqual([])
    expect(found.map(({ what }) => what)).toEqual([
      'version',
      'xaRecover',
      'seesTransactions',
      'engine',
      'durability',
      'clock',
    ])
    const admin = await mysql2.createConnection(good.url())
    const [tables] = await admin.query("show tables like 'concordat%'")
    expect(tables, 'no witness table').toEqual([])
    await admin.end()
  })

  test('settings that lose votes are named, each with what to do', async () => {
    const found = await examine(bad)
    expect(worse(found)).toEqual([
      'warning notInnodb',
      'error flushOff',
      'warning syncBinlog',
      'warning replicationFilters',
    ])
    for (const { level, advice } of found) if (level !== 'ok') expect(advice).toMatch(/\.$/)
    expect(found.find(({ what }) => what === 'flushOff')?.message).toMatch(/is 2: a crash of the machine loses votes/)
  })

  test('a replica that commits do not wait for is found', async () => {
    const copy = await servers.startMariadb({ settings: { server_id: '8' } })
    const [replica, primary] = await Promise.all([
      mysql2.createConnection(copy.url()),
      mysql2.createConnection(bad.url()),
    ])
    const from = "master_host='127.0.0.1', master_user='root', master_log_file='binlog.000001', master_log_pos=4"
    await replica.query(`change master to ${from}, master_port=${bad.port}`)
    await replica.query('start slave')
    await expect.poll(async () => worse(await examine(bad))).toContain('warning asynchronousReplicas')

    await replica.query('stop slave')
    await replica.query('set global rpl_semi_sync_slave_enabled = 1')
    await primary.query('set global rpl_semi_sync_master_enabled = 1')
    await replica.query('start slave')
    const clients = async () => (await primary.query("show status like 'Rpl_semi_sync_master_clients'"))[0]
    await expect.poll(clients).toMatchObject([{ Value: '1' }])
    expect(worse(await examine(bad))).not.toContain('warning asynchronousReplicas')
    await primary.query('set global rpl_semi_sync_master_enabled = 0')
    await Promise.all([replica.end(), primary.end()])
    await copy.stop()
  })

  test('tables of another engine are named', async () => {
    const admin = await mysql2.createConnection(good.url())
    await admin.query('create table loose (id int) engine=MyISAM')
    const found = await examine(good)
    expect(worse(found)).toEqual(['warning notInnodb'])
    expect(found.find(({ what }) => what === 'notInnodb')?.message).toMatch(/^1 table is not InnoDB: loose \(MyISAM\)/)
    await admin.query('drop table loose')
    await admin.end()
  })

  test('a replica that is read-only is an error', async () => {
    const admin = await mysql2.createConnection(good.url())
    await admin.query('set global read_only = 1')
    expect(worse(await examine(good))).toEqual(['error readOnly'])
    await admin.query('set global read_only = 0')
    await admin.end()
  })

  test('a user without PROCESS is warned: deadlocks are not found, and in-doubt shows less', async () => {
    const found = await examine(good, 'poor')
    expect(worse(found)).toEqual(['warning transactionsHidden'])
    expect(found.find(({ what }) => what === 'transactionsHidden')?.advice).toMatch(/GRANT PROCESS/)
  })

  test('a user that is refused is an error that says so', async () => {
    expect(await examine(good, 'stranger')).toMatchObject([{ level: 'error', what: 'refused' }])
  })
})

describe('MySQL, by its answers', () => {
  const server = {
    version: '8.0.36',
    binlog: 1,
    sync_binlog: 1,
    flush: 1,
    doublewrite: 'ON',
    read_only: 0,
    engine: 'InnoDB',
  }
  const refusal = (errno: number) => Object.assign(new Error('denied'), { errno, sqlState: '42000' })

  function answering(answers: Readonly<Record<string, unknown>>) {
    return async (sql: string): Promise<readonly Record<string, unknown>[]> => {
      const answer = Object.entries(answers).find(([part]) => sql.includes(part))?.[1]
      if (answer instanceof Error) throw answer
      return (answer ?? []) as readonly Record<string, unknown>[]
    }
  }
  const row = () => ({ ...server, username: 'app@%', clock_ms: Date.now() })

  test('without XA_RECOVER_ADMIN nobody finds branches: an error', async () => {
    const run = answering({ 'VERSION()': [row()], 'XA RECOVER': refusal(1401) })
    expect(worse(await examineMysql(run, systemClock))).toEqual(['error xaRecoverRefused'])
  })

  test('replicas without semi-synchronous replication are a warning, with it they are not', async () => {
    const dump = [{ id: 9 }]
    const answers = { 'VERSION()': [row()], 'Binlog Dump': dump }
    expect(worse(await examineMysql(answering(answers), systemClock))).toEqual(['warning asynchronousReplicas'])
    const semi = { ...answers, 'SHOW GLOBAL STATUS': [{ Value: 'ON' }] }
    expect(worse(await examineMysql(answering(semi), systemClock))).toEqual([])
  })

  test('a binary log that may disagree with XA is a warning, a server that is too old an error', async () => {
    const of = (version: string) => answering({ 'VERSION()': [{ ...row(), version }] })
    expect(worse(await examineMysql(of('8.0.29'), systemClock))).toEqual(['warning binlogUnsafeXa'])
    expect(worse(await examineMysql(of('8.0.28'), systemClock))).toEqual(['error serverTooOld'])
  })

  test('MySQL 8.4 names its binary log with other words', async () => {
    const run = answering({
      'VERSION()': [{ ...row(), version: '8.4.0' }],
      'SHOW MASTER STATUS': refusal(1064),
      'SHOW BINARY LOG STATUS': [{ Binlog_Do_DB: '', Binlog_Ignore_DB: 'app' }],
    })
    expect(worse(await examineMysql(run, systemClock))).toEqual(['warning replicationFilters'])
  })
})
