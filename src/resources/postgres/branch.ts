import { type Gid, toError } from '../../base/index.ts'
import { BranchAbortedError, BranchEndedError, BranchEscapedError, BranchOutcomeUnknownError } from '../errors.ts'
import { ABORT_WAIT_MS, type BranchGuard, LEADING } from '../guard.ts'
import type { Branch, PrepareResult, SettleResult } from '../resource.ts'
import { withLimit } from '../waiting.ts'
import type { DriverSession, PostgresDriver, Reply } from './driver.ts'
import { explainAccess, explainPrepare, isRefusal, sqlStateOf } from './errors.ts'
import { findPrepared } from './in-doubt.ts'
import { settlePrepared, type Verb } from './settle.ts'

/** Statements that would end the transaction under the branch. ROLLBACK TO SAVEPOINT is fine. */
export const REFUSED_STATEMENTS = new RegExp(
  `${LEADING}(commit|end|abort|rollback(?!\\s+(?:(?:work|transaction)\\s+)?to\\b)|begin|start\\s+transaction|prepare\\s+transaction)\\b`,
  'i',
)

/** How long a branch looks for itself through another session, after its own was lost. */
const LOOK_MS_MAX = 5_000

/**
 * What begins a branch. SET LOCAL ends with the transaction, so at PREPARE the setting tells whether this is still the
 * transaction that we began: a COMMIT that slipped through, in whatever disguise, can't pass for the branch.
 */
export function openingStatements(gid: Gid): readonly string[] {
  return ['BEGIN', `SET LOCAL concordat.branch = '${gid}'`]
}

const IDENTIFY = `SELECT pg_current_xact_id_if_assigned()::text AS xid, current_setting('concordat.branch', true) AS branch`

interface Parts<Client> {
  readonly resource: string
  readonly gid: Gid
  readonly guard: BranchGuard
  readonly driver: PostgresDriver<Client>
  readonly held: DriverSession<Client>
  readonly client: Client
}

/**
 * A branch in PostgreSQL: BEGIN … PREPARE TRANSACTION … COMMIT PREPARED.
 *
 * The session is held until phase two is over although PostgreSQL would free it at PREPARE: if it went back to a small
 * pool, branches that wait for our row locks could take every session, and COMMIT PREPARED would wait for one of them.
 */
export class PostgresBranch<Client> implements Branch<Client> {
  readonly gid: Gid
  readonly #parts: Parts<Client>
  /** Undefined once the session has gone back or is lost. */
  #held: DriverSession<Client> | undefined
  #prepared: Promise<PrepareResult> | undefined
  #settled: Verb | undefined
  /** Phase two while it is under way. */
  #settling: { readonly verb: Verb; readonly result: Promise<SettleResult> } | undefined

  constructor(parts: Parts<Client>) {
    this.gid = parts.gid
    this.#parts = parts
    this.#held = parts.held
  }

  get session(): Client {
    return this.#parts.client
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
    if (held.opened) await this.#commitOnePhaseIn(held)
    this.#release()
  }

  commit(): Promise<SettleResult> {
    return this.#settle('COMMIT')
  }

  abort(): Promise<SettleResult> {
    return this.#settle('ROLLBACK')
  }

  async handOver(): Promise<void> {
    if (this.#prepared === undefined) await this.abort().catch(() => {})
    else await this.#prepared
    this.#release()
  }

  async #prepareOnce(): Promise<PrepareResult> {
    const { guard } = this.#parts
    await guard.end()
    const held = this.#held
    const spoilt = this.poisonedBy ?? held?.lost
    if (held === undefined || spoilt !== undefined) return this.#aborted(spoilt ?? new BranchEndedError(this.gid))
    if (!held.opened) return this.#readOnly()
    try {
      return guard.mayHaveWritten ? await this.#prepareWritten(held) : await this.#prepareUnlessRead(held)
    } catch (error) {
      return isRefusal(error)
        ? this.#aborted(explainPrepare(this.#parts.resource, this.gid, error))
        : this.#lookAfterLoss(toError(error))
    }
  }

  /** One round trip for the xid and PREPARE. */
  async #prepareWritten(held: DriverSession<Client>): Promise<PrepareResult> {
    const reply = await held.run(`${IDENTIFY}; PREPARE TRANSACTION '${this.gid}'`)
    const { xid, isOurs } = this.#identify(reply)
    const isPrepared = reply.command.startsWith('PREPARE')
    if (!isOurs) {
      if (isPrepared) await this.#dropPrepared(held)
      return this.#aborted(new BranchEscapedError(this.gid))
    }
    // In a failed transaction PREPARE raises no error: it answers ROLLBACK.
    if (!isPrepared) return this.#aborted(new BranchAbortedError(this.gid))
    if (xid !== undefined) return { kind: 'commit', evidence: xid }
    // No xid: nothing was written (an UPDATE of no rows), so the empty prepared transaction can go.
    return (await this.#dropPrepared(held)) ? this.#readOnly() : { kind: 'commit', evidence: undefined }
  }

  /** Only SELECTs so far: most of these branches end here with a plain COMMIT. */
  async #prepareUnlessRead(held: DriverSession<Client>): Promise<PrepareResult> {
    const { xid, isOurs } = this.#identify(await held.run(IDENTIFY))
    if (!isOurs) return this.#aborted(new BranchEscapedError(this.gid))
    if (xid !== undefined) return this.#prepareWritten(held)
    const { command } = await held.run('COMMIT')
    return command === 'COMMIT' ? this.#readOnly() : this.#aborted(new BranchAbortedError(this.gid))
  }

  async #commitOnePhaseIn(held: DriverSession<Client>): Promise<void> {
    let reply: Reply
    try {
      reply = await held.run(`${IDENTIFY}; COMMIT`)
    } catch (cause) {
      const refused = isRefusal(cause)
      await this.#rollBack()
      throw refused ? new BranchAbortedError(this.gid, { cause }) : new BranchOutcomeUnknownError(this.gid, { cause })
    }
    const { isOurs } = this.#identify(reply)
    this.#release()
    if (!isOurs) throw new BranchOutcomeUnknownError(this.gid, { cause: new BranchEscapedError(this.gid) })
    if (reply.command !== 'COMMIT') throw new BranchAbortedError(this.gid)
  }

  #identify(reply: Reply): { readonly xid: string | undefined; readonly isOurs: boolean } {
    const { xid, branch } = reply.rows[0] ?? {}
    return { xid: typeof xid === 'string' ? xid : undefined, isOurs: branch === this.gid }
  }

  async #dropPrepared(held: DriverSession<Client>): Promise<boolean> {
    const result = await settlePrepared((sql) => held.run(sql), 'ROLLBACK', this.gid).catch(() => undefined)
    return result?.kind === 'done'
  }

  /** The answer to PREPARE is lost. Only finding the branch proves anything: a PREPARE may still be on its way. */
  async #lookAfterLoss(cause: Error): Promise<PrepareResult> {
    this.#discard()
    const { driver, gid } = this.#parts
    try {
      const session = await withLimit(
        () => driver.acquire(),
        LOOK_MS_MAX,
        (late) => late.release(),
      )
      this.#held = session
      const found = await findPrepared((sql) => session.run(sql), gid)
      if (found !== undefined) return { kind: 'commit', evidence: found.xid }
      this.#release()
    } catch {
      this.#discard()
    }
    return { kind: 'unknown', cause }
  }

  async #settle(verb: Verb): Promise<SettleResult> {
    if (this.#settled !== undefined) return this.#repeat(verb)
    if (this.#prepared === undefined) {
      if (verb === 'COMMIT') throw new BranchEndedError(this.gid)
      this.#settled = verb
      if (await this.#parts.guard.endWithin(ABORT_WAIT_MS)) await this.#rollBack()
      else this.#discard()
      return { kind: 'done' }
    }
    const vote = await this.#prepared
    if (vote.kind === 'readOnly') return { kind: 'done' }
    if (vote.kind === 'abort') {
      if (verb === 'COMMIT') throw new BranchEndedError(this.gid)
      return { kind: 'done' }
    }
    return this.#settleOnce(verb)
  }

  #repeat(verb: Verb): SettleResult {
    if (this.#settled !== verb) throw new BranchEndedError(this.gid)
    return { kind: 'done' }
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
    const { driver, resource } = this.#parts
    try {
      if (this.#held?.lost !== undefined) this.#discard()
      this.#held ??= await driver.acquire()
      const held = this.#held
      const result = await settlePrepared((sql) => held.run(sql), verb, this.gid)
      if (result.kind === 'done') this.#settled = verb
      if (result.kind !== 'busy') this.#release()
      return result
    } catch (error) {
      if (sqlStateOf(error) === undefined || !isRefusal(error)) this.#discard()
      throw explainAccess(resource, error)
    }
  }

  async #aborted(cause: Error): Promise<PrepareResult> {
    await this.#rollBack()
    return { kind: 'abort', cause }
  }

  #readOnly(): PrepareResult {
    this.#release()
    return { kind: 'readOnly' }
  }

  /** A session that can't be rolled back is closed; the server then does it. */
  async #rollBack(): Promise<void> {
    const held = this.#held
    try {
      if (held?.lost === undefined && held?.opened) await held.run('ROLLBACK')
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
