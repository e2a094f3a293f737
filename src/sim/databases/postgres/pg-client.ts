import { ErrorListeners } from '../listeners.ts'
import { type QueryTarget, SimPgQuery, type SimPgQueryConfig, type SimPgResult, Unsynced } from './pg-query.ts'
import type { PgRequest, PgWire } from './protocol.ts'

/** `pg`'s connection below the client, as far as our adapter and queries use it. */
export class SimPgConnection implements QueryTarget {
  readonly stream = {}
  readonly #unsynced = new Unsynced()
  #request: PgRequest | undefined

  query(text: string): void {
    this.#request = { kind: 'simple', text }
  }

  parse({ text }: { readonly text: string }): void {
    this.#unsynced.parse(text)
  }

  bind({ values = [] }: { readonly values?: readonly unknown[] }): void {
    this.#unsynced.bind(values)
  }

  execute(_message: { readonly portal: string }): void {}

  sync(): void {
    this.#request = { kind: 'extended', statements: this.#unsynced.take() }
  }

  /** What the submitted query wants sent. */
  takeRequest(): PgRequest {
    const request = this.#request
    this.#request = undefined
    if (request === undefined) throw new Error('a query was submitted and sent nothing')
    return request
  }
}

/** A client of `pg`'s shape, checked out of its pool. */
export class SimPgClient {
  static readonly Query = SimPgQuery
  readonly connection = new SimPgConnection()
  readonly #wire: PgWire
  readonly #errors = new ErrorListeners()
  #giveBack: ((error: unknown) => void) | undefined

  constructor(wire: PgWire) {
    this.#wire = wire
  }

  get isUsable(): boolean {
    return this.#wire.lost === undefined
  }

  get isCheckedOut(): boolean {
    return this.#giveBack !== undefined
  }

  query(query: SimPgQuery): SimPgQuery
  query(config: string | SimPgQueryConfig, values?: readonly unknown[]): Promise<SimPgResult>
  query(
    config: string | SimPgQueryConfig | SimPgQuery,
    values?: readonly unknown[],
  ): SimPgQuery | Promise<SimPgResult> {
    if (config instanceof SimPgQuery) {
      this.#submit(config)
      return config
    }
    return new Promise((resolve, reject) => {
      this.#submit(
        new SimPgQuery(config, values, (error: unknown, result: SimPgResult) =>
          error ? reject(error) : resolve(result),
        ),
      )
    })
  }

  /** What a plug-in of the driver may do: a statement of which nobody hears, not even that it failed. */
  sendUnheard(text: string): void {
    this.#submit(new SimPgQuery(text))
  }

  release(error?: Error | boolean): void {
    const giveBack = this.#giveBack
    if (giveBack === undefined) throw new Error('Release called on client which has already been released to the pool.')
    this.#giveBack = undefined
    giveBack(error)
  }

  on(_event: 'error', listener: (error: Error) => void): this {
    this.#errors.add(listener)
    return this
  }

  removeListener(_event: 'error', listener: (error: Error) => void): this {
    this.#errors.remove(listener)
    return this
  }

  /** The pool hands it out. */
  checkOut(giveBack: (error: unknown) => void): this {
    this.#giveBack = giveBack
    return this
  }

  /** The connection broke. In the pool nobody minds; checked out without a listener it would end the process. */
  onLost(error: Error): void {
    if (this.#giveBack !== undefined) this.#errors.emit(error)
  }

  close(): void {
    this.#wire.close()
  }

  #submit(query: SimPgQuery): void {
    query.submit(this.connection)
    this.#wire.send(
      this.connection.takeRequest(),
      (completed) => query.handleCompleted(completed, this.connection),
      (error) => query.handleError(error, this.connection),
    )
  }
}
