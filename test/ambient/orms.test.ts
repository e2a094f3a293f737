import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Bookings } from '../../examples/orm/bookings.ts'
import * as drizzle from '../../examples/orm/drizzle.ts'
import * as knex from '../../examples/orm/knex.ts'
import * as kysely from '../../examples/orm/kysely.ts'
import * as mikroOrm from '../../examples/orm/mikro-orm.ts'
import { PrismaClient } from '../../examples/orm/prisma/generated/client.ts'
import * as prisma from '../../examples/orm/prisma/prisma.ts'
import * as typeorm from '../../examples/orm/typeorm.ts'
import { AmbientWorld, noMariadb } from './ambient.support.ts'

let world: AmbientWorld
beforeAll(async () => {
  world = await AmbientWorld.start()
  await world.createTable('bookings (id int PRIMARY KEY, who varchar(40) NOT NULL)')
})
afterAll(() => world?.close())

interface Case {
  readonly name: string
  readonly mariadb: boolean
  /** The code by which it tells a key that is taken, where it is not the database's. */
  readonly takenCode?: string
  open(): Bookings | Promise<Bookings>
}

/** Each example, over each kind of pool that it takes. */
const CASES: readonly Case[] = [
  { name: 'Kysely over pg', mariadb: false, open: () => kysely.overPostgres(world.pg().pool) },
  { name: 'Kysely over mysql2', mariadb: true, open: () => kysely.overMysql(world.callbacks().pool) },
  { name: 'Drizzle over pg', mariadb: false, open: () => drizzle.overPostgres(world.pg().pool) },
  { name: 'Drizzle over postgres.js', mariadb: false, open: () => drizzle.overPostgresJs(world.js().pool) },
  { name: 'Drizzle over mysql2', mariadb: true, open: () => drizzle.overMysql(world.promises().pool) },
  { name: 'Knex over pg', mariadb: false, open: () => knex.overPostgres(world.pg().pool) },
  { name: 'Knex over mysql2', mariadb: true, open: () => knex.overMysql(world.callbacks().pool) },
  { name: 'TypeORM over pg', mariadb: false, open: () => typeorm.overPostgres(world.pg().pool) },
  { name: 'TypeORM over mysql2', mariadb: true, open: () => typeorm.overMysql(world.callbacks().pool) },
  { name: 'MikroORM over pg', mariadb: false, open: () => mikroOrm.overPostgres(world.pg().pool) },
  { name: 'MikroORM over mysql2', mariadb: true, open: () => mikroOrm.overMysql(world.callbacks().pool) },
  { name: 'Prisma over pg', mariadb: false, takenCode: 'P2002', open: () => prisma.overPostgres(world.pg().pool) },
]

const BREAK = new Error('the application changed its mind')
let last = 0

/** An id that no test had before, with room for nine more after it. */
function freshId(): number {
  last += 10
  return last
}

/** The codes of an error and of all its causes: ORMs wrap what a driver throws. */
function codes(thrown: unknown): readonly unknown[] {
  const { code, cause, driverError } = (thrown ?? {}) as { code?: unknown; cause?: unknown; driverError?: unknown }
  return thrown === undefined || thrown === null ? [] : [code, ...codes(cause ?? driverError)]
}

for (const { name, mariadb, takenCode = mariadb ? 'ER_DUP_ENTRY' : '23505', open } of CASES) {
  describe.skipIf(mariadb && noMariadb)(name, () => {
    let orm: Bookings
    let other: ReturnType<AmbientWorld['pg']>
    beforeAll(async () => {
      orm = await open()
      other = world.second()
    })
    afterAll(() => orm?.close())
    afterEach(() => world.clear())

    const otherAdds = (key: number) => other.database.query('INSERT INTO notes VALUES ($1)', [`orm ${key}`])
    const found = (...ids: number[]) => Promise.all(ids.map((one) => orm.who(one)))

    test('P1: what it writes commits and rolls back together with another database; outside it is ordinary', async () => {
      const kept = freshId()
      const [undone, ordinary] = [kept + 1, kept + 2]
      await world.concordat.transaction(async () => {
        await orm.add(kept, 'ann')
        expect(await orm.who(kept)).toBe('ann')
        await otherAdds(kept)
      })
      const failed = world.concordat.transaction(async () => {
        await orm.add(undone, 'bob')
        await otherAdds(kept)
      })
      await expect(failed).rejects.toMatchObject({ code: '23505' })
      await orm.add(ordinary, 'cem')
      expect(await found(kept, undone, ordinary)).toEqual(['ann', undefined, 'cem'])
      expect(await world.notes('orm')).toEqual([`orm ${kept}`])
    })

    test('a transaction of its own is a savepoint, and many at a time take turns', async () => {
      const first = freshId()
      await world.concordat.transaction(async () => {
        await orm.add(first, 'before')
        await Promise.all([
          expect(orm.addNested(first + 1, 'undone', BREAK)).rejects.toThrow(BREAK.message),
          orm.addNested(first + 2, 'nested'),
          orm.add(first + 3, 'beside'),
          orm.add(first + 4, 'also'),
        ])
        await otherAdds(first)
      })
      const ids = [0, 1, 2, 3, 4].map((plus) => first + plus)
      expect(await found(...ids)).toEqual(['before', undefined, 'nested', 'beside', 'also'])
    })

    test("the database's error comes through it, and a caught one still aborts everything", async () => {
      const taken = freshId()
      const undone = taken + 1
      await orm.add(taken, 'ann')
      const again = () => orm.addNested(taken, 'bob')
      const thrown = await world.concordat.transaction(again).catch((error: unknown) => error)
      expect(codes(thrown)).toContain(takenCode)
      const caught = world.concordat.transaction(async () => {
        await orm.add(undone, 'cem')
        await again().catch(() => {})
      })
      await expect(caught).rejects.toMatchObject({ code: 'TXN_ABORTED', reason: 'votedAbort' })
      expect(await found(taken, undone)).toEqual(['ann', undefined])
    })

    test('after the end of the transaction it is refused', async () => {
      const late = freshId()
      const gate = withResolvers()
      let writing: Promise<unknown> | undefined
      await world.concordat.transaction(() => {
        writing = gate.promise.then(() => orm.add(late, 'late'))
        writing.catch(() => {})
      })
      gate.resolve(undefined)
      expect(codes(await writing?.catch((error: unknown) => error))).toContain('TXN_ENDED')
      expect(await orm.who(late)).toBeUndefined()
    })
  })
}

/** Pins what docs/orms.md warns of: should Prisma mend it, the page is to be mended too. */
test('Prisma gathers findUnique() calls of several transactions into one query; in $transaction it does not', async () => {
  const adapter = new PrismaPg(world.pg().database.pool)
  await using client = disposing(new PrismaClient({ adapter }))
  const { booking } = client.prisma
  /** How many of two transactions at the same time see what they wrote themselves. */
  const seenBy = async (find: (id: number) => Promise<unknown>): Promise<number> => {
    const gate = withResolvers()
    let written = 0
    const run = () =>
      world.concordat.transaction(async () => {
        const id = freshId()
        await booking.create({ data: { id, who: 'ann' } })
        written += 1
        if (written === 2) gate.resolve(undefined)
        await gate.promise
        return find(id)
      })
    return (await Promise.all([run(), run()])).filter((found) => found !== null).length
  }
  expect(await seenBy((id) => booking.findUnique({ where: { id } }))).toBe(1)
  expect(await seenBy((id) => booking.findFirst({ where: { id } }))).toBe(2)
  const inOwn = (id: number) => client.prisma.$transaction((trx) => trx.booking.findUnique({ where: { id } }))
  expect(await seenBy(inOwn)).toBe(2)
})

function disposing(prisma: PrismaClient) {
  return { prisma, [Symbol.asyncDispose]: () => prisma.$disconnect() }
}

function withResolvers() {
  let resolve = (_value: unknown): void => {}
  const promise = new Promise((given) => {
    resolve = given
  })
  return { promise, resolve }
}
