import type { Pool as MysqlPool } from 'mysql2/promise'
import type { Pool as PostgresPool } from 'pg'
import type { Concordat } from '../client/index.ts'
import { mysql, postgres } from '../resources/index.ts'

/** What one booking asks for. `booking` is unique and is written into all three databases: the audit joins by it. */
export interface Trip {
  readonly booking: string
  readonly seat: number
  readonly room: number
  readonly account: number
  readonly price: number
}

/** The booking can't be had; the whole transaction is rolled back. */
export class TripRefused extends Error {
  override readonly name = 'TripRefused'
}

/** The two kinds of database that can hold `hotels`. */
export type HotelsPool =
  | { readonly kind: 'mysql'; readonly pool: MysqlPool }
  | { readonly kind: 'postgres'; readonly pool: PostgresPool }

/** Three databases of three companies. */
export interface TripPools {
  readonly flights: PostgresPool
  readonly hotels: HotelsPool
  readonly payments: PostgresPool
}

/**
 * Books a trip: a seat, a room and a payment, in three databases, all or nothing.
 * This function is what a user of concordat writes; all else in this folder is stage machinery.
 */
export function bookings(concordat: Concordat, pools: TripPools): (trip: Trip) => Promise<void> {
  const flights = postgres(pools.flights, { name: 'flights' })
  const takeRoom = roomTaker(pools.hotels)
  const payments = postgres(pools.payments, { name: 'payments' })

  return async ({ booking, seat, room, account, price }) => {
    await concordat.transaction({ timeoutMs: 15_000 }, async (tx) => {
      const flightsDb = await tx.enlist(flights)
      const taken = await flightsDb.query('update seats set taken_by = $1 where id = $2 and taken_by is null', [
        booking,
        seat,
      ])
      if (taken.rowCount !== 1) throw new TripRefused(`seat ${seat} is taken`)

      if (!(await takeRoom(tx, booking, room))) throw new TripRefused(`room ${room} is taken`)

      const paymentsDb = await tx.enlist(payments)
      const paid = await paymentsDb.query(
        `with debit as (
           update accounts set balance = balance - $3 where id = $2 and balance >= $3 returning id
         )
         insert into payments (booking, account, amount) select $1, id, $3 from debit`,
        [booking, account, price],
      )
      if (paid.rowCount !== 1) throw new TripRefused(`account ${account} is short of money`)
    })
  }
}

type Transaction = Parameters<Parameters<Concordat['transaction']>[1]>[0]

function roomTaker(hotels: HotelsPool): (tx: Transaction, booking: string, room: number) => Promise<boolean> {
  if (hotels.kind === 'postgres') {
    const resource = postgres(hotels.pool, { name: 'hotels' })
    return async (tx, booking, room) => {
      const db = await tx.enlist(resource)
      const taken = await db.query('update rooms set taken_by = $1 where id = $2 and taken_by is null', [booking, room])
      return taken.rowCount === 1
    }
  }
  // The witness row proves later what became of a branch whose application died (see docs: MySQL has no other evidence).
  const resource = mysql(hotels.pool, { name: 'hotels', witness: true })
  return async (tx, booking, room) => {
    const db = await tx.enlist(resource)
    const [taken] = await db.query('update rooms set taken_by = ? where id = ? and taken_by is null', [booking, room])
    return 'affectedRows' in taken && taken.affectedRows === 1
  }
}
