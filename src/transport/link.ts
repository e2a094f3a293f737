import { type Clock, Prng, type Timer, toError } from '../base/index.ts'
import type { Connection } from './connection.ts'
import { type DialOptions, dial } from './dial.ts'
import { ConnectionClosedError } from './errors.ts'
import type { Hello, Message } from './messages.ts'

const BACKOFF_MS_MIN = 50
const BACKOFF_MS_MAX = 5000
/** A connection that lasted so long ends a series of failures. One that was shorter counts as one of them. */
const STEADY_MS = 1000

export interface LinkOptions extends Omit<DialOptions, 'hello' | 'signal'> {
  /** Asked anew for each open stream: identity and term of knowledge may have changed. */
  readonly hello: () => Hello
  /** Seeds the jitter of the back-off; a different one for each link, so that a fleet does not come back in step. */
  readonly seed: number
  readonly onUp: (connection: Connection) => void
  /** After each lost connection (`attempts` 0) and each failed attempt (1, 2, …). A new attempt follows. */
  readonly onDown: (error: Error, attempts: number) => void
  readonly onMessage: (message: Message) => void
  /** Called after the last message of a chunk. */
  readonly onBatchEnd?: () => void
}

/** Keeps one connection alive: dials, and dials again with exponential back-off (50 ms to 5 s) and jitter. */
export class Link {
  readonly #options: LinkOptions
  readonly #clock: Clock
  readonly #prng: Prng
  readonly #stop = new AbortController()
  #connection: Connection | undefined
  #retry: Timer | undefined
  #failures = 0
  #upSinceMs = 0

  /** Begins to dial at once. */
  constructor(options: LinkOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#prng = new Prng(options.seed)
    this.#dial()
  }

  /** The connection, while there is one. */
  get connection(): Connection | undefined {
    return this.#connection
  }

  /** @returns false when it was NOT queued: there is no connection, or its queue is at its cap */
  send(message: Message): boolean {
    return this.#connection?.send(message) ?? false
  }

  /** Dials now instead of waiting for the back-off to end: somebody knows that the other side is back. */
  hurry(): void {
    if (this.#retry === undefined) return
    this.#clock.cancel(this.#retry)
    this.#dial()
  }

  /** Ends the connection and never dials again. No callback comes afterwards. */
  close(reason = 'the link was closed'): void {
    if (this.#stop.signal.aborted) return
    this.#stop.abort(new ConnectionClosedError(reason))
    if (this.#retry !== undefined) this.#clock.cancel(this.#retry)
    this.#retry = undefined
    this.#connection?.close(reason)
    this.#connection = undefined
  }

  #dial(): void {
    this.#retry = undefined
    dial({ ...this.#options, signal: this.#stop.signal }).then(
      (connection) => this.#up(connection),
      (error: unknown) => this.#failed(toError(error)),
    )
  }

  #up(connection: Connection): void {
    if (this.#stop.signal.aborted) {
      connection.close('the link was closed')
      return
    }
    this.#connection = connection
    this.#upSinceMs = this.#clock.monotonicMs()
    connection.onClose = (reason) => this.#down(reason)
    connection.onBatchEnd = this.#options.onBatchEnd
    this.#options.onUp(connection)
    connection.onMessage = this.#options.onMessage
  }

  #down(reason: Error): void {
    this.#connection = undefined
    if (this.#stop.signal.aborted) return
    const steady = this.#clock.monotonicMs() - this.#upSinceMs >= STEADY_MS
    this.#failures = steady ? 0 : this.#failures + 1
    this.#retryLater()
    this.#options.onDown(reason, 0)
  }

  #failed(error: Error): void {
    if (this.#stop.signal.aborted) return
    this.#failures += 1
    this.#retryLater()
    this.#options.onDown(error, this.#failures)
  }

  /** Doubles from 50 ms to 5 s; half of it is jitter. */
  #retryLater(): void {
    const ceilingMs = Math.min(BACKOFF_MS_MIN * 2 ** Math.min(this.#failures, 10), BACKOFF_MS_MAX)
    const delayMs = ceilingMs / 2 + this.#prng.below(ceilingMs / 2)
    this.#retry = this.#clock.after(delayMs, () => this.#dial())
  }
}
