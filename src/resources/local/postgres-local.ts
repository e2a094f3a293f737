import type { Gid } from '../../base/index.ts'
import { BranchEscapedError } from '../errors.ts'
import type { BranchGuard } from '../guard.ts'
import { REFUSED_STATEMENTS } from '../postgres/branch.ts'
import type { DriverSession, PostgresDriver } from '../postgres/driver.ts'
import { POSTGRES_ERRORS, sqlStateOf } from '../postgres/errors.ts'
import type { LocalDriver, LocalSession, Rows } from './local-database.ts'

/** Serialization failure, deadlock, lock not to be had in time, cancelled by a time limit. */
const COLLISIONS = new Set(['40001', '40P01', '55P03', '57014'])
const DIVISION_BY_ZERO = '22012'

/** Local transactions over a driver of PostgreSQL. */
export function postgresLocal<Client>(driver: PostgresDriver<Client>): LocalDriver<Client> {
  return {
    kind: 'postgres',
    errors: POSTGRES_ERRORS,
    refused: REFUSED_STATEMENTS,
    acquire: async () => new PostgresLocalSession(await driver.acquire()),
    isCollision: (error) => COLLISIONS.has(sqlStateOf(error) ?? ''),
  }
}

class PostgresLocalSession<Client> implements LocalSession<Client> {
  readonly #held: DriverSession<Client>
  #gid: Gid | undefined

  constructor(held: DriverSession<Client>) {
    this.#held = held
  }

  get id(): string | undefined {
    return this.#held.id
  }

  get lost(): Error | undefined {
    return this.#held.lost
  }

  async begin(gid: Gid, limitMs: number): Promise<void> {
    this.#gid = gid
    await this.#held.run(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${settings(gid, limitMs)}`)
  }

  /** The marker once more, since a driver's session wants something to open with; `pg` sends it with the first statement. */
  client(guard: BranchGuard): Promise<Client> {
    return this.#held.open([markerOf(this.#gid!)], guard)
  }

  async run(sql: string): Promise<Rows> {
    return (await this.#held.run(sql)).rows
  }

  async commit(gid: Gid, last = 'SELECT'): Promise<void> {
    try {
      // One text: when its first statement fails, neither of the others is carried out.
      await this.#held.run(`SELECT 1 / (current_setting('concordat.branch', true) = '${gid}')::int; ${last}; COMMIT`)
    } catch (error) {
      if (sqlStateOf(error) === DIVISION_BY_ZERO) throw new BranchEscapedError(gid, { cause: error })
      throw error
    }
  }

  async rollBack(): Promise<void> {
    await this.#held.run('ROLLBACK')
  }

  release(): void {
    this.#held.release()
  }

  discard(): void {
    this.#held.discard()
  }
}

/**
 * They end with the transaction. A commit that is not flushed would be a vote that a crash forgets, so `off` is not followed;
 * what waits for standbys stays as it is set. The others see to it that a frozen process gives its row locks back.
 */
function settings(gid: Gid, limitMs: number): string {
  const limit = `'${Math.max(1, Math.ceil(limitMs))}'`
  return `SELECT set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true),
    set_config('statement_timeout', ${limit}, true), set_config('lock_timeout', ${limit}, true),
    set_config('idle_in_transaction_session_timeout', ${limit}, true), set_config('concordat.branch', '${gid}', true)`
}

function markerOf(gid: Gid): string {
  return `SET LOCAL concordat.branch = '${gid}'`
}
