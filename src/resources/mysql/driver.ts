import type { PooledSession } from '../access.ts'
import { DriverMissingError } from '../errors.ts'
import type { BranchGuard } from '../guard.ts'
import { errnoOf } from './errors.ts'
import { guardCallbacks, guardPromises } from './session.ts'
import type { CoreConnectionShape, CorePoolShape, PromiseConnectionShape, PromisePoolShape } from './shapes.ts'

/** One session out of a pool. `Client` is what the application uses in a branch. */
export interface MysqlSession<Client> extends PooledSession {
  /** Whether one text may hold several statements (the pool's option `multipleStatements`). */
  readonly takesMany: boolean
  /** The client, which reports to `guard`. */
  guarded(guard: BranchGuard): Client
  run(sql: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>
}

/** What concordat needs of a MySQL driver. */
export interface MysqlDriver<Client> {
  acquire(): Promise<MysqlSession<Client>>
}

/** Adapts a mysql2 pool, with promises or with callbacks. @throws DriverMissingError when it is neither */
export function mysqlDriver<Client>(pool: unknown): MysqlDriver<Client> {
  if (isPromisePool(pool)) {
    return { acquire: async () => new Mysql2Session<Client>(await pool.getConnection()) }
  }
  if (typeof (pool as CorePoolShape | undefined)?.getConnection === 'function') {
    return { acquire: async () => new Mysql2Session<Client>(await takeCore(pool as CorePoolShape)) }
  }
  throw new DriverMissingError(
    'this is not a mysql2 pool: it has no getConnection(). Make one with mysql2.createPool().',
  )
}

export function isPromisePool(pool: unknown): pool is PromisePoolShape {
  const inner = (pool as PromisePoolShape | undefined)?.pool
  return typeof inner === 'object' && inner !== null
}

function takeCore(pool: CorePoolShape): Promise<CoreConnectionShape> {
  return new Promise((resolve, reject) =>
    pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection))),
  )
}

class Mysql2Session<Client> implements MysqlSession<Client> {
  readonly #given: PromiseConnectionShape | CoreConnectionShape
  readonly #core: CoreConnectionShape
  readonly #onError: (error: Error) => void
  #lost: Error | undefined

  constructor(given: PromiseConnectionShape | CoreConnectionShape) {
    this.#given = given
    this.#core = 'connection' in given ? given.connection : given
    this.#onError = (error) => this.#lose(error)
    this.#core.on('error', this.#onError)
  }

  get id(): string | undefined {
    return this.#core.threadId?.toString()
  }

  get lost(): Error | undefined {
    return this.#lost
  }

  get takesMany(): boolean {
    return this.#core.config?.multipleStatements === true
  }

  guarded(guard: BranchGuard): Client {
    const client = this.#given === this.#core ? guardCallbacks(this.#core, guard) : guardPromises(this.#given, guard)
    return client as Client
  }

  async run(sql: string, values: readonly unknown[] = []): Promise<readonly Record<string, unknown>[]> {
    if (this.#lost !== undefined) throw this.#lost
    try {
      return await new Promise((resolve, reject) =>
        this.#core.query({ sql, rowsAsArray: false, nestTables: false }, values, (error, result) =>
          error ? reject(error) : resolve(Array.isArray(result) ? result : []),
        ),
      )
    } catch (error) {
      if (errnoOf(error) === undefined) this.#lose(error as Error)
      throw error
    }
  }

  release(): void {
    this.#core.removeListener('error', this.#onError)
    this.#core.release()
  }

  discard(): void {
    // Our listener stays on: a late error of a closed connection must not end the process.
    this.#core.destroy()
  }

  #lose(error: Error): void {
    this.#lost ??= error
  }
}
