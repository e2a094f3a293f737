import { createPool } from 'mysql2/promise'
import pg from 'pg'
import { findMariadb, type LocalServer, LocalServers } from '../localdb/index.ts'
import type { HotelsPool, TripPools } from './trip.ts'

/** Where the three databases are: everything another process needs to reach them. */
export interface WorldUrls {
  readonly flights: string
  readonly hotels: { readonly kind: 'mysql' | 'postgres'; readonly url: string }
  readonly payments: string
}

/** Accounts; every fiftieth is poor, so that some bookings fail for want of money. */
export const ACCOUNTS = 2_000
const RICH = 1_000_000_000
/** Seats and rooms are added this many at a time, ahead of the bookings. */
const BLOCK = 20_000
/** Prepared branches a database can hold: more than the applications' concurrent bookings. */
const PREPARED_MAX = '256'

/** The stage: three real database servers with their tables. */
export class World {
  readonly urls: WorldUrls
  /** One line a database: what runs here, for people. */
  readonly described: readonly string[]
  readonly #servers: LocalServers
  readonly #pools: TripPools
  #blocks = 0

  private constructor(servers: LocalServers, urls: WorldUrls, described: readonly string[]) {
    this.#servers = servers
    this.urls = urls
    this.described = described
    this.#pools = openPools(urls, 2)
  }

  /** Starts the servers and fills the tables. Takes some seconds on a cold machine. */
  static async start(progress: (line: string) => void): Promise<World> {
    const servers = new LocalServers()
    try {
      const postgresOptions = { settings: { max_prepared_transactions: PREPARED_MAX, max_connections: '200' } }
      progress('starting PostgreSQL for flights and payments')
      const flights = await servers.startPostgres(postgresOptions)
      const payments = await servers.startPostgres(postgresOptions)
      const hotels = await startHotels(servers, postgresOptions, progress)
      const urls: WorldUrls = {
        flights: flights.url(),
        hotels: { kind: hotels.kind === 'mariadb' ? 'mysql' : 'postgres', url: hotels.url() },
        payments: payments.url(),
      }
      const world = new World(servers, urls, [
        `flights  PostgreSQL on port ${flights.port}`,
        `hotels   ${hotels.kind === 'mariadb' ? 'MariaDB' : 'PostgreSQL'} on port ${hotels.port}`,
        `payments PostgreSQL on port ${payments.port}`,
      ])
      progress('creating seats, rooms and accounts')
      await world.#createTables()
      await world.extendTo(0)
      return world
    } catch (error) {
      await servers.close()
      throw error
    }
  }

  /** The pools of the stage itself: for the audit and the monitor. */
  get pools(): TripPools {
    return this.#pools
  }

  /** Money that existed at the start: it must be the same at the end, in accounts and payments together. */
  get moneyAtStart(): bigint {
    let total = 0n
    for (let id = 1; id <= ACCOUNTS; id++) total += BigInt(isPoor(id) ? 0 : RICH)
    return total
  }

  /** Makes seats and rooms well beyond number `horizon`. */
  async extendTo(horizon: number): Promise<void> {
    while (this.#blocks * BLOCK < horizon + BLOCK) {
      const from = this.#blocks++ * BLOCK + 1
      await Promise.all([
        this.#pools.flights.query('insert into seats (id) select generate_series($1::int, $2::int)', [
          from,
          from + BLOCK - 1,
        ]),
        addRooms(this.#pools.hotels, from, from + BLOCK - 1),
      ])
    }
  }

  /** Stops the servers and removes their directories. */
  async stop(): Promise<void> {
    await Promise.allSettled([this.#pools.flights.end(), this.#pools.hotels.pool.end(), this.#pools.payments.end()])
    await this.#servers.close()
  }

  async #createTables(): Promise<void> {
    const { flights, hotels, payments } = this.#pools
    await flights.query('create table seats (id int primary key, taken_by text)')
    await createRooms(hotels)
    await payments.query(
      `create table accounts (id int primary key, balance bigint not null check (balance >= 0));
       create table payments (booking text primary key, account int not null, amount bigint not null)`,
    )
    await payments.query(
      'insert into accounts select id, case when id % 50 = 0 then 0 else $2::bigint end from generate_series(1, $1::int) id',
      [ACCOUNTS, RICH],
    )
  }
}

function isPoor(account: number): boolean {
  return account % 50 === 0
}

async function startHotels(
  servers: LocalServers,
  postgresOptions: { readonly settings: Readonly<Record<string, string>> },
  progress: (line: string) => void,
): Promise<LocalServer> {
  if (findMariadb() !== undefined) {
    progress('starting MariaDB for hotels')
    return await servers.startMariadb({ settings: { 'max-connections': '200' } })
  }
  progress('mariadbd is not on this machine: a third PostgreSQL takes its place for hotels')
  return await servers.startPostgres(postgresOptions)
}

async function createRooms(hotels: HotelsPool): Promise<void> {
  if (hotels.kind === 'postgres') await hotels.pool.query('create table rooms (id int primary key, taken_by text)')
  else
    await hotels.pool.query(
      'create table rooms (id int primary key, taken_by varchar(64), key (taken_by)) engine = InnoDB',
    )
}

async function addRooms(hotels: HotelsPool, from: number, to: number): Promise<void> {
  if (hotels.kind === 'postgres') {
    await hotels.pool.query('insert into rooms (id) select generate_series($1::int, $2::int)', [from, to])
    return
  }
  const ids = Array.from({ length: to - from + 1 }, (_, index) => [from + index])
  await hotels.pool.query('insert into rooms (id) values ?', [ids])
}

/** Opens a pool on each database. */
export function openPools(urls: WorldUrls, connectionsMax: number): TripPools {
  const postgresPool = (url: string) => {
    const pool = new pg.Pool({ connectionString: url, max: connectionsMax })
    // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
    pool.on('error', () => {})
    return pool
  }
  const { kind, url } = urls.hotels
  return {
    flights: postgresPool(urls.flights),
    hotels:
      kind === 'mysql'
        ? { kind, pool: createPool({ uri: url, connectionLimit: connectionsMax }) }
        : { kind, pool: postgresPool(url) },
    payments: postgresPool(urls.payments),
  }
}
