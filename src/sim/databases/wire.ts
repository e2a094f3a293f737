import type { Clock, Timer } from '../../base/index.ts'
import type { Channel } from '../kernel/types.ts'
import type { Host } from './host.ts'

/** How often a server asks whether its client is still there: what TCP keepalive does for real ones. */
export const KEEPALIVE_MS = 4_000
/** After this much silence either side takes the other for dead. */
export const SILENCE_MAX_MS = 3 * KEEPALIVE_MS

/** Keepalive: the server asks, the driver answers; both are below the protocol. */
export const PING = { kind: 'ping' } as const
export const PONG = { kind: 'pong' } as const

/** What a server answers to one request, whatever the database. */
export type Answer<Result, Failure> =
  | { readonly kind: 'ready'; readonly pid: number }
  | { readonly kind: 'done'; readonly results: readonly Result[]; readonly error: Failure | undefined }
  /** The connection closes after it. */
  | { readonly kind: 'fatal'; readonly error: Failure }

/** What came of one request. */
export interface Completed<Result> {
  readonly results: readonly Result[]
  readonly error: Error | undefined
}

/** How a driver words errors. */
export interface ErrorWords<Failure> {
  refused(failure: Failure): Error
  farewell(failure: Failure): Error
  /** @param cause undefined: the server closed the connection without a word */
  lost(cause: Error | undefined): Error
}

interface Pending<Request, Result> {
  readonly request: Request
  readonly done: (completed: Completed<Result>) => void
  /** The connection failed before an answer. */
  readonly lost: (error: Error) => void
}

/**
 * A driver's end of a connection: one request under way, the rest in a queue.
 *
 * Every request ends once: with the server's answer, or with the loss of the connection.
 */
export class DriverWire<Request, Result, Failure> {
  readonly #channel: Channel
  readonly #clock: Clock
  readonly #patience: Timer
  readonly #words: ErrorWords<Failure>
  readonly #onLost: (error: Error) => void
  readonly #queue: Pending<Request, Result>[] = []
  #active: Pending<Request, Result> | undefined
  #lost: Error | undefined
  #heardMs: number

  /** @param onLost called once, after everybody who waited has heard of it; not after our own `close` */
  constructor(channel: Channel, clock: Clock, words: ErrorWords<Failure>, onLost: (error: Error) => void) {
    this.#channel = channel
    this.#clock = clock
    this.#heardMs = clock.monotonicMs()
    this.#patience = clock.every(KEEPALIVE_MS, () => this.#checkSilence())
    this.#words = words
    this.#onLost = onLost
    channel.onMessage = (answer) => this.#receive(answer as Answer<Result, Failure> | typeof PING)
    channel.onClose = (error) => this.#lose(words.lost(error))
  }

  /** Connects and logs in with `startup`. @throws what a driver throws then */
  static async open<Request, Result, Failure>(
    host: Host,
    database: string,
    startup: Request,
    words: ErrorWords<Failure>,
    onLost: (error: Error) => void,
  ): Promise<DriverWire<Request, Result, Failure>> {
    const channel = await host.channels.connect(database)
    let isIn = false
    const wire = new DriverWire<Request, Result, Failure>(channel, host.clock, words, (error) => {
      if (isIn) onLost(error)
    })
    await new Promise<void>((resolve, reject) => wire.send(startup, () => resolve(), reject))
    isIn = true
    return wire
  }

  get lost(): Error | undefined {
    return this.#lost
  }

  send(request: Request, done: (completed: Completed<Result>) => void, lost: (error: Error) => void): void {
    if (this.#lost !== undefined) {
      const error = this.#lost
      queueMicrotask(() => lost(error))
      return
    }
    this.#queue.push({ request, done, lost })
    if (this.#active === undefined) this.#sendNext()
  }

  /** Closes the connection from this side. Who still waits hears that it was closed. */
  close(): void {
    if (this.#lost !== undefined) return
    this.#channel.close()
    this.#endAll(this.#words.lost(undefined))
  }

  #sendNext(): void {
    this.#active = this.#queue.shift()
    if (this.#active !== undefined) this.#channel.send(this.#active.request)
  }

  #receive(answer: Answer<Result, Failure> | typeof PING): void {
    if (this.#lost !== undefined) return
    this.#heardMs = this.#clock.monotonicMs()
    if (answer.kind === 'ping') {
      this.#channel.send(PONG)
      return
    }
    if (answer.kind === 'fatal') {
      // The server's farewell is the answer to what was under way; then it closes.
      this.#lose(this.#words.farewell(answer.error))
      this.#channel.close()
      return
    }
    const active = this.#active
    if (active === undefined) return
    const results = answer.kind === 'done' ? answer.results : []
    const failure = answer.kind === 'done' ? answer.error : undefined
    active.done({ results, error: failure === undefined ? undefined : this.#words.refused(failure) })
    this.#sendNext()
  }

  #checkSilence(): void {
    if (this.#clock.monotonicMs() - this.#heardMs < SILENCE_MAX_MS) return
    this.#channel.close()
    this.#lose(this.#words.lost(Object.assign(new Error('read ETIMEDOUT'), { code: 'ETIMEDOUT' })))
  }

  #lose(error: Error): void {
    if (this.#lost !== undefined) return
    this.#endAll(error)
    this.#onLost(error)
  }

  #endAll(error: Error): void {
    this.#lost = error
    this.#clock.cancel(this.#patience)
    const waiting = this.#active === undefined ? this.#queue.splice(0) : [this.#active, ...this.#queue.splice(0)]
    this.#active = undefined
    for (const pending of waiting) pending.lost(error)
  }
}
