import { toError } from '../../../base/index.ts'
import type { Host } from '../host.ts'
import { SimPool, withinTime } from '../pool.ts'
import { DriverWire } from '../wire.ts'
import { SimPgClient } from './pg-client.ts'
import type { PgFailure, PgRequest, PgResult } from './protocol.ts'
import { PG_WORDS } from './words.ts'

export interface SimPgPoolOptions {
  /** The server's name. */
  readonly database: string
  /** Default 10. */
  readonly max?: number
  /** After so long without a session `connect` fails. Default 5,000. */
  readonly connectionTimeoutMs?: number
}

/** A pool of `pg`'s shape whose connections lead to a SimPostgres. It lives in the application's process. */
export class SimPgPool {
  readonly #host: Host
  readonly #options: Required<SimPgPoolOptions>
  readonly #pool: SimPool<SimPgClient>

  constructor(host: Host, options: SimPgPoolOptions) {
    this.#host = host
    this.#options = { max: 10, connectionTimeoutMs: 5_000, ...options }
    this.#pool = new SimPool(
      this.#options.max,
      () => this.#open(),
      (client) => client.close(),
    )
  }

  /** As the driver's pool: with a callback, in the turn in which the client is there, or with a promise. */
  connect(): Promise<SimPgClient>
  connect(callback: (error: Error | undefined, client?: SimPgClient) => void): void
  connect(callback?: (error: Error | undefined, client?: SimPgClient) => void): Promise<SimPgClient> | undefined {
    const taken = this.#take()
    if (callback === undefined) return taken
    taken.then(
      (client) => callback(undefined, client),
      (error) => callback(toError(error)),
    )
    return undefined
  }

  async #take(): Promise<SimPgClient> {
    const { connectionTimeoutMs } = this.#options
    const client = await withinTime(
      this.#host.clock,
      connectionTimeoutMs,
      this.#pool.take(),
      () => new Error('timeout exceeded when trying to connect'),
      (late) => this.#pool.giveBack(late),
    )
    return client.checkOut((error) => {
      if (error) this.#pool.discard(client)
      else this.#pool.giveBack(client)
    })
  }

  async end(): Promise<void> {
    this.#pool.end()
  }

  async #open(): Promise<SimPgClient> {
    let client: SimPgClient | undefined
    const { database } = this.#options
    const startup = { kind: 'startup' } as const
    const wire = await DriverWire.open<PgRequest, PgResult, PgFailure>(
      this.#host,
      database,
      startup,
      PG_WORDS,
      (error) => {
        client?.onLost(error)
        if (client !== undefined) this.#lost(client)
      },
    )
    client = new SimPgClient(wire)
    return client
  }

  /** An idle one leaves the pool at once; one that is out comes back by itself. */
  #lost(client: SimPgClient): void {
    if (!client.isCheckedOut) this.#pool.discard(client)
  }
}
