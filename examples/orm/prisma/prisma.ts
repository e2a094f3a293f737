import { PrismaPg } from '@prisma/adapter-pg'
import { postgres } from 'concordat/postgres'
import type { Pool as PgPool } from 'pg'
import type { Bookings } from '../bookings.ts'
import { PrismaClient } from './generated/client.ts'

/** Prisma 7 works over `pg` through its driver adapter. `generated` is what `prisma generate` made of schema.prisma. */
export function overPostgres(pool: PgPool): Bookings {
  const flights = postgres(pool, { name: 'flights' })
  const prisma = new PrismaClient({ adapter: new PrismaPg(flights.pool) })
  return {
    add: (id, who) => prisma.booking.create({ data: { id, who } }),
    addNested: (id, who, fail) =>
      prisma.$transaction(async (trx) => {
        await trx.booking.create({ data: { id, who } })
        if (fail !== undefined) throw fail
      }),
    // Not findUnique(): Prisma gathers those of one moment into one query, which is then that of one transaction for all.
    who: async (id) => (await prisma.booking.findFirst({ where: { id } }))?.who,
    close: () => prisma.$disconnect(),
  }
}
