import type { Places } from './companies.ts'

/** What the stage tells a new application process. */
export interface ApplicationOrders {
  readonly kind: 'start'
  /** Unique over the whole run: booking numbers begin with it. */
  readonly name: string
  readonly seed: number
  readonly places: Places
  /** Bookings under way at a time. */
  readonly concurrency: number
  /** Where each outcome told is appended, `booking outcome` a line. */
  readonly toldFile: string
  readonly horizon: number
}

/** What an application reports, some times a second. */
export interface ApplicationNews {
  readonly kind: 'news'
  /** When each commit was learned, milliseconds since 1970. */
  readonly committed: number[]
  /** How long each of them took, in the same order. */
  readonly latenciesMs: number[]
  aborted: number
  /** Of the aborted: the booking itself refused (seat taken, room taken, money short). */
  refused: number
  unknown: number
  /** Of the aborted: everything else, in short words. */
  readonly faults: string[]
}
