import { randomBytes } from 'node:crypto'
import promiseMysql from 'mysql2/promise'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type BranchId, makeTxid, type NodeId, systemClock, type Txid } from '../base/index.ts'
import { findMariadb, type LocalServer, LocalServers, MARIADB_INSTALL_HINT } from '../localdb/index.ts'
import { Replica } from '../replica/index.ts'
import {
  type Branch,
  type InDoubtPort,
  mysql,
  mysqlInDoubtFromUrl,
  postgres,
  postgresInDoubtFromUrl,
  type Resource,
} from '../resources/index.ts'
import type { BranchRecord } from '../txn/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { CLUSTER } from './coordinator.test-support.ts'
import { Coordinator } from './coordinator.ts'
import { coordinatorPort } from './coordinator-port.ts'
import { silentLogger } from './logger.ts'
import type { CoordinatorPort } from './requests.ts'
import { Resolver } from './resolver.ts'

// The whole thing: a coordinator on its own log (a group of one), the resolver, and a database that really prepares.

/** A database, and an application's way to it that can die. */
interface Database {
  readonly server: LocalServer
  /** What an application enlists, with sessions that `die` cuts. */
  application(): { readonly resource: Resource<Session>; die(): Promise<void> }
  inDoubt(): Promise<InDoubtPort>
  count(key: string): Promise<number>
  /** An operator's mistake: rolls the branch back by hand. */
  rollBackByHand(branch: Branch<Session>, txid: Txid): Promise<void>
  close(): Promise<void>
}

/** The part of both drivers' sessions that these tests use. */
type Session = { query(sql: string): Promise<unknown> }

async function postgresDatabase(servers: LocalServers): Promise<Database> {
  const server = await servers.startPostgres()
  const newPool = () => {
    const pool = new pg.Pool({ connectionString: server.url(), max: 3 })
    pool.on('error', () => {})
    return pool
  }
  const admin = newPool()
  await admin.query('CREATE TABLE t (k text)')
  return {
    server,
    application() {
      const pool = newPool()
      const clients: pg.PoolClient[] = []
      pool.on('connect', (client) => clients.push(client))
      return {
        resource: postgres(pool, { name: 'flights' }) as unknown as Resource<Session>,
        async die() {
          // Without `pool.end()`: a dead process says no goodbye, and pg waits for ever for one that lost its socket.
          for (const client of clients) (client as unknown as RawClient).connection.stream.destroy()
        },
      }
    },
    inDoubt: () => postgresInDoubtFromUrl(server.url(), { name: 'flights' }),
    count: async (key) => (await admin.query('SELECT count(*)::int AS n FROM t WHERE k = $1', [key])).rows[0].n,
    async rollBackByHand(branch) {
      await admin.query(`ROLLBACK PREPARED '${branch.gid}'`)
    },
    close: () => admin.end(),
  }
}

type RawClient = { readonly connection: { readonly stream: { destroy(): void } } }

async function mariadbDatabase(servers: LocalServers): Promise<Database> {
  const server = await servers.startMariadb()
  const admin = promiseMysql.createPool({ uri: server.url(), connectionLimit: 2 })
  await admin.query('CREATE TABLE t (k varchar(80)) ENGINE=InnoDB')
  return {
    server,
    application() {
      const pool = promiseMysql.createPool({ uri: server.url(), connectionLimit: 3 })
      const connections: { destroy(): void }[] = []
      pool.pool.on('connection', (connection) => connections.push(connection))
      return {
        resource: mysql(pool, { name: 'flights', witness: true }) as unknown as Resource<Session>,
        async die() {
          for (const connection of connections) connection.destroy()
          await pool.end().catch(() => {})
        },
      }
    },
    inDoubt: () => mysqlInDoubtFromUrl(server.url(), { name: 'flights', witness: true }),
    async count(key) {
      const [rows] = await admin.query('SELECT count(*) AS n FROM t WHERE k = ?', [key])
      return (rows as { n: number }[])[0]!.n
    },
    async rollBackByHand(_branch, txid) {
      await eventually('the operator can roll back', async () => {
        await admin.query(`XA ROLLBACK 'cdt_${CLUSTER}_${txid}','0',1`).catch(() => {})
        const [rows] = await admin.query('XA RECOVER')
        return !JSON.stringify((rows as { data: Buffer }[]).map(({ data }) => `${data}`)).includes(txid)
      })
    },
    close: () => admin.end(),
  }
}

async function eventually(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 10_000
  while (!(await check())) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`it did not happen: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const MARIADB = findMariadb() === undefined ? `MariaDB (skipped: run "${MARIADB_INSTALL_HINT}")` : 'MariaDB'

describe('the resolver on PostgreSQL', () => resolverSuite(postgresDatabase))
describe.skipIf(findMariadb() === undefined)(`the resolver on ${MARIADB}`, () => resolverSuite(mariadbDatabase))

function resolverSuite(startDatabase: (servers: LocalServers) => Promise<Database>): void {
  const servers = new LocalServers()
  let database: Database
  let coordinator: Coordinator
  let resolver: Resolver
  let port: CoordinatorPort
  let inDoubt: InDoubtPort

  beforeAll(async () => {
    database = await startDatabase(servers)
  })
  afterAll(async () => {
    await database?.close()
    await servers.close()
  })

  const start = async (): Promise<void> => {
    const nodeId = 1 as NodeId
    const log = await Replica.open({
      nodeId,
      clusterId: CLUSTER,
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
    inDoubt = await database.inDoubt()
    coordinator = new Coordinator({ log, clusterId: CLUSTER, clock: systemClock, seed: 1 })
    resolver = new Resolver({
      coordinator,
      clusterId: CLUSTER,
      resources: [{ name: 'flights', port: inDoubt }],
      clock: systemClock,
      seed: 1,
      options: { scanMs: 100, graceMs: 150, retryMaxMs: 200 },
    })
    port = coordinatorPort(coordinator, systemClock)
    resolver.start()
    await coordinator.start()
    await eventually('the coordinator leads', () => coordinator.isLeading)
  }
  afterEach(async () => {
    await resolver?.close()
    await coordinator?.close()
    await inDoubt?.close()
  })

  /** An application that wrote a row named by its txid, and prepared. */
  const prepared = async () => {
    const txid = makeTxid(Date.now(), randomBytes(10))
    const application = database.application()
    const branch = await application.resource.begin({ cluster: CLUSTER, txid, branch: 0 as BranchId })
    await branch.session.query(`INSERT INTO t VALUES ('${txid}')`)
    const vote = await branch.prepare()
    if (vote.kind !== 'commit') throw new Error(`it voted ${vote.kind}`)
    const record: BranchRecord = {
      branch: 0 as BranchId,
      kind: 'local',
      participant: 'flights',
      vote: 'commit',
      evidence: vote.evidence,
    }
    return { txid, branch, application, request: { clusterId: CLUSTER, txid, timeoutMs: 5_000, branches: [record] } }
  }
  const listed = async (txid: Txid) => (await inDoubt.list(CLUSTER)).some((branch) => branch.txid === txid)
  const completed = (txid: Txid) => coordinator.transaction(txid)?.state === 'completed'

  test('a branch left by an application that died before its commit request is rolled back', async () => {
    await start()
    const { txid, application } = await prepared()
    await application.die()
    coordinator.clientGone()
    await eventually('the branch is gone', async () => !(await listed(txid)))
    expect(await database.count(txid)).toBe(0)
    expect(coordinator.knowledge(txid)).toMatchObject({ kind: 'aborted', reason: 'presumed' })
  })

  test('a committed transaction whose application died before phase two is committed', async () => {
    await start()
    const { txid, application, request } = await prepared()
    expect(await port.commit(request)).toEqual({ kind: 'outcome', outcome: { kind: 'committed' } })
    await application.die()
    await eventually('it is completed', () => completed(txid))
    expect(await database.count(txid)).toBe(1)
    expect(await listed(txid)).toBe(false)
  })

  test('an application that died between phase two and its acknowledgement is settled by evidence', async () => {
    await start()
    const { txid, branch, application, request } = await prepared()
    await port.commit(request)
    expect(await branch.commit()).toEqual({ kind: 'done' })
    await application.die()
    await eventually('it is completed', () => completed(txid))
    expect(coordinator.transaction(txid)?.heuristics).toEqual([])
    expect(await database.count(txid)).toBe(1)
  })

  test('P1: a committed branch that somebody rolled back by hand is reported', async () => {
    await start()
    const { txid, branch, application, request } = await prepared()
    await resolver.close()
    await port.commit(request)
    await application.die()
    await database.rollBackByHand(branch, txid)
    resolver.start()
    await eventually('it is completed', () => completed(txid))
    expect(coordinator.transaction(txid)).toMatchObject({
      heuristics: [{ branch: 0, found: 'aborted' }],
      heuristicMixed: true,
    })
  })

  test('a live application that is slow keeps its branch until the decision, and the resolver never breaks it', async () => {
    await start()
    const { txid, branch, application, request } = await prepared()
    await port.commit(request)
    await eventually('the resolver has looked', () => (resolver.status().resources[0]?.scanAgeMs ?? 0) > 0)
    // Both want the same, so whoever comes second finds it done, or not known any more.
    await branch.commit()
    coordinator.ack(txid, [0 as BranchId])
    await eventually('it is completed', () => completed(txid))
    expect(await database.count(txid)).toBe(1)
    expect(coordinator.transaction(txid)?.heuristics).toEqual([])
    await application.die()
  })

  test('a database that was killed is settled when it is back', async () => {
    await start()
    const { txid, application, request } = await prepared()
    await resolver.close()
    await port.commit(request)
    await application.die()
    await database.server.kill()
    resolver.start()
    await eventually('the resolver shows the error', () => resolver.status().resources[0]?.error !== undefined)
    await database.server.restart()
    await eventually('it is completed', () => completed(txid))
    expect(resolver.status().resources[0]?.error).toBeUndefined()
    expect(await database.count(txid)).toBe(1)
  })
}
