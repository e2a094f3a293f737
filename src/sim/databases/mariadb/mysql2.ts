import type { Host } from '../host.ts'
import { SimPool, withinTime } from '../pool.ts'
import type { Row } from '../store/index.ts'
import { DriverWire } from '../wire.ts'
import type { MyFailure, MyRequest, MyResult, MyWire } from './protocol.ts'
import { MYSQL_WORDS } from './words.ts'

type Callback = (error: Error | null, result?: unknown) => void
type ErrorListener = (error: Error) => void

/** Several results are an array of them; rows an array; anything else a header, as mysql2 has it. */
export type SimMysqlResult = readonly Row[] | { readonly affectedRows: number }

/** mysql2's callback connection, as far as our adapter and workloads use it. */
export class SimMysqlConnection {
  readonly config: { readonly multipleStatements: boolean }
  readonly #wire: MyWire
  readonly #listeners: ErrorListener[] = []
  readonly #giveBack: (connection: SimMysqlConnection, destroyed: boolean) => void

  constructor(
    wire: MyWire,
    multipleStatements: boolean,
    giveBack: (connection: SimMysqlConnection, destroyed: boolean) => void,
  ) {
    this.#wire = wire
    this.config = { multipleStatements }
    this.#giveBack = giveBack
  }

  get isUsable(): boolean {
    return this.#wire.lost === undefined
  }

  query(
    given: string | { readonly sql: string },
    values: readonly unknown[] | Callback,
    callback?: Callback,
  ): undefined {
    const text = typeof given === 'string' ? given : given.sql
    const [list, done] = typeof values === 'function' ? [[], values] : [values, callback]
    this.#wire.send(
      { kind: 'query', text, values: list },
      ({ results, error }) => (error === undefined ? done?.(null, resultOf(results)) : done?.(error)),
      (error) => done?.(error),
    )
  }

  release(): void {
    this.#giveBack(this, false)
  }

  destroy(): void {
    this.#giveBack(this, true)
  }

  promise(): SimMysqlPromiseConnection {
    return new SimMysqlPromiseConnection(this)
  }

  on(_event: 'error', listener: ErrorListener): this {
    this.#listeners.push(listener)
    return this
  }

  removeListener(_event: 'error', listener: ErrorListener): this {
    const index = this.#listeners.lastIndexOf(listener)
    if (index >= 0) this.#listeners.splice(index, 1)
    return this
  }

  /** mysql2's pool listens to every connection itself, so nothing is ever unheard. */
  onLost(error: Error): void {
    for (const listener of [...this.#listeners]) listener(error)
  }

  close(): void {
    this.#wire.close()
  }
}

/** mysql2's promise connection: a wrapper around the other one. */
export class SimMysqlPromiseConnection {
  readonly connection: SimMysqlConnection

  constructor(connection: SimMysqlConnection) {
    this.connection = connection
  }

  query(sql: string, values: readonly unknown[] = []): Promise<[SimMysqlResult, undefined]> {
    return new Promise((resolve, reject) =>
      this.connection.query(sql, values, (error, result) =>
        error ? reject(error) : resolve([result as SimMysqlResult, undefined]),
      ),
    )
  }

  release(): void {
    this.connection.release()
  }
}

export interface SimMysqlPoolOptions {
  /** The server's name. */
  readonly database: string
  /** Default 10. */
  readonly connectionLimit?: number
  readonly multipleStatements?: boolean
  /** After so long without a session `getConnection` fails. Default 10,000. */
  readonly connectTimeoutMs?: number
}

/** mysql2's callback pool. It lives in the application's process. */
export class SimMysqlPool {
  readonly #host: Host
  readonly #options: Required<SimMysqlPoolOptions>
  readonly #pool: SimPool<SimMysqlConnection>

  constructor(host: Host, options: SimMysqlPoolOptions) {
    this.#host = host
    this.#options = { connectionLimit: 10, multipleStatements: false, connectTimeoutMs: 10_000, ...options }
    this.#pool = new SimPool(
      this.#options.connectionLimit,
      () => this.#open(),
      (connection) => connection.close(),
    )
  }

  getConnection(callback: (error: Error | null, connection: SimMysqlConnection) => void): void {
    withinTime(
      this.#host.clock,
      this.#options.connectTimeoutMs,
      this.#pool.take(),
      () => Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT', fatal: true }),
      (late) => this.#pool.giveBack(late),
    ).then(
      (connection) => callback(null, connection),
      (error: Error) => callback(error, undefined as never),
    )
  }

  promise(): SimMysqlPromisePool {
    return new SimMysqlPromisePool(this)
  }

  end(): void {
    this.#pool.end()
  }

  async #open(): Promise<SimMysqlConnection> {
    const { database, multipleStatements } = this.#options
    let connection: SimMysqlConnection | undefined
    const wire = await DriverWire.open<MyRequest, MyResult, MyFailure>(
      this.#host,
      database,
      { kind: 'startup' },
      MYSQL_WORDS,
      (error) => {
        connection?.onLost(error)
        if (connection !== undefined) this.#pool.discard(connection)
      },
    )
    connection = new SimMysqlConnection(wire, multipleStatements, (given, destroyed) => {
      if (destroyed) this.#pool.discard(given)
      else this.#pool.giveBack(given)
    })
    return connection
  }
}

/** mysql2's promise pool: a wrapper around the other one. */
export class SimMysqlPromisePool {
  readonly pool: SimMysqlPool

  constructor(pool: SimMysqlPool) {
    this.pool = pool
  }

  getConnection(): Promise<SimMysqlPromiseConnection> {
    return new Promise((resolve, reject) =>
      this.pool.getConnection((error, connection) =>
        error ? reject(error) : resolve(new SimMysqlPromiseConnection(connection)),
      ),
    )
  }

  end(): void {
    this.pool.end()
  }
}

function resultOf(results: readonly MyResult[]): unknown {
  const made = results.map(({ rows, affectedRows }) => rows?.map(withBuffer) ?? { affectedRows })
  return made.length === 1 ? made[0] : made
}

/** The xids of XA RECOVER arrive as bytes. */
function withBuffer(row: Row): object {
  return typeof row.gtrid_length === 'number' ? { ...row, data: Buffer.from(String(row.data), 'latin1') } : row
}
