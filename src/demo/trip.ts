import { type Concordat, service } from '../client/index.ts'
import { mysql, postgres } from '../resources/index.ts'
import type { Companies, HotelsPool } from './companies.ts'

/** What one booking asks for. `booking` is unique and is written down by all four companies: the audit joins by it. */
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

/**
 * Books a trip: a seat, a room, a payment and a ticket, in two databases, a key-value store and a service, all or nothing.
 * This function is what a user of concordat writes; all else in this folder is stage machinery.
 */
export function bookings(concordat: Concordat, companies: Companies): (trip: Trip) => Promise<void> {
  const flights = postgres(companies.flights, { name: 'flights' })
  const takeRoom = roomTaker(companies.hotels)
  const { payments } = companies
  const tickets = service('tickets')

  return async ({ booking, seat, room, account, price }) => {
    await concordat.transaction({ timeoutMs: 15_000 }, async (tx) => {
      const flightsDb = await tx.enlist(flights)
      const taken = await flightsDb.query('update seats set taken_by = $1 where id = $2 and taken_by is null', [
        booking,
        seat,
      ])
      if (taken.rowCount !== 1) throw new TripRefused(`seat ${seat} is taken`)

      if (!(await takeRoom(tx, booking, room))) throw new TripRefused(`room ${room} is taken`)

      const purse = await tx.enlist(payments)
      const left = await purse.add(`balance/${account}`, -price)
      if (left < 0) throw new TripRefused(`account ${account} is short of money`)
      await purse.put(`paid/${booking}`, price)

      const branch = await tx.enlist(tickets)
      const answer = await fetch(`${companies.places.tickets.url}/tickets/${booking}`, {
        method: 'PUT',
        headers: branch.headers(),
        signal: tx.signal,
      })
      if (!answer.ok) throw new Error(`no ticket: ${answer.status} ${await answer.text()}`)
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
