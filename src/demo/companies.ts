import { createPool, type Pool as MysqlPool } from 'mysql2/promise'
import pg from 'pg'
import { type KeyValueStore, kv } from '../kv/index.ts'
import { freePorts } from './ports.ts'

/** The name of the demo's fleet. */
export const CLUSTER = 'demo'

/** Where everything is that a trip needs: all that another process must know. */
export interface Places {
  /** `host:port` each. */
  readonly coordinators: readonly string[]
  /** A PostgreSQL. */
  readonly flights: string
  readonly hotels: { readonly kind: 'mysql' | 'postgres'; readonly url: string }
  /** A key-value participant, `host:port`. */
  readonly payments: string
  /** A service over HTTP, and the database behind it, which is nobody's business but its own and the audit's. */
  readonly tickets: { readonly url: string; readonly database: string }
}

/** Where the databases are; those who are no databases get ports of their own. */
export interface DatabasePlaces extends Pick<Places, 'flights' | 'hotels'> {
  /** The one behind the tickets. */
  readonly ticketsDatabase: string
}

/** Chooses ports for all that is no database. */
export async function choosePlaces({ ticketsDatabase, ...databases }: DatabasePlaces): Promise<Places> {
  const [payments, tickets, ...coordinators] = await freePorts(5)
  return {
    ...databases,
    coordinators: coordinators.map((port) => `127.0.0.1:${port}`),
    payments: `127.0.0.1:${payments}`,
    tickets: { url: `http://127.0.0.1:${tickets}`, database: ticketsDatabase },
  }
}

/** The two kinds of database that can hold `hotels`. */
export type HotelsPool =
  | { readonly kind: 'mysql'; readonly pool: MysqlPool }
  | { readonly kind: 'postgres'; readonly pool: pg.Pool }

/** Four companies: two databases, a key-value store and a service. */
export interface Companies {
  readonly flights: pg.Pool
  readonly hotels: HotelsPool
  readonly payments: KeyValueStore
  readonly places: Places
}

/** Opens a pool on each database, and what the others are used through; nothing connects before it is used. */
export function openCompanies(places: Places, connectionsMax: number): Companies {
  return {
    flights: openPostgres(places.flights, connectionsMax),
    hotels: openHotels(places.hotels, connectionsMax),
    payments: kv({ name: 'payments', address: places.payments, clusterId: CLUSTER }),
    places,
  }
}

/** A pool whose idle connections may break. */
export function openPostgres(url: string, connectionsMax: number): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: connectionsMax })
  // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
  pool.on('error', () => {})
  return pool
}

export function openHotels({ kind, url }: Places['hotels'], connectionsMax: number): HotelsPool {
  return kind === 'mysql'
    ? { kind, pool: createPool({ uri: url, connectionLimit: connectionsMax }) }
    : { kind, pool: openPostgres(url, connectionsMax) }
}
