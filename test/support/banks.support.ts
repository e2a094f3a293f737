import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { parseGid } from '../../src/base/index.ts'
import type { Concordat } from '../../src/client/index.ts'
import { findMariadb, LocalServers, MARIADB_INSTALL_HINT } from '../../src/localdb/index.ts'
import { mysql, postgres, type Resource } from '../../src/resources/index.ts'

export const noMariadb = findMariadb() === undefined
if (noMariadb) console.warn(`the MariaDB stories are skipped; to run them: ${MARIADB_INSTALL_HINT}`)

/** Accounts in each bank. */
export const ACCOUNTS = 64
const BALANCE = 1_000_000

/** Where the databases are, for other processes. */
export interface BankUrls {
  readonly north: string
  readonly south: string
  /** MariaDB, where it is installed. */
  readonly east: string | undefined
}

/** One bank, whatever its database. */
export interface Bank {
  readonly name: string
  /** Books `delta` on an account, and notes under which transfer. */
  book(concordatTx: Enlisting, transfer: string, account: number, delta: number): Promise<void>
  /** The transfers that are booked here. */
  transfers(): Promise<readonly string[]>
  total(): Promise<number>
  /** Gids of ours that are prepared here. */
  prepared(): Promise<readonly string[]>
  readonly resource: Resource<unknown>
  close(): Promise<void>
}

type Enlisting = Parameters<Parameters<Concordat['transaction']>[1]>[0]

/** Real databases with money in them: two PostgreSQL servers, and MariaDB where it is installed. */
export class Banks {
  readonly urls: BankUrls
  readonly banks: readonly Bank[]
  readonly #servers: LocalServers

  private constructor(servers: LocalServers, urls: BankUrls, banks: readonly Bank[]) {
    this.#servers = servers
    this.urls = urls
    this.banks = banks
  }

  static async start(): Promise<Banks> {
    const servers = new LocalServers()
    try {
      const [north, south, east] = await Promise.all([
        servers.startPostgres(),
        servers.startPostgres(),
        noMariadb ? undefined : servers.startMariadb(),
      ])
      const urls = { north: north.url(), south: south.url(), east: east?.url() }
      const banks = openBanks(urls)
      await Promise.all([
        ...[urls.north, urls.south].map((url) => fillPostgres(url)),
        urls.east === undefined ? undefined : fillMariadb(urls.east),
      ])
      return new Banks(servers, urls, banks)
    } catch (error) {
      await servers.close()
      throw error
    }
  }

  /** The configuration of the coordinators' resolver. */
  get configured(): { name: string; kind: 'postgres' | 'mysql'; url: string; witness?: boolean }[] {
    const { north, south, east } = this.urls
    return [
      { name: 'north', kind: 'postgres', url: north },
      { name: 'south', kind: 'postgres', url: south },
      ...(east === undefined ? [] : [{ name: 'east', kind: 'mysql' as const, url: east, witness: true }]),
    ]
  }

  /** Gids that are prepared anywhere. */
  async prepared(): Promise<readonly string[]> {
    return (await Promise.all(this.banks.map((bank) => bank.prepared()))).flat()
  }

  /** Which banks have booked this transfer. */
  async bookedIn(transfer: string): Promise<readonly string[]> {
    const found = await Promise.all(
      this.banks.map(async (bank) => ((await bank.transfers()).includes(transfer) ? bank.name : '')),
    )
    return found.filter((name) => name !== '')
  }

  /** All money of all banks: the same before and after, whatever happens between. */
  async total(): Promise<number> {
    const totals = await Promise.all(this.banks.map((bank) => bank.total()))
    return totals.reduce((sum, each) => sum + each, 0)
  }

  get totalAtStart(): number {
    return this.banks.length * ACCOUNTS * BALANCE
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.banks.map((bank) => bank.close()))
    await this.#servers.close()
  }
}

/** The banks at these databases, each with a pool of this process's own. */
export function openBanks({ north, south, east }: BankUrls): readonly Bank[] {
  return [
    postgresBank('north', north),
    postgresBank('south', south),
    ...(east === undefined ? [] : [mariadbBank('east', east)]),
  ]
}

async function fillPostgres(url: string): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(
    `create table accounts (id int primary key, balance bigint not null);
     create table transfers (id text primary key);
     insert into accounts select id, ${BALANCE} from generate_series(0, ${ACCOUNTS - 1}) id`,
  )
  await client.end()
}

async function fillMariadb(url: string): Promise<void> {
  const connection = await mysql2.createConnection(url)
  await connection.query('create table accounts (id int primary key, balance bigint not null) engine = InnoDB')
  await connection.query('create table transfers (id varchar(80) primary key) engine = InnoDB')
  const rows = Array.from({ length: ACCOUNTS }, (_, id) => [id, BALANCE])
  await connection.query('insert into accounts values ?', [rows])
  await connection.end()
}

function postgresBank(name: string, url: string): Bank {
  const pool = new pg.Pool({ connectionString: url, max: 24 })
  pool.on('error', () => {})
  const resource = postgres(pool, { name })
  return {
    name,
    resource,
    async book(tx, transfer, account, delta) {
      const session = await tx.enlist(resource)
      await session.query('insert into transfers values ($1)', [transfer])
      await session.query('update accounts set balance = balance + $2 where id = $1', [account, delta])
    },
    async transfers() {
      return (await pool.query<{ id: string }>('select id from transfers')).rows.map(({ id }) => id)
    },
    async total() {
      return Number((await pool.query<{ total: string }>('select sum(balance) as total from accounts')).rows[0]?.total)
    },
    async prepared() {
      const { rows } = await pool.query<{ gid: string }>('select gid from pg_prepared_xacts')
      return rows.filter(({ gid }) => parseGid(gid) !== undefined).map(({ gid }) => gid)
    },
    close: () => pool.end(),
  }
}

function mariadbBank(name: string, url: string): Bank {
  const pool = mysql2.createPool({ uri: url, connectionLimit: 24 })
  const resource = mysql(pool, { name, witness: true })
  return {
    name,
    resource,
    async book(tx, transfer, account, delta) {
      const session = await tx.enlist(resource)
      await session.query('insert into transfers values (?)', [transfer])
      await session.query('update accounts set balance = balance + ? where id = ?', [delta, account])
    },
    async transfers() {
      const [rows] = await pool.query('select id from transfers')
      return (rows as { id: string }[]).map(({ id }) => id)
    },
    async total() {
      const [rows] = await pool.query('select sum(balance) as total from accounts')
      return Number((rows as { total: string }[])[0]?.total)
    },
    async prepared() {
      const [rows] = await pool.query('xa recover')
      return (rows as { data: Buffer | string }[]).map(({ data }) => String(data))
    },
    close: () => pool.end(),
  }
}
