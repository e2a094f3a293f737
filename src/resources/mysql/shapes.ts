/** The parts of mysql2's callback pool this adapter uses; any driver of this shape will do. */
export interface CorePoolShape {
  getConnection(callback: (error: Error | null, connection: CoreConnectionShape) => void): void
}

/** mysql2's promise pool: a wrapper with the callback pool inside. */
export interface PromisePoolShape {
  getConnection(): Promise<PromiseConnectionShape>
  readonly pool: unknown
}

/** mysql2's promise connection: a wrapper with the callback connection inside. */
export interface PromiseConnectionShape {
  readonly connection: CoreConnectionShape
}

/** mysql2's callback connection. */
export interface CoreConnectionShape {
  query(
    options: QueryOptions,
    values: readonly unknown[],
    callback: (error: Error | null, result: unknown) => void,
  ): unknown
  release(): void
  destroy(): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  promise(): object
  /** The server's number of the connection. */
  readonly threadId?: number | null
  readonly config?: { readonly multipleStatements?: boolean }
}

/** Named explicitly, because the application's pool may have other defaults. */
export interface QueryOptions {
  readonly sql: string
  readonly rowsAsArray: false
  readonly nestTables: false
}
