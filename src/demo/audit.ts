import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { listPrepared } from './in-doubt-watch.ts'
import type { TripPools } from './trip.ts'

/** What the databases themselves say at the end. */
export interface Audit {
  readonly seatsTaken: number
  readonly roomsTaken: number
  readonly paymentsMade: number
  /** P1: the same bookings in all three databases. */
  readonly atomic: boolean
  readonly moneyConserved: boolean
  /** Prepared branches left in any database. */
  readonly inDoubtAfter: number
  /** Outcomes told to a client that the databases contradict. */
  readonly contradictions: number
  /** Bookings that were told as unknown and turned out committed or aborted. */
  readonly unknownCommitted: number
  readonly unknownAborted: number
  /** The first few things found wrong, in words. */
  readonly findings: readonly string[]
}

/** Reads all three databases and holds them against each other, and against what the clients were told. */
export async function audit(pools: TripPools, moneyAtStart: bigint, toldFile: string): Promise<Audit> {
  const findings: string[] = []
  const [seats, rooms, payments] = await Promise.all([
    bookingsIn(pools.flights, 'select taken_by as booking from seats where taken_by is not null'),
    bookingsInHotels(pools.hotels),
    bookingsIn(pools.payments, 'select booking from payments'),
  ])
  const atomic = sameBookings({ seats, rooms, payments }, findings)
  const told = await compareTold(toldFile, payments, findings)
  const { rows } = await pools.payments.query<{ total: string }>(
    'select (select sum(balance) from accounts) + (select coalesce(sum(amount), 0) from payments) as total',
  )
  const moneyConserved = BigInt(rows[0]!.total) === moneyAtStart
  if (!moneyConserved) findings.push(`money: ${moneyAtStart} at the start, ${rows[0]!.total} now`)
  const prepared = await listPrepared(pools)
  if (prepared.length > 0) findings.push(`still prepared: ${prepared.slice(0, 5).join(', ')}`)
  return {
    seatsTaken: seats.size,
    roomsTaken: rooms.size,
    paymentsMade: payments.size,
    atomic,
    moneyConserved,
    inDoubtAfter: prepared.length,
    ...told,
    findings: findings.slice(0, 10),
  }
}

async function bookingsIn(pool: TripPools['flights'], sql: string): Promise<Set<string>> {
  const { rows } = await pool.query<{ booking: string }>(sql)
  return uniqueBookings(rows)
}

async function bookingsInHotels(hotels: TripPools['hotels']): Promise<Set<string>> {
  const sql = 'select taken_by as booking from rooms where taken_by is not null'
  if (hotels.kind === 'postgres') return await bookingsIn(hotels.pool, sql)
  const [rows] = await hotels.pool.query(sql)
  return uniqueBookings(rows as { booking: string }[])
}

function uniqueBookings(rows: readonly { readonly booking: string }[]): Set<string> {
  const bookings = new Set<string>()
  // A booking that took two seats must not look like one.
  for (const { booking } of rows) bookings.add(bookings.has(booking) ? `${booking} (twice)` : booking)
  return bookings
}

function sameBookings(sets: Readonly<Record<string, ReadonlySet<string>>>, findings: string[]): boolean {
  const all = new Set(Object.values(sets).flatMap((set) => [...set]))
  let same = true
  for (const booking of all) {
    const missing = Object.keys(sets).filter((name) => !sets[name]!.has(booking))
    if (missing.length === 0) continue
    same = false
    findings.push(`${booking} is missing in ${missing.join(' and ')}`)
  }
  return same
}

async function compareTold(
  toldFile: string,
  committed: ReadonlySet<string>,
  findings: string[],
): Promise<Pick<Audit, 'contradictions' | 'unknownCommitted' | 'unknownAborted'>> {
  const counts = { contradictions: 0, unknownCommitted: 0, unknownAborted: 0 }
  for await (const line of createInterface({ input: createReadStream(toldFile) })) {
    const [booking = '', outcome = ''] = line.split(' ')
    const isCommitted = committed.has(booking)
    if (outcome === 'unknown') {
      if (isCommitted) counts.unknownCommitted++
      else counts.unknownAborted++
    } else if (isCommitted !== (outcome === 'committed')) {
      counts.contradictions++
      findings.push(
        `${booking} was told ${outcome}, but the databases say ${isCommitted ? 'committed' : 'not committed'}`,
      )
    }
  }
  return counts
}
