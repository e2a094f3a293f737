import { mysql } from 'concordat/mysql'
import { postgres } from 'concordat/postgres'
import { type Dialect, Kysely, MysqlDialect, PostgresDialect } from 'kysely'
import type { Pool as MysqlPool } from 'mysql2'
import type { Pool as PgPool } from 'pg'
import type { Bookings } from './bookings.ts'

interface Schema {
  bookings: { id: number; who: string }
}

export function overPostgres(pool: PgPool): Bookings {
  const flights = postgres(pool, { name: 'flights' })
  return bookings(new PostgresDialect({ pool: flights.pool }))
}

/** Kysely takes mysql2's pool with callbacks. */
export function overMysql(pool: MysqlPool): Bookings {
  const hotels = mysql(pool, { name: 'hotels' })
  return bookings(new MysqlDialect({ pool: hotels.pool }))
}

function bookings(dialect: Dialect): Bookings {
  const db = new Kysely<Schema>({ dialect })
  const add = (trx: Kysely<Schema>, id: number, who: string) => trx.insertInto('bookings').values({ id, who }).execute()
  return {
    add: (id, who) => add(db, id, who),
    addNested: (id, who, fail) =>
      db.transaction().execute(async (trx) => {
        await add(trx, id, who)
        if (fail !== undefined) throw fail
      }),
    who: async (id) => (await db.selectFrom('bookings').select('who').where('id', '=', id).executeTakeFirst())?.who,
    // db.destroy() would end the pool.
    close: async () => {},
  }
}
