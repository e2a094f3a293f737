import { EntitySchema, MySqlKnexDialect, MikroORM as MysqlOrm, type SqlEntityManager } from '@mikro-orm/mysql'
import { MikroORM as PgOrm, PostgreSqlKnexDialect } from '@mikro-orm/postgresql'
import { mysql } from 'concordat/mysql'
import { postgres } from 'concordat/postgres'
import type { Pool as MysqlPool, PoolConnection } from 'mysql2'
import type { Pool as PgPool, PoolClient } from 'pg'
import type { Bookings } from './bookings.ts'

interface Booking {
  id: number
  who: string
}

const Booking = new EntitySchema<Booking>({
  name: 'Booking',
  tableName: 'bookings',
  properties: { id: { type: 'integer', primary: true, autoincrement: false }, who: { type: 'string', length: 40 } },
})

/** Which database it is, the pool knows: MikroORM would create one of the name `dbName`, and switch one connection to it. */
const OPTIONS = { entities: [Booking], ensureDatabase: false }

/** MikroORM 6 builds on Knex; its dialect asks for connections, and gets them from our pool. */
export async function overPostgres(pool: PgPool): Promise<Bookings> {
  const flights = postgres(pool, { name: 'flights' })
  class Dialect extends PostgreSqlKnexDialect {
    acquireConnection(): Promise<PoolClient> {
      return flights.pool.connect()
    }
    async releaseConnection(connection: PoolClient): Promise<void> {
      connection.release()
    }
  }
  const orm = await PgOrm.init({ ...OPTIONS, dbName: 'flights', driverOptions: { client: Dialect } })
  return bookings(orm.em, () => orm.close())
}

export async function overMysql(pool: MysqlPool): Promise<Bookings> {
  const hotels = mysql(pool, { name: 'hotels' })
  class Dialect extends MySqlKnexDialect {
    acquireConnection(): Promise<PoolConnection> {
      return new Promise((resolve, reject) =>
        hotels.pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection))),
      )
    }
    async releaseConnection(connection: PoolConnection): Promise<void> {
      connection.release()
    }
  }
  const orm = await MysqlOrm.init({ ...OPTIONS, dbName: 'hotels', driverOptions: { client: Dialect } })
  return bookings(orm.em, () => orm.close())
}

function bookings(em: SqlEntityManager, close: () => Promise<void>): Bookings {
  return {
    // A fork for each piece of work, as for each request of a server.
    add: async (id, who) => {
      const fork = em.fork()
      fork.create(Booking, { id, who })
      await fork.flush() // a transaction of its own
    },
    addNested: (id, who, fail) =>
      em.fork().transactional(async (fork) => {
        fork.create(Booking, { id, who })
        await fork.flush()
        if (fail !== undefined) throw fail
      }),
    who: async (id) => (await em.fork().findOne(Booking, { id }))?.who,
    close,
  }
}
