import { type BranchId, type Clock, hit, type Txid } from '../base/index.ts'
import type { ClientMessage, Connection } from '../transport/index.ts'

type Ack = Extract<ClientMessage, { kind: 'ack' }>

/** ACKs are sent again to a new leader for at least this long. */
const KEEP_MS = 10_000
/** ACKs kept in one generation, at most: what is beyond was surely replicated or is found by the resolver. */
const GENERATION_MAX = 200_000
/** ACKs that never found a leader, at most. */
const UNSENT_MAX = 1_000_000

/**
 * Sends ACKs one-way and remembers them: a leader that dies takes those with it that it had not written down yet, so the next leader
 * gets the last seconds' again (repeats are harmless). Two generations instead of a time for each: nothing to sort, little to hold.
 */
export class AckBook {
  readonly #clock: Clock
  readonly #schedule: (task: () => void) => void
  #connection: Connection | undefined
  #recent: Ack[] = []
  #older: Ack[] = []
  #unsent: Ack[] = []
  #rotatedMs: number
  #scheduled = false
  readonly #flushScheduled = (): void => {
    this.#scheduled = false
    this.flush()
  }

  /** @param schedule runs a task at the end of this turn of the event loop */
  constructor(clock: Clock, schedule: (task: () => void) => void = setImmediate) {
    this.#clock = clock
    this.#schedule = schedule
    this.#rotatedMs = clock.monotonicMs()
  }

  /** True when ACKs wait for a connection. */
  get isWaiting(): boolean {
    return this.#unsent.length > 0
  }

  /** Sent at the end of the turn, together with what else leaves then: nobody waits for an ACK, and a write for each costs both sides. */
  add(txid: Txid, branches: readonly BranchId[]): void {
    if (this.#unsent.length < UNSENT_MAX) this.#unsent.push({ kind: 'ack', txid, branches })
    if (this.#scheduled || this.#connection === undefined) return
    this.#scheduled = true
    this.#schedule(this.#flushScheduled)
  }

  /** Another connection leads: it gets everything that its predecessor may have lost. */
  switchTo(connection: Connection | undefined): void {
    this.#connection = connection
    if (connection === undefined) return
    this.#rotateIfDue()
    const again = [...this.#older, ...this.#recent]
    this.#older = []
    this.#recent = []
    this.#unsent = again.concat(this.#unsent)
    this.flush()
  }

  /** Sends what waits, as far as the connection takes it. */
  flush(): void {
    const waiting = this.#unsent
    this.#unsent = []
    for (const [index, ack] of waiting.entries()) {
      hit('client.ack.before-send', ack.txid)
      if (this.#connection?.send(ack) !== true) {
        this.#unsent = waiting.slice(index)
        return
      }
      hit('client.ack.sent', ack.txid)
      this.#keep(ack)
    }
  }

  #keep(ack: Ack): void {
    this.#rotateIfDue()
    this.#recent.push(ack)
  }

  #rotateIfDue(): void {
    const nowMs = this.#clock.monotonicMs()
    const ageMs = nowMs - this.#rotatedMs
    if (ageMs < KEEP_MS && this.#recent.length < GENERATION_MAX) return
    this.#older = ageMs < 2 * KEEP_MS ? this.#recent : []
    this.#recent = []
    this.#rotatedMs = nowMs
  }
}
