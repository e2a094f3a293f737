/** The parts of postgres.js's `sql` that this adapter uses. */
export interface JsSqlShape {
  reserve(): Promise<JsReservedShape>
  end(options?: { readonly timeout?: number }): Promise<void>
}

/** A session taken out of the pool: a tag function. */
export interface JsReservedShape {
  (...args: unknown[]): unknown
  unsafe(text: string, args: unknown[], options: JsQueryOptions): Promise<unknown>
  release(): void
}

export interface JsQueryOptions {
  /** Called when the query is sent; the driver's own `begin` learns its connection so. False holds later queries back. */
  readonly onexecute: (connection: JsConnectionShape) => boolean
}

/** The driver's connection. It calls `onclose` once, in the moment it closes. */
export interface JsConnectionShape {
  onclose: ((error: Error) => void) | null
}

/** A query: a promise that is sent when somebody waits for it. Fragments are queries that nobody ever waits for. */
export interface JsQueryShape {
  handler: JsHandler
  readonly strings: readonly string[]
  resolve(result: unknown): void
  reject(error: unknown): void
}

/** Sends a query. */
export type JsHandler = ((query: JsQueryShape) => void) & { debug?: unknown }
