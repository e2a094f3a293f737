import type { Host } from '../host.ts'
import { SimPool, withinTime } from '../pool.ts'
import { SimPgClient } from './pg-client.ts'
import { PgWire } from './wire.ts'

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

  async connect(): Promise<SimPgClient> {
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
    const wire = await PgWire.open(this.#host, this.#options.database, (error) => {
      client?.onLost(error)
      if (client !== undefined) this.#lost(client)
    })
    client = new SimPgClient(wire)
    return client
  }

  /** An idle one leaves the pool at once; one that is out comes back by itself. */
  #lost(client: SimPgClient): void {
    if (!client.isCheckedOut) this.#pool.discard(client)
  }
}
