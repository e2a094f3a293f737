import { DriverMissingError } from '../errors.ts'
import type { BranchGuard } from '../guard.ts'
import type { DriverSession, PostgresDriver, Reply } from './driver.ts'
import { sqlStateOf } from './errors.ts'
import { guardSql } from './js-session.ts'
import type { JsConnectionShape, JsReservedShape, JsSqlShape } from './js-shapes.ts'

/** Adapts a `sql` function of the `postgres` package (postgres.js). */
export function postgresJsDriver<Client>(sql: JsSqlShape): PostgresDriver<Client> {
  return {
    acquire: async () => new JsSession<Client>(await sql.reserve()),
  }
}

/**
 * A reserved session of postgres.js. The driver keeps a reserved function usable after its connection has closed, and may by then have
 * given that connection, opened anew, to somebody else. So loss must be noticed the moment it happens, and nothing sent afterwards.
 */
class JsSession<Client> implements DriverSession<Client> {
  /** The driver keeps the error with which a server ended a connection, and throws it at the next reservation of the one in its place. */
  readonly closesBadly = true
  readonly #sql: JsReservedShape
  #connection: JsConnectionShape | undefined
  #lost: Error | undefined
  #opened = false
  #guard: BranchGuard | undefined
  #id: string | undefined

  constructor(sql: JsReservedShape) {
    this.#sql = sql
  }

  get id(): string | undefined {
    return this.#id
  }

  get lost(): Error | undefined {
    return this.#lost
  }

  get opened(): boolean {
    return this.#opened
  }

  async open(statements: readonly string[], guard: BranchGuard): Promise<Client> {
    this.#guard = guard
    // Awaited, although it could travel with the application's first statement: postgres.js ends every query with a Sync
    // of its own. If this one failed (a cancel that came late), the statement behind it would commit by itself, and no
    // abort could take that back (P1). The price is one round trip; `pg` shares one safely.
    await this.#send(statements.join('; '))
    this.#opened = true
    return guardSql(this.#sql, guard, () => this.#lost) as Client
  }

  run(sql: string): Promise<Reply> {
    return this.#send(sql)
  }

  release(): void {
    if (this.#lost === undefined) {
      if (this.#connection !== undefined) this.#connection.onclose = null
      this.#sql.release()
    }
  }

  discard(): void {
    // The driver takes a closed connection back by itself; releasing it too would hand it out closed.
    if (this.#lost !== undefined) return
    this.#send('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {})
    this.#lost = new Error('the session was closed')
  }

  async #send(text: string): Promise<Reply> {
    if (this.#lost !== undefined) throw this.#lost
    try {
      const result = await this.#sql.unsafe(text, [], { onexecute: (connection) => this.#watch(connection) })
      const results = isList(result) ? result : [result as JsResult]
      this.#id = results.at(-1)?.state?.pid?.toString()
      return { command: results.at(-1)?.command ?? '', rows: results[0] ?? [] }
    } catch (error) {
      if (sqlStateOf(error) === undefined) this.#lose(error as Error)
      throw error
    }
  }

  /** Learns the connection behind the reserved function the way that the driver's own `begin` does. */
  #watch(connection: JsConnectionShape): boolean {
    this.#connection = connection
    connection.onclose = (error) => this.#lose(error)
    return true
  }

  #lose(error: Error): void {
    this.#lost ??= error
    this.#guard?.poison(error)
  }
}

type JsResult = {
  readonly command?: string
  /** Of the connection that it came over. */
  readonly state?: { readonly pid?: number | null }
} & readonly Record<string, unknown>[]

function isList(result: unknown): result is JsResult[] {
  return Array.isArray(result) && Array.isArray(result[0])
}

/** @throws DriverMissingError when the function lacks what the adapter needs */
export function assertReservable(sql: unknown): asserts sql is JsSqlShape {
  if (typeof (sql as { reserve?: unknown }).reserve === 'function') return
  throw new DriverMissingError('this postgres.js has no sql.reserve(); concordat needs postgres 3.4 or newer')
}
