import type { PooledSession } from '../access.ts'
import type { BranchGuard } from '../guard.ts'

/** What came back from a text of one or more statements. */
export interface Reply {
  /** The command tag of the last statement, for example `COMMIT` or `PREPARE`. */
  readonly command: string
  /** The rows of the first statement. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

/** One session out of a pool. `Client` is what the application uses in a branch. */
export interface DriverSession<Client> extends PooledSession {
  /** Whether `open`'s statements have been sent: some drivers send them with the application's first statement. */
  readonly opened: boolean
  /** Begins a branch with `statements` (no parameters) and returns the client, which reports to `guard`. */
  open(statements: readonly string[], guard: BranchGuard): Promise<Client>
  /** Sends a text of one or more statements without parameters, in one round trip. */
  run(sql: string): Promise<Reply>
}

/** What concordat needs of a PostgreSQL driver. */
export interface PostgresDriver<Client> {
  /** Takes a session out of the pool. */
  acquire(): Promise<DriverSession<Client>>
}
