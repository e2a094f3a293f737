import type { Row } from '../store/index.ts'
import type { Completed } from '../wire.ts'
import type { PgResult, PgStatement } from './protocol.ts'

/** What `pg` gives back for a statement. */
export interface SimPgResult {
  readonly command: string
  readonly rowCount: number | null
  readonly rows: Row[]
}

export interface SimPgQueryConfig {
  readonly name?: string
  readonly text: string
  readonly values?: readonly unknown[]
}

export type SimPgCallback = (error: unknown, result?: SimPgResult | SimPgResult[]) => void

/** The part of `pg`'s connection that a query sends itself through. Messages gather until `sync`. */
export interface QueryTarget {
  query(text: string): void
  parse(message: { readonly text: string }): void
  bind(message: { readonly values?: readonly unknown[] }): void
  execute(message: { readonly portal: string }): void
  sync(): void
}

/** `pg`'s Query: sends itself, and gathers what comes back. Our adapter rides on `submit`, `handleCommandComplete` and `handleError`. */
export class SimPgQuery {
  name: string | undefined
  text: string
  readonly values: readonly unknown[] | undefined
  callback: SimPgCallback | undefined
  readonly #results: SimPgResult[] = []
  #rows: readonly Row[] = []

  constructor(config: string | SimPgQueryConfig, values?: unknown, callback?: unknown) {
    const given = typeof config === 'string' ? { text: config } : config
    this.text = given.text
    this.name = 'name' in given ? given.name : undefined
    this.values = Array.isArray(values) ? values : 'values' in given ? given.values : undefined
    this.callback = [values, callback].find((one) => typeof one === 'function') as SimPgCallback | undefined
  }

  requiresPreparation(): boolean {
    return this.name !== undefined || (this.values !== undefined && this.values.length > 0)
  }

  submit(connection: QueryTarget): void {
    if (!this.requiresPreparation()) return connection.query(this.text)
    connection.parse({ text: this.text })
    connection.bind({ values: this.values ?? [] })
    connection.execute({ portal: '' })
    connection.sync()
  }

  handleCommandComplete(message: { readonly text?: string }, _connection: unknown): void {
    const [, command = '', count] = /^([A-Za-z]+).*?(\d+)?$/.exec(message.text ?? '') ?? []
    this.#results.push({ command, rowCount: count === undefined ? null : Number(count), rows: [...this.#rows] })
    this.#rows = []
  }

  handleError(error: unknown, _connection: unknown): void {
    this.callback?.(error)
  }

  /** Everything came: as `pg` does it, one message after the other. */
  handleCompleted({ results, error }: Completed<PgResult>, connection: unknown): void {
    for (const result of results) {
      this.#rows = result.rows
      this.handleCommandComplete({ text: messageOf(result) }, connection)
      // Rows of a statement that somebody else took for himself must not turn up in ours.
      this.#rows = []
    }
    if (error !== undefined) this.handleError(error, connection)
    else this.callback?.(null, this.#results.length === 1 ? this.#results[0]! : this.#results)
  }
}

function messageOf({ tag, count }: PgResult): string {
  if (tag === 'INSERT') return `INSERT 0 ${count}`
  return tag === 'SELECT' || tag === 'UPDATE' || tag === 'DELETE' ? `${tag} ${count}` : tag
}

/** Gathers the messages of the extended protocol. */
export class Unsynced {
  #statements: PgStatement[] = []

  parse(text: string): void {
    this.#statements.push({ text, values: [] })
  }

  bind(values: readonly unknown[]): void {
    const last = this.#statements.pop()!
    this.#statements.push({ ...last, values })
  }

  take(): readonly PgStatement[] {
    return this.#statements.splice(0)
  }
}
