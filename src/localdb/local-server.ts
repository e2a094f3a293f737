/** A private, throw-away database server on 127.0.0.1. */
export interface LocalServer {
  readonly kind: 'postgres' | 'mariadb'
  readonly host: string
  /** Stays the same over restarts. */
  readonly port: number
  /** The superuser. It has no password. */
  readonly user: string
  /** The server's own process while it runs. */
  readonly pid: number | undefined
  /** A URL for drivers. @param database `postgres` (PostgreSQL) or `app` (MariaDB) when left out */
  url(database?: string): string
  /** Ends the server cleanly and removes its directory. It can't be started again. Repeats are harmless. */
  stop(): Promise<void>
  /** Ends the server with SIGKILL, as a crash would, and keeps its directory. */
  kill(): Promise<void>
  /** Starts the server again on the same data and port; when it still runs it is ended cleanly first. */
  restart(): Promise<void>
}

/** How to start a private server. */
export interface LocalServerOptions {
  /** Server settings by their name in the database, for example `{ max_connections: '200' }`. They win over the defaults. */
  readonly settings?: Readonly<Record<string, string>>
}
