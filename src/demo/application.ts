import { openSync, writeSync } from 'node:fs'
import { Prng, systemClock } from '../base/index.ts'
import { Concordat, ConcordatError, OutcomeUnknownError, TransactionAbortedError } from '../client/index.ts'
import { openCompanies } from './companies.ts'
import type { ApplicationNews, ApplicationOrders } from './messages.ts'
import { ACCOUNTS } from './participants.ts'
import { bookings, type Trip, TripRefused } from './trip.ts'

/**
 * One application process of the demo: books trips, many at a time, until it is told to stop or is killed.
 * Every outcome it was told goes to a file at once, so that the audit can hold it against the databases
 * even when this process is killed right after.
 */
class Application {
  readonly #orders: ApplicationOrders
  readonly #book: (trip: Trip) => Promise<void>
  readonly #prng: Prng
  readonly #toldFile: number
  readonly #concordat: Concordat
  #horizon: number
  #sequence = 0
  #stopping = false
  #news = emptyNews()

  constructor(orders: ApplicationOrders) {
    this.#orders = orders
    this.#horizon = orders.horizon
    this.#prng = new Prng(orders.seed)
    this.#toldFile = openSync(orders.toldFile, 'a')
    this.#concordat = new Concordat({ coordinators: orders.places.coordinators, name: orders.name })
    this.#book = bookings(this.#concordat, openCompanies(orders.places, orders.concurrency + 2))
  }

  async run(): Promise<void> {
    const timer = setInterval(() => this.#report(), 50)
    await Promise.all(Array.from({ length: this.#orders.concurrency }, () => this.#bookUntilStopped()))
    await this.#concordat.close()
    clearInterval(timer)
    this.#report()
  }

  stop(): void {
    this.#stopping = true
  }

  /** Seats and rooms up to about this number exist and are being sold. */
  moveTo(horizon: number): void {
    this.#horizon = horizon
  }

  async #bookUntilStopped(): Promise<void> {
    while (!this.#stopping) await this.#bookOne(this.#nextTrip())
  }

  #nextTrip(): Trip {
    // The window is wide enough for most seats to be free, and narrow enough for some to be taken.
    const near = () => this.#horizon + this.#prng.between(1, 10_000)
    return {
      booking: `${this.#orders.name}-${++this.#sequence}`,
      seat: near(),
      room: near(),
      account: this.#prng.between(1, ACCOUNTS),
      price: this.#prng.between(50, 900),
    }
  }

  async #bookOne(trip: Trip): Promise<void> {
    const startedMs = systemClock.monotonicMs()
    try {
      await this.#book(trip)
      this.#tell(trip, 'committed')
      this.#news.committed.push(Date.now())
      this.#news.latenciesMs.push(systemClock.monotonicMs() - startedMs)
    } catch (error) {
      await this.#failed(trip, error)
    }
  }

  async #failed(trip: Trip, error: unknown): Promise<void> {
    if (error instanceof OutcomeUnknownError) {
      this.#tell(trip, 'unknown')
      this.#news.unknown++
      return
    }
    this.#tell(trip, 'aborted')
    this.#news.aborted++
    if (error instanceof TripRefused) this.#news.refused++
    else this.#news.faults.push(describe(error))
    // Not a refusal but a fault (no coordinator, a broken connection): don't spin.
    if (!(error instanceof TripRefused)) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  #tell(trip: Trip, outcome: 'committed' | 'aborted' | 'unknown'): void {
    writeSync(this.#toldFile, `${trip.booking} ${outcome}\n`)
  }

  #report(): void {
    const { committed, aborted, unknown } = this.#news
    if (committed.length + aborted + unknown === 0) return
    // When the stage was killed the channel breaks before `disconnect` says so; without a callback that would be thrown.
    process.send?.(this.#news, undefined, undefined, () => {})
    this.#news = emptyNews()
  }
}

function emptyNews(): ApplicationNews {
  return { kind: 'news', committed: [], latenciesMs: [], aborted: 0, refused: 0, unknown: 0, faults: [] }
}

function describe(error: unknown): string {
  if (error instanceof TransactionAbortedError) return `${error.code} ${error.reason}`
  if (error instanceof ConcordatError) return error.code
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

// The stage talks to this process over the channel it was spawned with; when the stage is gone, so is the application.
let application: Application | undefined
process.on('disconnect', () => process.exit(1))
// Ctrl-C reaches the whole terminal group: the stage decides when applications stop.
process.on('SIGINT', () => {})
process.on('message', (orders: ApplicationOrders | { kind: 'stop' } | { kind: 'horizon'; horizon: number }) => {
  if (orders.kind === 'stop') application?.stop()
  else if (orders.kind === 'horizon') application?.moveTo(orders.horizon)
  else {
    application = new Application(orders)
    application.run().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  }
})
