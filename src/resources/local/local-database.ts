import { type Clock, type Gid, toError } from '../../base/index.ts'
import type { ErrorReading, PooledSession } from '../access.ts'
import { BranchAbortedError, BranchEscapedError, ResourceUnavailableError } from '../errors.ts'
import { BranchGuard } from '../guard.ts'
import { withinCallTime } from '../waiting.ts'

export type Rows = readonly Readonly<Record<string, unknown>>[]

/** A session in which a local transaction runs: one of the application's own pool. */
export interface LocalSession<Client> extends PooledSession {
  /** Begins under READ COMMITTED, with time limits that the server keeps by itself where it can. */
  begin(gid: Gid, limitMs: number): Promise<void>
  /** The application's client, which reports to `guard`. */
  client(guard: BranchGuard): Promise<Client>
  /** One statement of our own. */
  run(sql: string): Promise<Rows>
  /** `last` and COMMIT, or nothing when this is no longer the transaction that was begun. @throws BranchEscapedError */
  commit(gid: Gid, last: string | undefined): Promise<void>
  rollBack(): Promise<void>
}

/** What differs between the databases in which local transactions run. */
export interface LocalDriver<Client> {
  readonly kind: 'postgres' | 'mysql'
  readonly errors: ErrorReading
  /** Matches the beginning of statements that would end the transaction. */
  readonly refused: RegExp
  acquire(): Promise<LocalSession<Client>>
  /** Refused only because of others at work: the same transaction may succeed when it is tried again. */
  isCollision(error: unknown): boolean
}

/** A local transaction at work. */
export interface LocalTransaction<Client> {
  /** The application's client: it can't end the transaction, and an error of its statements rolls all back. */
  client(): Promise<Client>
  run(sql: string): Promise<Rows>
}

/** How a local transaction ends: `last` is its last statement, if there is one more, sent together with COMMIT. */
export type LocalEnd<T> =
  | { readonly kind: 'commit'; readonly last?: string | undefined; readonly value: T }
  | { readonly kind: 'rollBack'; readonly value: T }

/**
 * Short transactions in one database, in sessions of the application's pool.
 *
 * 1. Whatever throws, the transaction was rolled back, or it is a ResourceUnavailableError: then it may have been committed,
 *    and only a look under the same row lock tells. A transaction that may still commit holds its locks until then.
 * 2. None takes longer than its limit: the session is closed then.
 */
export class LocalDatabase<Client> {
  readonly kind: 'postgres' | 'mysql'
  readonly #name: string
  readonly #driver: LocalDriver<Client>
  readonly #clock: Clock

  /** @param name what errors call it */
  constructor(name: string, driver: LocalDriver<Client>, clock: Clock) {
    this.kind = driver.kind
    this.#name = name
    this.#driver = driver
    this.#clock = clock
  }

  /**
   * Runs `work` in one local transaction, and ends that as it says.
   *
   * @throws what `work` throws; the server's refusal; BranchAbortedError when a statement of the application failed and it
   * went on; BranchEscapedError; ResourceUnavailableError (see above)
   */
  transact<T>(
    gid: Gid,
    limitMs: number,
    work: (transaction: LocalTransaction<Client>) => Promise<LocalEnd<T>>,
  ): Promise<T> {
    return this.#within(limitMs, (lease) => this.#transactIn(lease, gid, limitMs, work))
  }

  /** Statements outside of a transaction. @returns the rows of the last; @throws the server's refusal, ResourceUnavailableError */
  run(statements: readonly string[], limitMs: number): Promise<Rows> {
    return this.#within(limitMs, async ({ session }) => {
      let rows: Rows = []
      for (const sql of statements) rows = await this.#sent(session.run(sql))
      return rows
    })
  }

  /** Whether the same may succeed when it is tried again. */
  isTransient(error: unknown): boolean {
    return error instanceof ResourceUnavailableError || this.#driver.isCollision(error)
  }

  async #transactIn<T>(
    lease: Lease<Client>,
    gid: Gid,
    limitMs: number,
    work: (transaction: LocalTransaction<Client>) => Promise<LocalEnd<T>>,
  ): Promise<T> {
    const { session } = lease
    const guard = new BranchGuard(gid, this.#driver.refused, this.#clock)
    await this.#sent(session.begin(gid, limitMs))
    let end: LocalEnd<T>
    try {
      end = await work({ client: () => session.client(guard), run: (sql) => this.#sent(session.run(sql)) })
      // Statements that the application did not wait for belong to it as well.
      await guard.end()
      if (end.kind === 'commit' && guard.poisonedBy !== undefined) {
        throw new BranchAbortedError(gid, { cause: guard.poisonedBy })
      }
    } catch (thrown) {
      await guard.end()
      await rollBack(lease)
      throw thrown
    }
    if (end.kind === 'rollBack') await rollBack(lease)
    else await this.#sent(session.commit(gid, end.last))
    return end.value
  }

  /** What a statement of ours came to. A connection that failed may have carried it out, or not. */
  async #sent<R>(statement: Promise<R>): Promise<R> {
    try {
      return await statement
    } catch (thrown) {
      if (thrown instanceof BranchEscapedError || this.#driver.errors.isRefusal(thrown)) throw thrown
      const cause = toError(thrown)
      throw new ResourceUnavailableError(this.#name, cause.message, { cause })
    }
  }

  async #within<T>(limitMs: number, work: (lease: Lease<Client>) => Promise<T>): Promise<T> {
    let failed: { readonly thrown: unknown } | undefined
    const acquire = async (): Promise<Lease<Client>> => new Lease(await this.#driver.acquire())
    try {
      return await withinCallTime(this.#clock, acquire, limitMs, async (lease) => {
        try {
          const result = await work(lease)
          lease.release()
          return result
        } catch (thrown) {
          failed = { thrown }
          // After a rollback it has been released: only what is still at work is closed.
          lease.discard()
          throw thrown
        }
      })
    } catch (thrown) {
      // No session, or no answer in time.
      if (failed === undefined) throw this.#driver.errors.explainAccess(this.#name, thrown)
      throw thrown
    }
  }
}

/** A session that is given back once, by whoever comes first: its work, or the limit of its time. */
class Lease<Client> {
  readonly session: LocalSession<Client>
  #isOver = false

  constructor(session: LocalSession<Client>) {
    this.session = session
  }

  release(): void {
    if (this.session.lost !== undefined) return this.discard()
    if (!this.#isOver) this.session.release()
    this.#isOver = true
  }

  discard(): void {
    if (!this.#isOver) this.session.discard()
    this.#isOver = true
  }
}

async function rollBack(lease: Lease<unknown>): Promise<void> {
  try {
    await lease.session.rollBack()
    lease.release()
  } catch {
    // The server rolls back as soon as it notices.
    lease.discard()
  }
}
