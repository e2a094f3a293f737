import { type ClusterId, type Gid, makeGid, parseGid, systemClock } from '../../base/index.ts'
import { type Access, callIn } from '../access.ts'
import type { Verb } from '../branch-life.ts'
import type { BranchIdentity, Evidence, InDoubtPort, PreparedBranch, SettleResult } from '../resource.ts'
import { decisive } from '../statement-points.ts'
import { CALL_MS_MAX } from '../waiting.ts'
import type { DriverSession, PostgresDriver, Reply } from './driver.ts'
import { POSTGRES_ERRORS, sqlStateOf } from './errors.ts'
import { settlePrepared } from './settle.ts'

type Run = (sql: string) => Promise<Reply>

/** InDoubtPort over PostgreSQL's pg_prepared_xacts and pg_xact_status. */
export class PostgresInDoubt implements InDoubtPort {
  readonly #access: Access<DriverSession<unknown>>
  readonly #close: () => Promise<void>
  readonly #callMs: number

  /** @param callMs after this long without an answer a session is taken for lost */
  constructor(
    resource: string,
    driver: PostgresDriver<unknown>,
    close: () => Promise<void>,
    callMs = CALL_MS_MAX,
    clock = systemClock,
  ) {
    this.#access = { resource, driver, errors: POSTGRES_ERRORS, clock }
    this.#close = close
    this.#callMs = callMs
  }

  list(cluster: ClusterId): Promise<readonly PreparedBranch[]> {
    return this.#run(async (run) => {
      // Another database's prepared transactions can't be ended from this one, so they are not ours to list.
      const { rows } = await run(
        `SELECT gid, (extract(epoch FROM clock_timestamp() - prepared) * 1000)::float8 AS age FROM pg_prepared_xacts WHERE database = current_database()`,
      )
      return rows.flatMap(({ gid, age }) => {
        const identity = parseGid(String(gid))
        if (identity === undefined || identity.cluster !== cluster) return []
        return [{ gid: gid as Gid, ...identity, ageMs: Number(age) }]
      })
    })
  }

  commit(identity: BranchIdentity): Promise<SettleResult> {
    return this.#settle('COMMIT', identity)
  }

  abort(identity: BranchIdentity): Promise<SettleResult> {
    return this.#settle('ROLLBACK', identity)
  }

  /** @param token the branch's transaction id (xid8), as `prepare` returned it */
  async evidence({ txid }: BranchIdentity, token: string | undefined): Promise<Evidence> {
    if (token === undefined || !/^\d{1,20}$/.test(token)) return 'none'
    return decisive('evidence', txid, this.#access.resource, () => this.#run((run) => xactStatus(run, token)))
  }

  /** Nothing to forget: PostgreSQL keeps the evidence in its commit log and forgets it by itself. */
  async forgetEvidence(): Promise<void> {}

  close(): Promise<void> {
    return this.#close()
  }

  #settle(verb: Verb, { cluster, txid, branch }: BranchIdentity): Promise<SettleResult> {
    return this.#run((run) => settlePrepared(run, verb, makeGid(cluster, txid, branch), this.#access.resource))
  }

  #run<T>(work: (run: Run) => Promise<T>): Promise<T> {
    return callIn(this.#access, this.#callMs, (session) => work((sql) => session.run(sql)))
  }
}

async function xactStatus(run: Run, xid: string): Promise<Evidence> {
  try {
    const { rows } = await run(`SELECT pg_xact_status('${xid}'::xid8) AS status`)
    const status = rows[0]?.status
    // `in progress` is a branch still prepared; null is an xid whose part of the commit log is gone.
    return status === 'committed' || status === 'aborted' ? status : 'none'
  } catch (error) {
    // 22023: an xid of the future, so it comes from another server or from after a restore.
    if (sqlStateOf(error) === '22023') return 'none'
    throw error
  }
}

/** The branch among the prepared ones, with its full transaction id; undefined when it is not there. */
export async function findPrepared(run: Run, gid: Gid): Promise<{ readonly xid: string } | undefined> {
  const { rows } = await run(
    `SELECT transaction::text AS xid, pg_snapshot_xmax(pg_current_snapshot())::text AS next FROM pg_prepared_xacts WHERE gid = '${gid}' AND database = current_database()`,
  )
  const row = rows[0]
  return row === undefined ? undefined : { xid: widen(BigInt(String(row.xid)), BigInt(String(row.next))) }
}

/** The view shows 32 bits of an xid; the rest are those of the next xid, less one wrap when that would lie ahead of it. */
function widen(xid: bigint, next: bigint): string {
  const epoch = next >> 32n
  const full = (epoch << 32n) | xid
  return String(full <= next ? full : full - (1n << 32n))
}
