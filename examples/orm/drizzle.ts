import { mysql } from 'concordat/mysql'
import { postgres } from 'concordat/postgres'
import { eq } from 'drizzle-orm'
import { int, mysqlTable, varchar as mysqlVarchar } from 'drizzle-orm/mysql-core'
import { drizzle as drizzleMysql } from 'drizzle-orm/mysql2'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { integer, pgTable, varchar } from 'drizzle-orm/pg-core'
import { drizzle as drizzleJs } from 'drizzle-orm/postgres-js'
import type { Pool as MysqlPool } from 'mysql2/promise'
import type { Pool as PgPool } from 'pg'
import type { Sql } from 'postgres'
import type { Bookings } from './bookings.ts'

const seats = pgTable('bookings', { id: integer().primaryKey(), who: varchar({ length: 40 }).notNull() })
const nights = mysqlTable('bookings', { id: int().primaryKey(), who: mysqlVarchar({ length: 40 }).notNull() })

export function overPostgres(pool: PgPool): Bookings {
  const flights = postgres(pool, { name: 'flights' })
  return overPg(drizzlePg(flights.pool))
}

/** Over postgres.js. Drizzle changes how the given function reads dates: make one for it alone. */
export function overPostgresJs(sql: Sql): Bookings {
  const flights = postgres(sql, { name: 'flights' })
  return overPg(drizzleJs(flights.sql))
}

function overPg(db: ReturnType<typeof drizzlePg> | ReturnType<typeof drizzleJs>): Bookings {
  return {
    add: (id, who) => db.insert(seats).values({ id, who }).execute(),
    addNested: (id, who, fail) =>
      db.transaction(async (trx) => {
        await trx.insert(seats).values({ id, who })
        if (fail !== undefined) throw fail
      }),
    who: async (id) => (await db.select().from(seats).where(eq(seats.id, id)))[0]?.who,
    close: async () => {},
  }
}

export function overMysql(pool: MysqlPool): Bookings {
  const hotels = mysql(pool, { name: 'hotels' })
  const db = drizzleMysql(hotels.pool)
  return {
    add: (id, who) => db.insert(nights).values({ id, who }).execute(),
    addNested: (id, who, fail) =>
      db.transaction(async (trx) => {
        await trx.insert(nights).values({ id, who })
        if (fail !== undefined) throw fail
      }),
    who: async (id) => (await db.select().from(nights).where(eq(nights.id, id)))[0]?.who,
    close: async () => {},
  }
}
