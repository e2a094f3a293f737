import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { parseGid } from '../../src/base/index.ts'
import type { Transaction } from '../../src/client/index.ts'
import { type LocalServer, LocalServers } from '../../src/localdb/index.ts'
import { mysql, postgres } from '../../src/resources/index.ts'
import { ServiceProcess } from '../http-services/http-services.support.ts'
import { KvProcess } from '../participants/key-value.support.ts'
import { noMariadb } from '../support/banks.support.ts'
import { Fleet, freePorts } from '../support/fleet.support.ts'
import type { VaultOrders } from './vault-service.ts'

export const ACCOUNTS = 10
export const BALANCE = 100
const SECRET = 'what only the vault and its coordinators know'
const VAULT = fileURLToPath(new URL('./vault-service.ts', import.meta.url))
const CHECKED = 'balance int not null check (balance >= 0)'

/** A bank, whatever kind of participant it is. */
export interface Bank {
  readonly name: string
  /** Changes an account within a transaction, and notes the txid. */
  move(tx: Transaction, account: number, amount: number): Promise<void>
  /** The money in all accounts, which nobody changes any more until the transaction has read everything. */
  sum(tx: Transaction): Promise<number>
  /** The same, from outside: what is committed now. */
  total(): Promise<number>
  /** Transactions that moved money here. */
  txids(): Promise<ReadonlySet<string>>
}

/** A bank of each kind, and the fleet that decides over them. */
export class FourBanks {
  readonly fleet: Fleet
  /** In the order in which transactions use them: two that met in another order would wait for each other. */
  readonly banks: readonly Bank[]
  /** Processes to kill; each comes back at the same place. */
  readonly processes: readonly { kill(): Promise<unknown>; restart(): Promise<void> }[]

  private constructor(fleet: Fleet, banks: readonly Bank[], processes: FourBanks['processes']) {
    this.fleet = fleet
    this.banks = banks
    this.processes = processes
  }

  /** Starts all of them for the test that runs now. */
  static async open(): Promise<FourBanks> {
    const servers = new LocalServers()
    onTestFinished(() => servers.close())
    const settings = { max_prepared_transactions: '64', max_connections: '100' }
    const [north, east] = await Promise.all([
      servers.startPostgres({ settings }),
      noMariadb ? servers.startPostgres({ settings }) : servers.startMariadb(),
    ])
    const [port = 0] = await freePorts(1)
    const fleet = await Fleet.start({
      config: {
        resources: [
          { name: 'north', kind: 'postgres', url: north.url() },
          { name: 'east', kind: east.kind === 'postgres' ? 'postgres' : 'mysql', url: east.url() },
        ],
        participants: [
          { name: 'ledger' },
          { name: 'vault', url: `http://127.0.0.1:${port}/concordat`, secret: SECRET, timeoutMs: 1_000 },
        ],
      },
    })
    const rules = [{ kind: 'notBelowZero', prefix: 'account/' }]
    const ledger = await KvProcess.start(fleet, 'ledger', { rules, limits: { lockTimeoutMs: 2_000 } })
    const vault = await startVault(fleet, north, port)
    const banks = [await postgresBank(north), await eastBank(east), await keyValueBank(ledger), vault.bank]
    const processes = [ledger, { kill: () => vault.process.kill(), restart: () => vault.process.start() }]
    return new FourBanks(fleet, banks, processes)
  }
}

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 20 })
  pool.on('error', () => {})
  onTestFinished(() => pool.end())
  return pool
}

async function postgresBank(server: LocalServer, name = 'north'): Promise<Bank> {
  const pool = openPool(server.url())
  await fill(pool, '')
  const resource = postgres(pool, { name })
  return {
    name,
    async move(tx, account, amount) {
      const db = await tx.enlist(resource)
      await db.query('update accounts set balance = balance + $2 where id = $1', [account, amount])
      await db.query('insert into booked values ($1)', [tx.txid])
    },
    async sum(tx) {
      const db = await tx.enlist(resource)
      const { rows } = await db.query<{ balance: number }>('select balance from accounts order by id for share')
      return rows.reduce((sum, { balance }) => sum + balance, 0)
    },
    total: () => totalOf(pool),
    txids: () => bookedIn(pool),
  }
}

async function eastBank(server: LocalServer): Promise<Bank> {
  if (server.kind === 'postgres') return postgresBank(server, 'east')
  const pool = mysql2.createPool({ uri: server.url(), connectionLimit: 20 })
  onTestFinished(() => pool.end())
  await pool.query(`create table accounts (id int primary key, ${CHECKED}) engine = InnoDB`)
  await pool.query('create table booked (txid varchar(64) primary key) engine = InnoDB')
  await pool.query('insert into accounts values ?', [numbers().map((id) => [id, BALANCE])])
  const resource = mysql(pool, { name: 'east', witness: true })
  const sumOf = (rows: unknown): number => (rows as { balance: number }[]).reduce((sum, row) => sum + row.balance, 0)
  return {
    name: 'east',
    async move(tx, account, amount) {
      const db = await tx.enlist(resource)
      await db.query('update accounts set balance = balance + ? where id = ?', [amount, account])
      await db.query('insert into booked values (?)', [tx.txid])
    },
    async sum(tx) {
      const db = await tx.enlist(resource)
      const [rows] = await db.query('select balance from accounts order by id lock in share mode')
      return sumOf(rows)
    },
    async total() {
      const [rows] = await pool.query('select balance from accounts')
      return sumOf(rows)
    },
    async txids() {
      const [rows] = await pool.query('select txid from booked')
      return new Set((rows as { txid: string }[]).map(({ txid }) => txid))
    },
  }
}

async function keyValueBank(ledger: KvProcess): Promise<Bank> {
  const store = ledger.store()
  await Promise.all(numbers().map((id) => store.put(`account/${id}`, BALANCE)))
  const sumOf = (entries: readonly { readonly value: unknown }[]): number =>
    entries.reduce((sum, { value }) => sum + Number(value), 0)
  return {
    name: ledger.name,
    async move(tx, account, amount) {
      const branch = await tx.enlist(store)
      await branch.add(`account/${account}`, amount)
      await branch.put(`booked/${tx.txid}`, amount)
    },
    async sum(tx) {
      const branch = await tx.enlist(store)
      return sumOf((await branch.scan({ prefix: 'account/' })).entries)
    },
    total: async () => sumOf((await store.scan({ prefix: 'account/' })).entries),
    async txids() {
      const found = new Set<string>()
      for (let from: string | undefined = 'booked/'; from !== undefined; ) {
        const page = await store.scan({ prefix: 'booked/', from })
        for (const { key } of page.entries) found.add(key.slice('booked/'.length))
        from = page.next
      }
      return found
    },
  }
}

async function startVault(
  fleet: Fleet,
  server: LocalServer,
  port: number,
): Promise<{ readonly bank: Bank; readonly process: ServiceProcess }> {
  const admin = openPool(server.url())
  await admin.query('create database vault')
  const pool = openPool(server.url('vault'))
  await fill(pool, ', holder text, change int not null default 0')
  const orders: VaultOrders = {
    clusterId: fleet.cluster,
    port,
    secret: SECRET,
    journal: join(fleet.directory, 'vault'),
    database: server.url('vault'),
  }
  const command = [process.execPath, '--import', 'tsx', VAULT, JSON.stringify(orders)]
  const vault = new ServiceProcess('vault', port, command)
  await vault.start()
  const bank: Bank = {
    name: 'vault',
    async move(tx, account, amount) {
      await vault.call(tx, '/move', { account, amount })
    },
    async sum(tx) {
      return ((await vault.call(tx, '/sum', {})) as { readonly sum: number }).sum
    },
    total: () => totalOf(pool),
    async txids() {
      return new Set([...(await bookedIn(pool))].map((gid) => parseGid(gid)?.txid ?? gid))
    },
  }
  return { bank, process: vault }
}

async function fill(pool: pg.Pool, columns: string): Promise<void> {
  await pool.query(`create table accounts (id int primary key, ${CHECKED}${columns})`)
  await pool.query('create table booked (txid text primary key)')
  await pool.query(`insert into accounts select id, ${BALANCE} from generate_series(0, ${ACCOUNTS - 1}) id`)
}

async function totalOf(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ sum: string }>('select sum(balance) from accounts')
  return Number(rows[0]?.sum)
}

async function bookedIn(pool: pg.Pool): Promise<ReadonlySet<string>> {
  const { rows } = await pool.query<{ txid: string }>('select txid from booked')
  return new Set(rows.map(({ txid }) => txid))
}

function numbers(): readonly number[] {
  return Array.from({ length: ACCOUNTS }, (_, index) => index)
}
