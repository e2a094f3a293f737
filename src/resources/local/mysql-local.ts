import type { Gid } from '../../base/index.ts'
import { BranchEscapedError } from '../errors.ts'
import { type BranchGuard, LEADING } from '../guard.ts'
import type { MysqlDriver, MysqlSession } from '../mysql/driver.ts'
import { errnoOf, MYSQL_ERRORS } from '../mysql/errors.ts'
import type { LocalDriver, LocalSession, Rows } from './local-database.ts'

/** Lock wait timeout, deadlock, NOWAIT, and a time limit of MariaDB's statements. */
const COLLISIONS = new Set([1205, 1213, 3572, 1969])
const SAVEPOINT_UNKNOWN = 1305
const SAVEPOINT = 'concordat_begin'

/** What ends a transaction: COMMIT and the like, and everything that commits before it does its own work. */
const REFUSED_STATEMENTS = new RegExp(
  `${LEADING}(commit|rollback(?!\\s+(?:work\\s+)?to\\b)|begin|start\\s+transaction|xa|create(?!\\s+temporary)|alter|drop(?!\\s+temporary)|truncate|rename|(?:un)?lock\\s+tables|grant|revoke|set\\s+(?:session\\s+|@@(?:session\\.)?)?autocommit)\\b`,
  'i',
)

/** Local transactions over a driver of MySQL and MariaDB. */
export function mysqlLocal<Client>(driver: MysqlDriver<Client>): LocalDriver<Client> {
  let limits: readonly string[] | undefined
  return {
    kind: 'mysql',
    errors: MYSQL_ERRORS,
    refused: REFUSED_STATEMENTS,
    acquire: async () => {
      const held = await driver.acquire()
      limits ??= await knownLimits(held).catch((error: unknown) => {
        held.discard()
        throw error
      })
      return new MysqlLocalSession(held, limits)
    },
    isCollision: (error) => COLLISIONS.has(errnoOf(error) ?? 0),
  }
}

/**
 * A savepoint tells at the end whether this is still the transaction that was begun: COMMIT, and every statement that
 * commits by itself, removes it.
 */
class MysqlLocalSession<Client> implements LocalSession<Client> {
  readonly #held: MysqlSession<Client>
  readonly #limits: readonly string[]

  constructor(held: MysqlSession<Client>, limits: readonly string[]) {
    this.#held = held
    this.#limits = limits
  }

  get id(): string | undefined {
    return this.#held.id
  }

  get lost(): Error | undefined {
    return this.#held.lost
  }

  async begin(_gid: Gid, limitMs: number): Promise<void> {
    const seconds = Math.max(1, Math.ceil(limitMs / 1_000))
    const limit = (name: string): string => `@concordat_${name} = @@SESSION.${name}, SESSION ${name} = ${seconds}`
    await this.#held.run(`SET ${this.#limits.map(limit).join(', ')}`)
    // REPEATABLE READ would lock the gaps between rows, and everybody's newest row lies beside everybody else's.
    await this.#held.run('SET TRANSACTION ISOLATION LEVEL READ COMMITTED')
    await this.#held.run('START TRANSACTION')
    await this.#held.run(`SAVEPOINT ${SAVEPOINT}`)
  }

  async client(guard: BranchGuard): Promise<Client> {
    return this.#held.guarded(guard)
  }

  run(sql: string): Promise<Rows> {
    return this.#held.run(sql)
  }

  async commit(gid: Gid, last: string | undefined): Promise<void> {
    try {
      await this.#held.run(`RELEASE SAVEPOINT ${SAVEPOINT}`)
    } catch (error) {
      if (errnoOf(error) === SAVEPOINT_UNKNOWN) throw new BranchEscapedError(gid, { cause: error })
      throw error
    }
    if (last !== undefined) await this.#held.run(last)
    await this.#held.run('COMMIT')
    await this.#restore()
  }

  async rollBack(): Promise<void> {
    await this.#held.run('ROLLBACK')
    await this.#restore()
  }

  release(): void {
    this.#held.release()
  }

  discard(): void {
    this.#held.discard()
  }

  /** Sessions belong to the application's pool: it gets its own limits back. */
  async #restore(): Promise<void> {
    const sets = this.#limits.map((name) => `SESSION ${name} = @concordat_${name}`)
    await this.#held.run(`SET ${sets.join(', ')}`)
  }
}

/** Settings that limit a session's time. Only MariaDB ends transactions that stand idle: else a frozen process keeps its locks. */
async function knownLimits(held: MysqlSession<unknown>): Promise<readonly string[]> {
  const version = String((await held.run('SELECT VERSION() AS version'))[0]?.version)
  const all = ['innodb_lock_wait_timeout']
  return /mariadb/i.test(version) ? [...all, 'idle_transaction_timeout'] : all
}
