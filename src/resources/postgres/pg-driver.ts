import type { BranchGuard } from '../guard.ts'
import type { DriverSession, PostgresDriver, Reply } from './driver.ts'
import { sqlStateOf } from './errors.ts'
import { guardPgClient } from './pg-session.ts'
import { type PgClientShape, type PgPoolShape, queryClassOf } from './pg-shapes.ts'

/** Adapts a `pg` pool. */
export function pgDriver<Client>(pool: PgPoolShape): PostgresDriver<Client> {
  return { acquire: () => acquire(pool) }
}

/**
 * With a callback, which the pool calls in the very turn in which it stops listening for errors of the client. A server
 * that is being shut down ends a new session in the same packet that opened it; an error that finds no listener would
 * end this process, and between the pool and an `await` there is none.
 */
function acquire<Client>(pool: PgPoolShape): Promise<PgSession<Client>> {
  return new Promise((resolve, reject) => {
    pool.connect((error, client) => (client === undefined ? reject(error) : resolve(new PgSession<Client>(client))))
  })
}

class PgSession<Client> implements DriverSession<Client> {
  readonly #client: PgClientShape
  readonly #onError: (error: Error) => void
  #lost: Error | undefined
  #opened = false

  constructor(client: PgClientShape) {
    this.#client = client
    // A checked-out client has no other listener: without one, a lost connection would end the process.
    this.#onError = (error) => {
      this.#lost ??= error
    }
    client.on('error', this.#onError)
  }

  get id(): string | undefined {
    return this.#client.processID?.toString()
  }

  get lost(): Error | undefined {
    return this.#lost
  }

  get opened(): boolean {
    return this.#opened
  }

  async open(statements: readonly string[], guard: BranchGuard): Promise<Client> {
    const Query = queryClassOf(this.#client)
    const opening = Query === undefined ? undefined : { Query, statements, onSent: () => this.#setOpened() }
    if (opening === undefined) {
      await this.run(statements.join('; '))
      this.#setOpened()
    }
    return guardPgClient(this.#client, guard, opening) as Client
  }

  async run(sql: string): Promise<Reply> {
    if (this.#lost !== undefined) throw this.#lost
    try {
      const result = await this.#client.query(sql)
      const results = Array.isArray(result) ? result : [result]
      return { command: results.at(-1)?.command ?? '', rows: results[0]?.rows ?? [] }
    } catch (error) {
      if (sqlStateOf(error) === undefined) this.#lost ??= error as Error
      throw error
    }
  }

  release(): void {
    this.#client.release()
    // Only now: the pool has its own listener on again.
    this.#client.removeListener('error', this.#onError)
  }

  discard(): void {
    // Our listener stays on: a late error of a closed connection must not end the process.
    this.#client.release(this.#lost ?? true)
  }

  #setOpened(): void {
    this.#opened = true
  }
}
