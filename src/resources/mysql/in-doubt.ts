import { type ClusterId, makeGid, systemClock } from '../../base/index.ts'
import { type Access, callIn } from '../access.ts'
import type { BranchIdentity, Evidence, InDoubtPort, PreparedBranch, SettleResult } from '../resource.ts'
import { decisive } from '../statement-points.ts'
import { CALL_MS_MAX } from '../waiting.ts'
import type { MysqlDriver, MysqlSession } from './driver.ts'
import { MYSQL_ERRORS } from './errors.ts'
import { type Run, recover, settlePrepared } from './settle.ts'
import { WITNESS_TOKEN, type Witness } from './witness.ts'
import { isListed, ownBranches } from './xid.ts'

/** InDoubtPort over XA RECOVER and the witness table. */
export class MysqlInDoubt implements InDoubtPort {
  readonly #access: Access<MysqlSession<unknown>>
  readonly #witness: Witness | undefined
  readonly #close: () => Promise<void>
  readonly #callMs: number

  /** @param callMs after this long without an answer a session is taken for lost */
  constructor(
    resource: string,
    driver: MysqlDriver<unknown>,
    witness: Witness | undefined,
    close: () => Promise<void>,
    callMs = CALL_MS_MAX,
    clock = systemClock,
  ) {
    this.#access = { resource, driver, errors: MYSQL_ERRORS, clock }
    this.#witness = witness
    this.#close = close
    this.#callMs = callMs
  }

  list(cluster: ClusterId): Promise<readonly PreparedBranch[]> {
    return this.#run(async (run) => ownBranches(await recover(run), cluster))
  }

  commit(identity: BranchIdentity): Promise<SettleResult> {
    return this.#run((run) => settlePrepared(run, 'COMMIT', identity, this.#access.resource))
  }

  abort(identity: BranchIdentity): Promise<SettleResult> {
    return this.#run((run) => settlePrepared(run, 'ROLLBACK', identity, this.#access.resource))
  }

  /**
   * A visible witness row proves a commit. A missing one proves an abort only when `token` says that the branch wrote one
   * and the branch is not prepared any more; the list is read first, since a branch may leave it and commit in between.
   */
  async evidence(identity: BranchIdentity, token: string | undefined): Promise<Evidence> {
    const witness = this.#witness
    if (witness === undefined) return 'none'
    const gid = makeGid(identity.cluster, identity.txid, identity.branch)
    const look = async (run: Run): Promise<Evidence> => {
      await witness.create(run)
      const isPrepared = token === WITNESS_TOKEN && isListed(await recover(run), gid)
      if (await witness.saw(run, gid)) return 'committed'
      return token === WITNESS_TOKEN && !isPrepared ? 'aborted' : 'none'
    }
    return decisive('evidence', identity.txid, this.#access.resource, () => this.#run(look))
  }

  async forgetEvidence(cluster: ClusterId, beforeMs: number): Promise<void> {
    const witness = this.#witness
    if (witness === undefined) return
    await this.#run(async (run) => {
      await witness.create(run)
      await witness.forget(run, cluster, beforeMs)
    })
  }

  close(): Promise<void> {
    return this.#close()
  }

  #run<T>(work: (run: Run) => Promise<T>): Promise<T> {
    return callIn(this.#access, this.#callMs, (session) => work((sql, values) => session.run(sql, values)))
  }
}
