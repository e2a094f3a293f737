import { type Clock, sleep } from '../base/index.ts'
import { ResourceExhaustedError, ResourceMisconfiguredError } from './errors.ts'

/** Places for prepared branches on one server. */
export interface Slots {
  readonly used: number
  /** With so many in use nobody is let in. */
  readonly limit: number
}

/** How a gate behaves, milliseconds. */
export interface SlotGateOptions {
  /** A look at the server is good for so long. */
  readonly freshMs: number
  /** The same while the gate is closed. */
  readonly closedMs: number
  /** How long a branch waits for the gate to open before it is refused. */
  readonly patienceMs: number
}

export const SLOT_GATE_DEFAULTS: SlotGateOptions = { freshMs: 1_000, closedMs: 50, patienceMs: 250 }

/** This part of the places is kept free: for branches that were let in and are not prepared yet. */
const RESERVE = 0.1

/**
 * Keeps transactions out of a database whose places for prepared branches run out. They hear so when they begin, with
 * nothing done and no lock taken, rather than at PREPARE after all their work; and those that are at work find a place.
 *
 * It looks at the server about once a second, in the session of a branch that begins, and counts the branches of its own
 * process in between. So it is no exact count: when many processes prepare at once, PREPARE may still be refused.
 */
export class SlotGate {
  readonly #resource: string
  readonly #clock: Clock
  readonly #options: SlotGateOptions
  #seen: Slots | undefined
  #seenMs = Number.NEGATIVE_INFINITY
  /** Own branches that were prepared since the look, less those that ended. */
  #own = 0
  #looking = false

  constructor(resource: string, clock: Clock, options: SlotGateOptions = SLOT_GATE_DEFAULTS) {
    this.#resource = resource
    this.#clock = clock
    this.#options = options
  }

  /**
   * Lets a branch in.
   *
   * @param look asks the server
   * @throws ResourceExhaustedError when there is no place after a little while; what `look` throws
   */
  async admit(look: () => Promise<Slots>, signal?: AbortSignal): Promise<void> {
    const { freshMs, closedMs, patienceMs } = this.#options
    const untilMs = this.#clock.monotonicMs() + patienceMs
    for (;;) {
      await this.#refresh(look, this.#isOpen ? freshMs : closedMs)
      if (this.#isOpen) return
      if (signal?.aborted || this.#clock.monotonicMs() >= untilMs) throw this.#refusal()
      await sleep(this.#clock, closedMs)
    }
  }

  /** A branch of this process was prepared. */
  took(): void {
    this.#own++
  }

  /** A prepared branch of this process has ended. */
  gave(): void {
    this.#own--
  }

  get #isOpen(): boolean {
    return this.#seen === undefined || this.#seen.used + this.#own < this.#seen.limit
  }

  /** One look at a time: who comes meanwhile goes by the last one. */
  async #refresh(look: () => Promise<Slots>, goodMs: number): Promise<void> {
    if (this.#looking || this.#clock.monotonicMs() - this.#seenMs < goodMs) return
    this.#looking = true
    try {
      this.#seen = await look()
      this.#seenMs = this.#clock.monotonicMs()
      this.#own = 0
    } finally {
      this.#looking = false
    }
  }

  #refusal(): ResourceExhaustedError {
    const { used, limit } = this.#seen!
    return new ResourceExhaustedError(
      `database "${this.#resource}" holds ${used + this.#own} prepared branches, and nobody is let in from ${limit} on; nothing was begun. Try again in a moment. If it stays so, branches wait for their end (concordat in-doubt shows them), or the server has too few places (max_prepared_transactions)`,
    )
  }
}

/** With so many of `max` places in use nobody is let in any more; one may always be used, whatever the reserve. */
export function limitOf(max: number): number {
  return Math.max(1, max - Math.max(1, Math.ceil(max * RESERVE)))
}

/** @throws ResourceMisconfiguredError for a limit that is no whole number from 1 */
export function checkPreparedMax(resource: string, preparedMax: number | undefined): void {
  if (preparedMax === undefined || (Number.isInteger(preparedMax) && preparedMax >= 1)) return
  throw new ResourceMisconfiguredError(
    resource,
    `the option preparedMax is ${preparedMax}, and must be a whole number from 1`,
  )
}
