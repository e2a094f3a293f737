import { mysql } from 'concordat/mysql'
import { postgres } from 'concordat/postgres'
import knex, { type Knex } from 'knex'
import type { Pool as MysqlPool } from 'mysql2'
import type { Pool as PgPool } from 'pg'
import type { Bookings } from './bookings.ts'

interface Booking {
  id: number
  who: string
}

/** Knex takes a driver's pool from 3.3.0 on (`connectionPool`). */
export function overPostgres(pool: PgPool): Bookings {
  const flights = postgres(pool, { name: 'flights' })
  return bookings(knex({ client: 'pg', connectionPool: flights.pool }))
}

export function overMysql(pool: MysqlPool): Bookings {
  const hotels = mysql(pool, { name: 'hotels' })
  // Knex's type of a pool is narrower than mysql2's.
  return bookings(knex({ client: 'mysql2', connectionPool: hotels.pool as unknown as Knex.MySQLPoolLike }))
}

function bookings(db: Knex): Bookings {
  return {
    add: (id, who) => db<Booking>('bookings').insert({ id, who }),
    addNested: (id, who, fail) =>
      db.transaction(async (trx) => {
        await trx<Booking>('bookings').insert({ id, who })
        if (fail !== undefined) throw fail
      }),
    who: async (id) => (await db<Booking>('bookings').where({ id }).first())?.who,
    close: () => db.destroy(),
  }
}
