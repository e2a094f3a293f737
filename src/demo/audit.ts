import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { type Companies, type HotelsPool, openPostgres } from './companies.ts'
import { listPrepared } from './in-doubt-watch.ts'
import { MONEY } from './participants.ts'

/** What the four companies themselves say at the end. */
export interface Audit {
  readonly seatsTaken: number
  readonly roomsTaken: number
  readonly paymentsMade: number
  readonly ticketsIssued: number
  /** P1: the same bookings at all four. */
  readonly atomic: boolean
  readonly moneyConserved: boolean
  /** Prepared branches left anywhere. */
  readonly inDoubtAfter: number
  /** Outcomes told to a client that the companies contradict. */
  readonly contradictions: number
  /** Bookings that were told as unknown and turned out committed or aborted. */
  readonly unknownCommitted: number
  readonly unknownAborted: number
  /** The first few things found wrong, in words. */
  readonly findings: readonly string[]
}

/** Reads what all four have and holds it against each other, and against what the clients were told. */
export async function audit(companies: Companies, toldFile: string): Promise<Audit> {
  const findings: string[] = []
  const [seats, rooms, paid, tickets] = await Promise.all([
    bookingsIn(companies.flights, 'select taken_by as booking from seats where taken_by is not null'),
    bookingsInHotels(companies.hotels),
    amounts(companies, 'paid/'),
    bookingsOfTickets(companies.places.tickets.database),
  ])
  const payments = new Set(paid.keys())
  const atomic = sameBookings({ seats, rooms, payments, tickets }, findings)
  const told = await compareTold(toldFile, payments, findings)
  const money = sum(paid) + sum(await amounts(companies, 'balance/'))
  const moneyConserved = money === MONEY
  if (!moneyConserved) findings.push(`money: ${MONEY} at the start, ${money} now`)
  const prepared = await listPrepared(companies)
  if (prepared.length > 0) findings.push(`still prepared: ${prepared.slice(0, 5).join(', ')}`)
  return {
    seatsTaken: seats.size,
    roomsTaken: rooms.size,
    paymentsMade: payments.size,
    ticketsIssued: tickets.size,
    atomic,
    moneyConserved,
    inDoubtAfter: prepared.length,
    ...told,
    findings: findings.slice(0, 10),
  }
}

async function bookingsIn(pool: Companies['flights'], sql: string): Promise<Set<string>> {
  const { rows } = await pool.query<{ booking: string }>(sql)
  return uniqueBookings(rows)
}

async function bookingsInHotels(hotels: HotelsPool): Promise<Set<string>> {
  const sql = 'select taken_by as booking from rooms where taken_by is not null'
  if (hotels.kind === 'postgres') return await bookingsIn(hotels.pool, sql)
  const [rows] = await hotels.pool.query(sql)
  return uniqueBookings(rows as { booking: string }[])
}

async function bookingsOfTickets(database: string): Promise<Set<string>> {
  const pool = openPostgres(database, 1)
  try {
    return await bookingsIn(pool, "select booking from tickets where state = 'issued'")
  } finally {
    await pool.end()
  }
}

/** The numbers below a prefix of the key-value participant, by the rest of their keys. */
async function amounts({ payments }: Companies, prefix: string): Promise<Map<string, bigint>> {
  const found = new Map<string, bigint>()
  for (let from: string | undefined; ; ) {
    const page = await payments.scan({ prefix, ...(from !== undefined && { from }) })
    for (const { key, value } of page.entries) found.set(key.slice(prefix.length), BigInt(value as number))
    if (page.next === undefined) return found
    from = page.next
  }
}

function sum(amounts: ReadonlyMap<string, bigint>): bigint {
  let total = 0n
  for (const amount of amounts.values()) total += amount
  return total
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
        `${booking} was told ${outcome}, but the companies say ${isCommitted ? 'committed' : 'not committed'}`,
      )
    }
  }
  return counts
}
