import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { silentLogger } from '../../src/coordinator/index.ts'
import { findMariadb, LocalServers, MARIADB_INSTALL_HINT } from '../../src/localdb/index.ts'
import { type Joining, type JoiningOptions, joining } from '../../src/participant/joining/index.ts'
import { mysql, postgres } from '../../src/resources/index.ts'
import { configSchema } from '../../src/server/config.ts'
import { CoordinatorServer } from '../../src/server/index.ts'
import { Fleet, freePorts } from '../support/fleet.support.ts'
import { until } from '../support/waiting.support.ts'

export const noMariadb = findMariadb() === undefined
if (noMariadb) console.warn(`the MariaDB stories are skipped; to run them: ${MARIADB_INSTALL_HINT}`)

/** One server of each kind, with a table of entries: what a branch wrote, and who wrote it. */
export class Places {
  readonly stockUrl: string
  readonly mailUrl: string | undefined
  readonly stockPool: pg.Pool
  readonly mailPool: mysql2.Pool | undefined
  readonly #servers: LocalServers

  private constructor(servers: LocalServers, stockUrl: string, mailUrl: string | undefined) {
    this.#servers = servers
    this.stockUrl = stockUrl
    this.mailUrl = mailUrl
    this.stockPool = new pg.Pool({ connectionString: stockUrl, max: 20 })
    this.stockPool.on('error', () => {})
    this.mailPool = mailUrl === undefined ? undefined : mysql2.createPool({ uri: mailUrl, connectionLimit: 20 })
  }

  static async start(): Promise<Places> {
    const servers = new LocalServers()
    const [stock, mail] = await Promise.all([servers.startPostgres(), noMariadb ? undefined : servers.startMariadb()])
    const places = new Places(servers, stock.url(), mail?.url())
    await places.stockPool.query('create table entries (what text primary key)')
    await places.stockPool.query(
      'create table accounts (id int primary key, balance int not null check (balance >= 0))',
    )
    await places.mailPool?.query('create table entries (what varchar(200) primary key) engine=innodb')
    return places
  }

  /** PostgreSQL, over a pool that this process shares. */
  get stock() {
    return postgres(this.stockPool, { name: 'stock' })
  }

  /** MariaDB. */
  get mail() {
    if (this.mailPool === undefined) throw new Error('MariaDB is not installed')
    return mysql(this.mailPool, { name: 'mail' })
  }

  /** As the coordinators' configuration has them. */
  get configured(): { name: string; kind: 'postgres' | 'mysql'; url: string; witness?: boolean }[] {
    const mail = this.mailUrl === undefined ? [] : [{ name: 'mail', kind: 'mysql' as const, url: this.mailUrl }]
    return [{ name: 'stock', kind: 'postgres', url: this.stockUrl }, ...mail]
  }

  /** All that is committed, of both. */
  async entries(): Promise<readonly string[]> {
    const { rows } = await this.stockPool.query<{ what: string }>('select what from entries')
    const [mails] = (await this.mailPool?.query('select what from entries')) ?? [[]]
    return [...rows, ...(mails as { what: string }[])].map(({ what }) => what).sort()
  }

  /** What PostgreSQL has prepared. */
  async prepared(): Promise<readonly string[]> {
    const { rows } = await this.stockPool.query<{ gid: string }>('select gid from pg_prepared_xacts')
    return rows.map(({ gid }) => gid)
  }

  /** Sessions of PostgreSQL that are inside a transaction. */
  async inTransaction(): Promise<number> {
    const sql = "select count(*)::int as n from pg_stat_activity where state like 'idle in transaction%'"
    const { rows } = await this.stockPool.query<{ n: number }>(sql)
    return rows[0]?.n ?? 0
  }

  /** Until nothing is open or prepared. */
  async quiet(patienceMs?: number): Promise<void> {
    await until(
      'nothing is open or prepared',
      async () => (await this.prepared()).length === 0 && (await this.inTransaction()) === 0,
      patienceMs,
    )
  }

  async clear(): Promise<void> {
    await this.stockPool.query('delete from entries')
    await this.mailPool?.query('delete from entries')
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.stockPool.end(), this.mailPool?.end()])
    await this.#servers.close()
  }
}

/** Coordinator processes whose resolver knows the places. */
export function fleetFor(places: Places): Promise<Fleet> {
  return Fleet.start({ config: { resources: places.configured } })
}

/** The same over any PostgreSQL servers, by their names. */
export function fleetOver(urls: Readonly<Record<string, string>>): Promise<Fleet> {
  const resources = Object.entries(urls).map(([name, url]) => ({ name, kind: 'postgres' as const, url }))
  return Fleet.start({ size: 1, config: { resources } })
}

/** Who decides: coordinators in processes of their own, or `LoneCoordinator`. */
export interface Deciding {
  readonly addresses: readonly string[]
  readonly cluster: string
}

/** One coordinator in this process, on its own log and a real port: for stories in which no coordinator dies. */
export class LoneCoordinator implements Deciding {
  readonly cluster = 'test'
  readonly addresses: readonly string[]
  readonly server: CoordinatorServer
  readonly #directory: string

  private constructor(server: CoordinatorServer, address: string, directory: string) {
    this.server = server
    this.addresses = [address]
    this.#directory = directory
  }

  static async start(places: Places): Promise<LoneCoordinator> {
    const directory = mkdtempSync(join(tmpdir(), 'cdt-joining-'))
    const address = `127.0.0.1:${(await freePorts(1))[0]}`
    const members = [{ id: 1, address }]
    const data = join(directory, 'data')
    const config = configSchema.parse({ cluster: 'test', node: 1, data, members, resources: places.configured })
    const server = await CoordinatorServer.start(config, silentLogger)
    await until('the coordinator serves', () => server.status().serving)
    return new LoneCoordinator(server, address, directory)
  }

  /** Decisions that not every branch has acknowledged. */
  get decided(): number {
    return this.server.status().transactions.decided
  }

  async stop(): Promise<void> {
    await this.server.stop()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** Joins as a service does; closed with the test. */
export async function joiningOf(
  fleet: Deciding,
  options: Pick<JoiningOptions, 'resources'> & Partial<JoiningOptions>,
): Promise<Joining> {
  const joins = await joining({
    coordinators: fleet.addresses,
    clusterId: fleet.cluster,
    closeTimeoutMs: 300,
    ...options,
  })
  onTestFinished(() => joins.close())
  return joins
}

/** A server on loopback; closed with the test. @returns its URL */
export async function serve(listener: RequestListener | Server): Promise<string> {
  const server = typeof listener === 'function' ? createServer(listener) : listener
  if (!server.listening) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}
