/** The parts of a `pg` pool this adapter uses; any driver of this shape will do. */
export interface PgPoolShape {
  connect(callback: (error: Error | undefined, client: PgClientShape | undefined) => void): void
  end(): Promise<void>
}

/** The parts of a `pg` client. */
export interface PgClientShape {
  query(text: string): Promise<PgResultShape | PgResultShape[]>
  query(query: PgQueryShape): unknown
  release(error?: Error | boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  readonly connection?: PgConnectionShape
  /** The backend's pid. */
  readonly processID?: number | null
}

export interface PgResultShape {
  readonly command: string
  readonly rows: Record<string, unknown>[]
}

/** pg's own Query object: what `client.query` makes of a text. */
export interface PgQueryShape {
  name?: string | undefined
  text: string
  callback?: ((error: unknown, result?: PgResultShape | PgResultShape[]) => void) | undefined
  submit(connection: PgConnectionShape): unknown
  requiresPreparation(): boolean
  handleCommandComplete(message: { readonly text?: string }, connection: unknown): void
  handleError(error: unknown, connection: unknown): void
}

/** pg's protocol connection, below the client. */
export interface PgConnectionShape {
  parse(message: { readonly text: string }): void
  bind(message: object): void
  execute(message: { readonly portal: string }): void
  readonly stream: { cork?(): void; uncork?(): void }
  readonly submittedNamedStatements?: Record<string, string>
}

export type PgQueryClass = new (config: unknown, values?: unknown, callback?: unknown) => PgQueryShape

/** The client's own Query class, or undefined where it is not the JavaScript client (pg-native). */
export function queryClassOf(client: PgClientShape): PgQueryClass | undefined {
  const made = (client.constructor as { Query?: PgQueryClass }).Query
  const hasParts =
    typeof made?.prototype?.requiresPreparation === 'function' && typeof client.connection?.parse === 'function'
  return hasParts ? made : undefined
}
