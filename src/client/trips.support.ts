import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { findMariadb, type LocalServer, LocalServers, MARIADB_INSTALL_HINT } from '../localdb/index.ts'
import { mysql, postgres, type Resource } from '../resources/index.ts'

/** Real databases with one table each: `bookings (who text)`. */
export class Trips {
  readonly server: LocalServer
  readonly flights: Resource<pg.PoolClient>
  readonly payments: Resource<pg.PoolClient>
  /** Undefined when this machine has no MariaDB. */
  readonly hotels: Resource<mysql2.PoolConnection> | undefined
  readonly #servers: LocalServers
  readonly #pools: { readonly flights: pg.Pool; readonly payments: pg.Pool; readonly hotels: mysql2.Pool | undefined }

  /** @param withMariadb false: PostgreSQL only, which starts faster */
  static async start(withMariadb = findMariadb() !== undefined): Promise<Trips> {
    const servers = new LocalServers()
    try {
      const [postgresServer, mariadbServer] = await Promise.all([
        servers.startPostgres(),
        withMariadb ? servers.startMariadb() : undefined,
      ])
      return await Trips.#over(servers, postgresServer, mariadbServer)
    } catch (error) {
      await servers.close()
      throw error
    }
  }

  static async #over(servers: LocalServers, server: LocalServer, mariadb: LocalServer | undefined): Promise<Trips> {
    const admin = new pg.Client(server.url())
    await admin.connect()
    for (const name of ['flights', 'payments']) await admin.query(`CREATE DATABASE ${name}`)
    await admin.end()
    const flights = quietPool(server.url('flights'))
    const payments = quietPool(server.url('payments'))
    const hotels =
      mariadb === undefined ? undefined : mysql2.createPool({ uri: mariadb.url(), multipleStatements: true })
    for (const pool of [flights, payments]) await pool.query('CREATE TABLE bookings (who text UNIQUE)')
    await hotels?.query('CREATE TABLE bookings (who varchar(80) UNIQUE) ENGINE=InnoDB')
    return new Trips(servers, server, { flights, payments, hotels })
  }

  private constructor(
    servers: LocalServers,
    server: LocalServer,
    pools: { readonly flights: pg.Pool; readonly payments: pg.Pool; readonly hotels: mysql2.Pool | undefined },
  ) {
    this.#servers = servers
    this.server = server
    this.#pools = pools
    this.flights = postgres(pools.flights, { name: 'flights' })
    this.payments = postgres(pools.payments, { name: 'payments' })
    this.hotels = pools.hotels === undefined ? undefined : mysql(pools.hotels, { name: 'hotels', witness: true })
  }

  /** In how many of the databases `who` has a booking: `[flights, payments]`. */
  async bookings(who: string): Promise<readonly [number, number]> {
    const count = async (pool: pg.Pool): Promise<number> => {
      const { rows } = await pool.query('SELECT count(*)::int AS n FROM bookings WHERE who = $1', [who])
      return rows[0].n
    }
    return [await count(this.#pools.flights), await count(this.#pools.payments)]
  }

  async nights(who: string): Promise<number> {
    const [rows] = await this.#pools.hotels!.query('SELECT count(*) AS n FROM bookings WHERE who = ?', [who])
    return Number((rows as { n: number }[])[0]!.n)
  }

  /** Prepared transactions in PostgreSQL and MariaDB together. */
  async prepared(): Promise<number> {
    const { rows } = await this.#pools.flights.query('SELECT count(*)::int AS n FROM pg_prepared_xacts')
    if (this.#pools.hotels === undefined) return rows[0].n
    const [xa] = await this.#pools.hotels.query('XA RECOVER')
    return rows[0].n + (xa as unknown[]).length
  }

  async close(): Promise<void> {
    await Promise.all([this.#pools.flights.end(), this.#pools.payments.end(), this.#pools.hotels?.end()])
    await this.#servers.close()
  }
}

/** Books for `who` in a branch. */
export function book(session: pg.PoolClient, who: string): Promise<unknown> {
  return session.query('INSERT INTO bookings VALUES ($1)', [who])
}

export const noMariadb = findMariadb() === undefined
if (noMariadb) console.warn(`the MariaDB stories are skipped; ${MARIADB_INSTALL_HINT}`)

function quietPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 8 })
  // A killed server's idle connections report here; without a listener that ends the process.
  pool.on('error', () => {})
  return pool
}
