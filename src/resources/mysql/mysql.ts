import { type Clock, makeGid, systemClock } from '../../base/index.ts'
import { type Access, assertUsable, beginIn, callIn, checkIn, examineIn } from '../access.ts'
import { BranchGuard } from '../guard.ts'
import type { InspectionPort } from '../inspection.ts'
import { LOOK_MS_MAX, type LockWaitPort } from '../lock-waits.ts'
import type { Branch, BranchIdentity, Finding, InDoubtPort, Resource } from '../resource.ts'
import { checkPreparedMax, SlotGate, type Slots } from '../slot-gate.ts'
import { CALL_MS_MAX, once } from '../waiting.ts'
import { ambientMysqlPool } from './ambient.ts'
import { mysqlBranch, REFUSED_STATEMENTS } from './branch.ts'
import { surveyMysql } from './check.ts'
import { type MysqlSession as HeldSession, type MysqlDriver, mysqlDriver } from './driver.ts'
import { MYSQL_ERRORS } from './errors.ts'
import { examineMysql } from './examine.ts'
import { MysqlInDoubt } from './in-doubt.ts'
import { inspectMysql } from './inspect.ts'
import { cancelMysqlWait, mysqlLockWaits } from './lock-waits.ts'
import { recover } from './settle.ts'
import { Witness } from './witness.ts'
import { xidLiteral } from './xid.ts'

/** What `mysql` takes besides the pool. */
export interface MysqlOptions {
  /** The name under which coordinators know this database. */
  readonly name: string
  /**
   * Writes a row into a table of this name (`true`: `concordat_witness`) in every branch, so that the outcome can be proven
   * later; one more statement a branch. Give the resolver's resource the same. Without it there is no evidence.
   */
  readonly witness?: boolean | string
  /**
   * Refuses branches (RESOURCE_EXHAUSTED, retryable) when so many are prepared on the server. It has no limit of its own;
   * without this one none is kept. Needs the right to `XA RECOVER`, which is asked once a second.
   */
  readonly preparedMax?: number
  /** For what must not wait for ever. The simulator has its own. */
  readonly clock?: Clock
}

// biome-ignore lint/suspicious/noExplicitAny: the callback's other parameter and result don't matter
type Any = any

/** A mysql2 pool, with promises or with callbacks. */
export interface MysqlPool {
  // biome-ignore lint/suspicious/noExplicitAny: accepts both kinds
  getConnection: any
}

/** The client that `Pool` hands out: mysql2's PoolConnection, of the promise or of the callback kind. */
export type MysqlSession<Pool> = Pool extends { getConnection(): Promise<infer Session> }
  ? Session
  : Pool extends { getConnection(callback: (error: Any, connection: infer Session) => Any): Any }
    ? Session
    : never

/**
 * A MariaDB or MySQL database as `mysql` returns it: a participant, and its pool for plain calls. Within `transaction()` these
 * run in the database's branch; outside of one they are the pool's own.
 */
export type MysqlDatabase<Pool> = Resource<MysqlSession<Pool>> & {
  /** The pool, for whoever takes one (an ORM). Its own BEGIN and COMMIT are savepoints within a transaction. */
  readonly pool: Pool
} & (Pool extends { query: infer Query; execute: infer Execute }
    ? {
        /** The pool's `query`. */
        readonly query: Query
        /** The pool's `execute`. */
        readonly execute: Execute
      }
    : unknown)

/**
 * A MariaDB (10.5.2 or newer) or MySQL (8.0.29 or newer) database as a participant. InnoDB tables only.
 *
 * With the pool's option `multipleStatements: true` a branch saves a round trip. The pool stays the application's.
 *
 * @throws DriverMissingError when `pool` is no mysql2 pool
 * @example
 * const hotels = mysql(mysql2.createPool({ uri }), { name: 'hotels', witness: true })
 * await concordat.transaction(() => hotels.query('delete from nights')) // in the transaction; elsewhere ordinary
 */
export function mysql<Pool extends MysqlPool>(pool: Pool, options: MysqlOptions): MysqlDatabase<Pool> {
  const resource = new MysqlResource<MysqlSession<Pool>>(options, mysqlDriver(pool), async () => {})
  const ambient = ambientMysqlPool(pool, resource, options.clock ?? systemClock)
  const { query, execute } = ambient as { query?: unknown; execute?: unknown }
  return Object.assign(resource, { pool: ambient, query, execute }) as unknown as MysqlDatabase<Pool>
}

/** See `mysql`. */
export class MysqlResource<Client> implements Resource<Client> {
  readonly kind = 'mysql'
  readonly name: string
  readonly inDoubt: InDoubtPort
  readonly inspection: InspectionPort
  readonly lockWaits: LockWaitPort
  readonly #access: Access<HeldSession<Client>>
  readonly #witness: Witness | undefined
  readonly #gate: SlotGate | undefined
  readonly #preparedMax: number | undefined
  /** Once: the first branch surveys the server, and makes the witness table, in its own session before it begins. */
  readonly #survey = once(async (held: HeldSession<Client>) => {
    assertUsable(this.name, await surveyMysql((sql) => held.run(sql)))
    await this.#witness?.create((sql) => held.run(sql))
  })

  constructor(
    { name, witness = false, preparedMax, clock = systemClock }: MysqlOptions,
    driver: MysqlDriver<Client>,
    close: () => Promise<void>,
  ) {
    this.name = name
    checkPreparedMax(name, preparedMax)
    this.#preparedMax = preparedMax
    this.#gate = preparedMax === undefined ? undefined : new SlotGate(name, clock)
    this.#access = { resource: name, driver, errors: MYSQL_ERRORS, clock }
    this.#witness = witness === false ? undefined : new Witness(name, witness)
    this.inDoubt = new MysqlInDoubt(name, driver, this.#witness, close, CALL_MS_MAX, clock)
    const access = this.#access
    this.inspection = {
      inDoubt: (cluster) => callIn(access, CALL_MS_MAX, (held) => inspectMysql((sql) => held.run(sql), cluster)),
      examine: () => examineIn(access, CALL_MS_MAX, (held) => examineMysql((sql) => held.run(sql), clock)),
    }
    this.lockWaits = {
      list: (sessions) => callIn(access, LOOK_MS_MAX, (held) => mysqlLockWaits((sql) => held.run(sql), sessions)),
      cancel: (wait) => callIn(access, LOOK_MS_MAX, (held) => cancelMysqlWait((sql) => held.run(sql), wait)),
    }
  }

  async begin(identity: BranchIdentity, options: { readonly signal?: AbortSignal } = {}): Promise<Branch<Client>> {
    const gid = makeGid(identity.cluster, identity.txid, identity.branch)
    return beginIn(this.#access, options.signal, async (held) => {
      await this.#survey(held)
      if (this.#gate !== undefined) await this.#gate.admit(() => this.#slots(held), options.signal)
      await held.run(`XA START ${xidLiteral(identity)}`)
      const guard = new BranchGuard(gid, REFUSED_STATEMENTS, this.#access.clock)
      return mysqlBranch({
        gid,
        identity,
        guard,
        access: this.#access,
        held,
        witness: this.#witness,
        slots: this.#gate,
      })
    })
  }

  async #slots(held: HeldSession<Client>): Promise<Slots> {
    return { used: (await recover((sql) => held.run(sql))).length, limit: this.#preparedMax! }
  }

  check(): Promise<readonly Finding[]> {
    return checkIn(this.#access, async (session) => {
      const findings = await surveyMysql((sql) => session.run(sql))
      await this.#witness?.create((sql) => session.run(sql))
      return findings
    })
  }
}
