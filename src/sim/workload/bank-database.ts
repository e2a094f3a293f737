import { type ClusterId, type Prng, parseGid } from '../../base/index.ts'
import { mysql, postgres, type Resource } from '../../resources/index.ts'
import {
  type DatabaseObserver,
  type Row,
  type SimJsReserved,
  SimJsSql,
  SimMariadb,
  SimMysqlPool,
  type SimMysqlPromiseConnection,
  type SimPgClient,
  SimPgPool,
  SimPostgres,
} from '../databases/index.ts'
import type { SimProcess, Victim, World } from '../kernel/types.ts'
import type { FoundState, Oracle } from '../oracle/index.ts'
import { DatabaseClient } from './database-client.ts'
import type { ExaminedPlace, PlaceClient } from './place.ts'

/** How one of the bank's databases is set up. */
export interface BankDatabaseOptions {
  readonly name: string
  readonly host: string
  readonly engine: 'postgres' | 'mariadb'
  readonly accounts: number
  readonly openingBalance: number
  /** PostgreSQL's max_prepared_transactions. */
  readonly preparedMax: number
  /** 0: PostgreSQL waits for ever for a row, MariaDB 50 s. */
  readonly lockTimeoutMs: number
  /** MariaDB only: with it there is evidence of every outcome. */
  readonly witness: boolean
  /** PostgreSQL: applications use postgres.js instead of pg. MariaDB: a text holds one statement only. */
  readonly otherDriver: boolean
}

/** Sessions of an application's pool. */
const SESSIONS = 6
/** PostgreSQL looks for a deadlock after so long: usually before a lock timeout ends the wait. */
const DEADLOCK_MS = 100

const COLUMNS = [
  { name: 'operation', type: 'text' },
  { name: 'txid', type: 'text' },
  { name: 'account', type: 'int' },
  { name: 'amount', type: 'int' },
] as const

/** One simulated database server with accounts, and what applications and resolvers need to use it. */
export class BankDatabase implements Victim, ExaminedPlace {
  readonly kind = 'database'
  readonly name: string
  readonly host: string
  readonly server: SimPostgres | SimMariadb
  readonly #world: World
  readonly #options: BankDatabaseOptions

  constructor(world: World, oracle: Oracle, cluster: ClusterId, options: BankDatabaseOptions) {
    this.#world = world
    this.#options = options
    this.name = options.name
    this.host = options.host
    this.server = this.#makeServer(observerOf(oracle, cluster, options.name))
    const { store } = this.server
    const accountColumns = [
      { name: 'id', type: 'int' },
      { name: 'balance', type: 'int' },
    ] as const
    store.createTable('accounts', accountColumns, 'id')
    store.createTable('entries', COLUMNS, undefined)
    const { accounts, openingBalance } = options
    store.load(
      'accounts',
      Array.from({ length: accounts }, (_, id) => ({ id, balance: openingBalance })),
    )
  }

  get accounts(): number {
    return this.#options.accounts
  }

  /** Whether every outcome of a branch here leaves a proof. */
  get hasEvidence(): boolean {
    return this.#options.engine === 'postgres' || this.#options.witness
  }

  restart(): void {
    const { name, host } = this
    if (this.#world.process(name) !== undefined) return
    this.server.crash()
    this.#world.spawn({
      name,
      host,
      main: (process) => this.server.serve(process),
      onDeath: () => {
        if (this.#world.process(name) === undefined) this.server.crash()
      },
    })
  }

  /** The production adapter over a pool of simulated connections, in a process. */
  resource(process: SimProcess, sessions: number): Resource<unknown> {
    const { name } = this
    const { clock } = process
    const { engine, otherDriver, witness } = this.#options
    if (engine === 'postgres') {
      const options = { database: name, max: sessions }
      return otherDriver
        ? postgres(new SimJsSql(process, options), { name, clock })
        : postgres(new SimPgPool(process, options), { name, clock })
    }
    const multipleStatements = !otherDriver
    const pool = new SimMysqlPool(process, { database: name, connectionLimit: sessions, multipleStatements })
    return mysql(pool.promise(), { name, clock, witness })
  }

  open(process: SimProcess): PlaceClient {
    return new DatabaseClient(this, this.resource(process, SESSIONS))
  }

  /** Sends a statement with `$1`, `$2` … in the order of the values, whatever the driver. */
  async query(session: unknown, text: string, values: readonly (string | number)[]): Promise<readonly Row[]> {
    const { engine, otherDriver } = this.#options
    if (engine === 'postgres') {
      return otherDriver
        ? await (session as SimJsReserved).unsafe(text, values)
        : (await (session as SimPgClient).query(text, values)).rows
    }
    const [result] = await (session as SimMysqlPromiseConnection).query(text.replace(/\$\d+/g, '?'), values)
    return 'affectedRows' in result ? [] : result
  }

  /**
   * Sends a statement that fails, past everybody who would hear of it, as a driver's plug-in may that keeps errors to
   * itself. False: nothing was sent, for MariaDB's errors leave the rest of a transaction as it is.
   */
  failUnheard(session: unknown): boolean {
    if (this.#options.engine !== 'postgres' || this.#options.otherDriver) return false
    ;(session as SimPgClient).sendUnheard('SELECT nonsense')
    return true
  }

  /** What is committed, for checks. */
  found(): FoundState {
    const database = this.name
    const { store } = this.server
    return {
      effects: store.committedRows('entries').map(({ operation, txid, account, amount }) => ({
        database,
        operation: String(operation),
        txid: String(txid),
        account: Number(account),
        amount: Number(amount),
      })),
      accounts: store
        .committedRows('accounts')
        .map(({ id, balance }) => ({ database, account: Number(id), balance: Number(balance) })),
    }
  }

  /** An administrator ends some prepared branch by hand, against all advice. */
  meddle(oracle: Oracle, random: Prng): void {
    const gids = this.server.preparedGids()
    const gid = gids.length === 0 ? undefined : random.pick(gids)
    const identity = gid === undefined ? undefined : parseGid(gid)
    if (gid === undefined || identity === undefined) return
    const how = random.pick(['committed', 'aborted'] as const)
    if (!this.server.settleByHand(gid, how === 'committed' ? 'COMMIT' : 'ROLLBACK')) return
    oracle.branches.force(identity.txid, placeOf(this.name, identity.branch), how)
    this.#world.mark(`database: an administrator ends a prepared branch, ${how}`)
    this.#world.note(this.name, () => `an administrator ends ${gid}: ${how}`)
  }

  /** Rows that somebody has locked. */
  locked(): readonly string[] {
    return this.server.store.lockedRows().map((row) => `${this.name}/${row}`)
  }

  #makeServer(observer: DatabaseObserver): SimPostgres | SimMariadb {
    const { name, engine, preparedMax, lockTimeoutMs } = this.#options
    const mark = (what: string): void => this.#world.mark(what)
    const deadlockMs = DEADLOCK_MS
    if (engine === 'postgres') return new SimPostgres({ name, preparedMax, lockTimeoutMs, deadlockMs, mark, observer })
    return new SimMariadb({ name, mark, observer, ...(lockTimeoutMs > 0 && { lockTimeoutMs }) })
  }
}

/** Tells the oracle of our branches; somebody else's are none of its business. */
function observerOf({ branches }: Oracle, cluster: ClusterId, database: string): DatabaseObserver {
  const tell = (gid: string, to: (txid: string, where: string) => void): void => {
    const identity = parseGid(gid)
    if (identity?.cluster === cluster) to(identity.txid, placeOf(database, identity.branch))
  }
  return {
    prepared: (gid: string) => tell(gid, (txid, where) => branches.prepared(txid, where)),
    ended: (gid: string, how: 'committed' | 'aborted') => tell(gid, (txid, where) => branches.ended(txid, where, how)),
    emptied: (gid: string) => tell(gid, (txid, where) => branches.emptied(txid, where)),
  }
}

/** How the oracle names a branch of a transaction. */
export function placeOf(database: string, branch: number): string {
  return `${database}#${branch}`
}
