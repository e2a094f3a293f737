import { mysql } from 'concordat/mysql'
import { postgres } from 'concordat/postgres'
import type { Pool as MysqlPool } from 'mysql2'
import type { Pool as PgPool } from 'pg'
import { DataSource, EntitySchema } from 'typeorm'
import type { Bookings } from './bookings.ts'

interface Booking {
  id: number
  who: string
}

const Booking = new EntitySchema<Booking>({
  name: 'Booking',
  tableName: 'bookings',
  columns: { id: { type: Number, primary: true }, who: { type: String, length: 40 } },
})

/** TypeORM makes its pool itself, by the driver that it is given: so the driver makes ours. */
export function overPostgres(pool: PgPool): Promise<Bookings> {
  const flights = postgres(pool, { name: 'flights' })
  const driver = {
    Pool: function Pool() {
      return withoutEnd(flights.pool)
    },
  }
  return bookings(new DataSource({ type: 'postgres', driver, entities: [Booking], installExtensions: false }))
}

/** The pool with callbacks. For MySQL the type is `mysql`. */
export function overMysql(pool: MysqlPool): Promise<Bookings> {
  const hotels = mysql(pool, { name: 'hotels' })
  const driver = { createPool: () => withoutEnd(hotels.pool) }
  return bookings(new DataSource({ type: 'mariadb', driver, entities: [Booking] }))
}

/** `destroy()` ends the pool of a DataSource, and this one is not its own. */
function withoutEnd<Pool extends object>(pool: Pool): Pool {
  const end = (callback?: () => void): void => callback?.()
  return new Proxy(pool, { get: (target, key) => (key === 'end' ? end : Reflect.get(target, key)) })
}

async function bookings(source: DataSource): Promise<Bookings> {
  await source.initialize()
  const repository = source.getRepository(Booking)
  return {
    // save() is a SELECT, and an INSERT in a transaction of its own.
    add: (id, who) => repository.save({ id, who }),
    addNested: (id, who, fail) =>
      source.transaction(async (manager) => {
        await manager.insert(Booking, { id, who })
        if (fail !== undefined) throw fail
      }),
    who: async (id) => (await repository.findOneBy({ id }))?.who,
    close: () => source.destroy(),
  }
}
