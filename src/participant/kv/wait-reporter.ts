import type { Clock, Timer } from '../../base/index.ts'
import type { KvParticipant } from '../../kv/index.ts'
import { type TransactionWait, WAITS_MAX } from '../../transport/index.ts'

/** What a reporter needs. */
export interface WaitReporterParts {
  readonly kv: Pick<KvParticipant, 'lockWaits'>
  readonly coordinators: { lockWaits(waits: readonly TransactionWait[]): void }
  readonly clock: Clock
}

/** How often waits are told, and how long one must last to be told at all. */
const REPORT_MS = 100
/** Of one wait so many blockers are told: who waits for more is told of the others when these have gone. */
const BLOCKERS_MAX = 64

/**
 * Tells the coordinators who waits here for whom: circles inside of this participant it finds itself, but one that goes on
 * in a database only they can see.
 */
export class WaitReporter {
  readonly #parts: WaitReporterParts
  #timer: Timer | undefined
  /** Something was told that is to be taken back. */
  #hasTold = false

  constructor(parts: WaitReporterParts) {
    this.#parts = parts
  }

  start(): void {
    this.#timer = this.#parts.clock.every(REPORT_MS, () => this.#report())
  }

  stop(): void {
    if (this.#timer !== undefined) this.#parts.clock.cancel(this.#timer)
    this.#timer = undefined
  }

  #report(): void {
    const waits = this.#parts.kv.lockWaits(REPORT_MS).slice(0, WAITS_MAX)
    if (waits.length === 0 && !this.#hasTold) return
    this.#hasTold = waits.length > 0
    this.#parts.coordinators.lockWaits(
      waits.map(({ blockers, ...wait }) => ({ ...wait, blockers: blockers.slice(0, BLOCKERS_MAX) })),
    )
  }
}
