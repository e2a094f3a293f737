import type pg from 'pg'
import { findMariadb, type LocalServer, LocalServers } from '../localdb/index.ts'
import { type DatabasePlaces, type HotelsPool, openHotels, openPostgres } from './companies.ts'

/** Seats and rooms are added this many at a time, ahead of the bookings. */
const BLOCK = 20_000
/** Prepared branches a database can hold: more than the applications' concurrent bookings. */
const PREPARED_MAX = '256'

/** The databases of the stage: two real servers with their tables. */
export class World {
  readonly places: DatabasePlaces
  /** The servers, by their companies' names. */
  readonly servers: readonly (readonly [name: string, server: LocalServer])[]
  /** One line a database: what runs here, for people. */
  readonly described: readonly string[]
  readonly #servers: LocalServers
  readonly #flights: pg.Pool
  readonly #hotels: HotelsPool
  #blocks = 0

  private constructor(servers: LocalServers, flights: LocalServer, hotels: LocalServer) {
    this.#servers = servers
    this.servers = [
      ['flights', flights],
      ['hotels', hotels],
    ]
    this.described = this.servers.map(
      ([name, { kind, port }]) => `${name.padEnd(8)} ${kind === 'mariadb' ? 'MariaDB' : 'PostgreSQL'} on port ${port}`,
    )
    this.places = {
      flights: flights.url(),
      hotels: { kind: hotels.kind === 'mariadb' ? 'mysql' : 'postgres', url: hotels.url() },
      ticketsDatabase: flights.url('tickets'),
    }
    this.#flights = openPostgres(this.places.flights, 2)
    this.#hotels = openHotels(this.places.hotels, 2)
  }

  /** Starts the servers and fills the tables. Takes some seconds on a cold machine. */
  static async start(progress: (line: string) => void): Promise<World> {
    const servers = new LocalServers()
    try {
      const postgresOptions = { settings: { max_prepared_transactions: PREPARED_MAX, max_connections: '200' } }
      progress('starting PostgreSQL for flights')
      const flights = await servers.startPostgres(postgresOptions)
      const world = new World(servers, flights, await startHotels(servers, postgresOptions, progress))
      progress('creating seats, rooms and tickets')
      await world.#createTables()
      await world.extendTo(0)
      return world
    } catch (error) {
      await servers.close()
      throw error
    }
  }

  /** Makes seats and rooms well beyond number `horizon`. @throws when a database is down; the next call goes on */
  async extendTo(horizon: number): Promise<void> {
    while (this.#blocks * BLOCK < horizon + BLOCK) {
      const from = this.#blocks * BLOCK + 1
      await Promise.all([
        this.#flights.query('insert into seats select generate_series($1::int, $2::int) on conflict do nothing', [
          from,
          from + BLOCK - 1,
        ]),
        addRooms(this.#hotels, from, from + BLOCK - 1),
      ])
      this.#blocks++
    }
  }

  /** Stops the servers and removes their directories. */
  async stop(): Promise<void> {
    await Promise.allSettled([this.#flights.end(), this.#hotels.pool.end()])
    await this.#servers.close()
  }

  async #createTables(): Promise<void> {
    await this.#flights.query('create table seats (id int primary key, taken_by text)')
    await createRooms(this.#hotels)
    // The tickets company is on the same server, and knows nothing of flights.
    await this.#flights.query('create database tickets')
    const tickets = openPostgres(this.places.ticketsDatabase, 1)
    await tickets.query('create table tickets (gid text primary key, booking text not null, state text not null)')
    await tickets.end()
  }
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
  progress('mariadbd is not on this machine: a second PostgreSQL takes its place for hotels')
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
    const sql = 'insert into rooms select generate_series($1::int, $2::int) on conflict do nothing'
    await hotels.pool.query(sql, [from, to])
    return
  }
  const ids = Array.from({ length: to - from + 1 }, (_, index) => [from + index])
  await hotels.pool.query('insert ignore into rooms (id) values ?', [ids])
}
