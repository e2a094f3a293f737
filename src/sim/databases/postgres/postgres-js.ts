import type { Host } from '../host.ts'
import { SimPool } from '../pool.ts'
import type { Row } from '../store/index.ts'
import { type Completed, DriverWire } from '../wire.ts'
import type { PgFailure, PgRequest, PgResult, PgWire } from './protocol.ts'
import { PG_WORDS } from './words.ts'

/** What postgres.js gives back for a statement: its rows, with the command on them. */
export type SimJsResult = Row[] & { command: string; count: number }

/** Sends a query. Our adapter puts its own in front. */
type Handler = ((query: SimJsQuery) => void) & { debug?: unknown }

interface QueryOptions {
  readonly onexecute?: (connection: SimJsConnection) => boolean
}

/** The driver's connection as `onexecute` shows it. */
export class SimJsConnection {
  onclose: ((error: Error) => void) | null = null
  readonly #wire: PgWire

  constructor(wire: PgWire) {
    this.#wire = wire
  }

  get isUsable(): boolean {
    return this.#wire.lost === undefined
  }

  close(): void {
    this.#wire.close()
  }

  send(query: SimJsQuery): void {
    const { text, args } = query
    const request: PgRequest =
      args.length === 0 ? { kind: 'simple', text } : { kind: 'extended', statements: [{ text, values: args }] }
    this.#wire.send(
      request,
      ({ results, error }) => (error === undefined ? query.resolve(resultOf(results)) : query.reject(error)),
      (error) => query.reject(error),
    )
  }
}

/** A query: sent when somebody waits for it, a moment later. */
export class SimJsQuery implements PromiseLike<SimJsResult> {
  readonly strings: readonly string[]
  readonly args: readonly unknown[]
  handler: Handler
  resolve!: (result: unknown) => void
  reject!: (error: unknown) => void
  readonly #settled: Promise<SimJsResult>
  #isSent = false

  constructor(strings: readonly string[], args: readonly unknown[], handler: Handler) {
    this.strings = strings
    this.args = args
    this.handler = handler
    this.#settled = new Promise<SimJsResult>((resolve, reject) => {
      this.resolve = resolve as (result: unknown) => void
      this.reject = reject
    })
  }

  get text(): string {
    return this.strings.reduce((text, part, index) => `${text}$${index}${part}`)
  }

  // biome-ignore lint/suspicious/noThenProperty: postgres.js sends a query when somebody waits for it
  then<A = SimJsResult, B = never>(
    onResult?: ((result: SimJsResult) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#send()
    return this.#settled.then(onResult, onError)
  }

  catch<B>(onError: (error: unknown) => B | PromiseLike<B>): Promise<SimJsResult | B> {
    return this.then(undefined, onError)
  }

  #send(): void {
    if (this.#isSent) return
    this.#isSent = true
    queueMicrotask(() => this.handler(this))
  }
}

/** A session taken out of the pool: a tag function. */
export interface SimJsReserved {
  (strings: readonly string[], ...args: unknown[]): SimJsQuery
  unsafe(text: string, args?: readonly unknown[], options?: QueryOptions): SimJsQuery
  release(): void
}

export interface SimJsSqlOptions {
  /** The server's name. */
  readonly database: string
  /** Default 10. */
  readonly max?: number
}

/** postgres.js's `sql`, as far as our adapter uses it. It lives in the application's process. */
export class SimJsSql {
  readonly #host: Host
  readonly #database: string
  readonly #pool: SimPool<SimJsConnection>

  constructor(host: Host, { database, max = 10 }: SimJsSqlOptions) {
    this.#host = host
    this.#database = database
    this.#pool = new SimPool(
      max,
      () => this.#open(),
      (connection) => connection.close(),
    )
  }

  async reserve(): Promise<SimJsReserved> {
    const connection = await this.#pool.take()
    const handler: Handler = (query) => connection.send(query)
    const tag = (strings: readonly string[], ...args: unknown[]) => new SimJsQuery(strings, args, handler)
    const unsafe = (text: string, args: readonly unknown[] = [], { onexecute }: QueryOptions = {}) =>
      new SimJsQuery([text], args, (query) => {
        onexecute?.(connection)
        connection.send(query)
      })
    return Object.assign(tag, { unsafe, release: () => this.#pool.giveBack(connection) })
  }

  async end(): Promise<void> {
    this.#pool.end()
  }

  async #open(): Promise<SimJsConnection> {
    let connection: SimJsConnection | undefined
    const wire = await DriverWire.open<PgRequest, PgResult, PgFailure>(
      this.#host,
      this.#database,
      { kind: 'startup' },
      PG_WORDS,
      (error) => {
        if (connection === undefined) return
        connection.onclose?.(error)
        connection.onclose = null
        // The driver takes a closed connection back by itself, reserved or not.
        this.#pool.discard(connection)
      },
    )
    connection = new SimJsConnection(wire)
    return connection
  }
}

function resultOf(results: Completed<PgResult>['results']): SimJsResult | SimJsResult[] {
  const made = results.map(({ tag, count, rows }) => Object.assign([...rows], { command: tag, count }))
  return made.length === 1 ? made[0]! : made
}
