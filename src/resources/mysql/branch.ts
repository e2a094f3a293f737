import { type Gid, makeGid, toError } from '../../base/index.ts'
import { BranchAbortedError, BranchEndedError, BranchOutcomeUnknownError } from '../errors.ts'
import { ABORT_WAIT_MS, type BranchGuard, LEADING } from '../guard.ts'
import type { Branch, BranchIdentity, PrepareResult, SettleResult } from '../resource.ts'
import { withLimit } from '../waiting.ts'
import type { MysqlDriver, MysqlSession } from './driver.ts'
import { explainAccess, isRefusal } from './errors.ts'
import { recover, settlePrepared, type Verb } from './settle.ts'
import { WITNESS_TOKEN, type Witness } from './witness.ts'
import { isListed, xidLiteral } from './xid.ts'

/** Statements that would end the branch. The server refuses most of them by itself (1399); ROLLBACK TO SAVEPOINT is fine. */
export const REFUSED_STATEMENTS = new RegExp(
  `${LEADING}(commit|rollback(?!\\s+(?:work\\s+)?to\\b)|begin|start\\s+transaction|xa)\\b`,
  'i',
)

/** How long a branch looks for itself through another session, after its own was lost. */
const LOOK_MS_MAX = 5_000

interface Parts<Client> {
  readonly resource: string
  readonly identity: BranchIdentity
  readonly guard: BranchGuard
  readonly driver: MysqlDriver<Client>
  readonly held: MysqlSession<Client>
  readonly witness: Witness | undefined
}

/**
 * A branch in MySQL or MariaDB: XA START … XA END, XA PREPARE … XA COMMIT.
 *
 * The preparing session is held until phase two: MariaDB accepts XA COMMIT from no other while it lives.
 * A branch that sent statements never votes readOnly, even when all were SELECTs: the server doesn't tell whether a
 * function in them wrote.
 */
export class MysqlBranch<Client> implements Branch<Client> {
  readonly gid: Gid
  readonly session: Client
  readonly #parts: Parts<Client>
  readonly #xid: string
  /** Undefined once the session has gone back or is lost. */
  #held: MysqlSession<Client> | undefined
  #prepared: Promise<PrepareResult> | undefined
  #settled: Verb | undefined
  /** Phase two while it is under way. */
  #settling: { readonly verb: Verb; readonly result: Promise<SettleResult> } | undefined

  constructor(parts: Parts<Client>) {
    const { cluster, txid, branch } = parts.identity
    this.gid = makeGid(cluster, txid, branch)
    this.session = parts.held.guarded(parts.guard)
    this.#parts = parts
    this.#xid = xidLiteral(parts.identity)
    this.#held = parts.held
  }

  get poisonedBy(): Error | undefined {
    return this.#parts.guard.poisonedBy
  }

  get isBusy(): boolean {
    return this.#parts.guard.isBusy
  }

  prepare(): Promise<PrepareResult> {
    if (this.#settled !== undefined) return Promise.resolve({ kind: 'abort', cause: new BranchEndedError(this.gid) })
    this.#prepared ??= this.#prepareOnce()
    return this.#prepared
  }

  async commitOnePhase(): Promise<void> {
    const held = this.#held
    if (held === undefined || this.#prepared !== undefined || this.#settled !== undefined) {
      throw new BranchEndedError(this.gid)
    }
    this.#settled = 'COMMIT'
    await this.#parts.guard.end()
    const spoilt = this.poisonedBy ?? held.lost
    if (spoilt !== undefined) {
      await this.#rollBack()
      throw new BranchAbortedError(this.gid, { cause: spoilt })
    }
    try {
      await this.#endThen(held, `XA COMMIT ${this.#xid} ONE PHASE`)
    } catch (cause) {
      await this.#rollBack()
      throw isRefusal(cause)
        ? new BranchAbortedError(this.gid, { cause })
        : new BranchOutcomeUnknownError(this.gid, { cause })
    }
    this.#release()
  }

  commit(): Promise<SettleResult> {
    return this.#settle('COMMIT')
  }

  abort(): Promise<SettleResult> {
    return this.#settle('ROLLBACK')
  }

  /** Closes the session: only then does MariaDB let a resolver settle the branch. */
  async handOver(): Promise<void> {
    if (this.#prepared === undefined) await this.abort().catch(() => {})
    else await this.#prepared
    this.#discard()
  }

  async #prepareOnce(): Promise<PrepareResult> {
    const { guard, witness, identity } = this.#parts
    await guard.end()
    const held = this.#held
    const spoilt = this.poisonedBy ?? held?.lost
    if (held === undefined || spoilt !== undefined) return this.#aborted(spoilt ?? new BranchEndedError(this.gid))
    if (guard.statements === 0) {
      await this.#rollBack()
      return { kind: 'readOnly' }
    }
    try {
      await witness?.write((sql, values) => held.run(sql, values), this.gid, identity)
    } catch (error) {
      // Nothing was prepared, so this is no doubt: whatever was written goes with the session.
      return this.#aborted(toError(error))
    }
    try {
      await this.#endThen(held, `XA PREPARE ${this.#xid}`)
      return this.#voteCommit()
    } catch (error) {
      return isRefusal(error) ? this.#aborted(toError(error)) : this.#lookAfterLoss(toError(error))
    }
  }

  #voteCommit(): PrepareResult {
    return { kind: 'commit', evidence: this.#parts.witness === undefined ? undefined : WITNESS_TOKEN }
  }

  /** XA END and the statement behind it, in one round trip where the connection allows several statements in a text. */
  async #endThen(held: MysqlSession<Client>, statement: string): Promise<void> {
    if (held.takesMany) {
      await held.run(`XA END ${this.#xid}; ${statement}`)
    } else {
      await held.run(`XA END ${this.#xid}`)
      await held.run(statement)
    }
  }

  /** The answer to XA PREPARE is lost. Only finding the branch proves anything: it may still be on its way. */
  async #lookAfterLoss(cause: Error): Promise<PrepareResult> {
    this.#discard()
    try {
      const session = await withLimit(
        () => this.#parts.driver.acquire(),
        LOOK_MS_MAX,
        (late) => late.release(),
      )
      this.#held = session
      const listed = isListed(await recover((sql) => session.run(sql)), this.gid)
      this.#release()
      if (listed) return this.#voteCommit()
    } catch {
      this.#discard()
    }
    return { kind: 'unknown', cause }
  }

  async #settle(verb: Verb): Promise<SettleResult> {
    if (this.#settled !== undefined) {
      if (this.#settled !== verb) throw new BranchEndedError(this.gid)
      return { kind: 'done' }
    }
    if (this.#prepared === undefined) {
      if (verb === 'COMMIT') throw new BranchEndedError(this.gid)
      this.#settled = verb
      if (await this.#parts.guard.endWithin(ABORT_WAIT_MS)) await this.#rollBack()
      else this.#discard()
      return { kind: 'done' }
    }
    const vote = await this.#prepared
    if (vote.kind === 'abort' && verb === 'COMMIT') throw new BranchEndedError(this.gid)
    return vote.kind === 'readOnly' || vote.kind === 'abort' ? { kind: 'done' } : this.#settleOnce(verb)
  }

  /** One at a time: a repeat in the same session could still be on its way when that is back in its pool. */
  async #settleOnce(verb: Verb): Promise<SettleResult> {
    if (this.#settling !== undefined) {
      const { verb: other, result } = this.#settling
      if (other === verb) return result
      throw new BranchEndedError(this.gid)
    }
    const result = this.#settlePrepared(verb)
    this.#settling = { verb, result }
    try {
      return await result
    } finally {
      this.#settling = undefined
    }
  }

  async #settlePrepared(verb: Verb): Promise<SettleResult> {
    const { driver, resource, identity } = this.#parts
    try {
      if (this.#held?.lost !== undefined) this.#discard()
      this.#held ??= await driver.acquire()
      const held = this.#held
      const result = await settlePrepared((sql) => held.run(sql), verb, identity)
      if (result.kind === 'done') this.#settled = verb
      this.#release()
      return result
    } catch (error) {
      if (!isRefusal(error)) this.#discard()
      throw explainAccess(resource, error)
    }
  }

  async #aborted(cause: Error): Promise<PrepareResult> {
    await this.#rollBack()
    return { kind: 'abort', cause }
  }

  /** Rolls back an unprepared branch. A session where that fails is closed; the server then does it. */
  async #rollBack(): Promise<void> {
    const held = this.#held
    if (held === undefined) return
    try {
      // Fails when the branch has ended already, or was chosen as a deadlock's victim (1399, 1614): XA ROLLBACK decides.
      await held.run(`XA END ${this.#xid}`).catch(() => {})
      await held.run(`XA ROLLBACK ${this.#xid}`)
      this.#release()
    } catch {
      this.#discard()
    }
  }

  #release(): void {
    const held = this.#held
    this.#held = undefined
    if (held?.lost === undefined) held?.release()
    else held.discard()
  }

  #discard(): void {
    this.#held?.discard()
    this.#held = undefined
  }
}
