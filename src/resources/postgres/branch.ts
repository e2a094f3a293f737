import type { Gid } from '../../base/index.ts'
import type { Access } from '../access.ts'
import { BranchLife, type BranchSteps, type Verb } from '../branch-life.ts'
import { BranchAbortedError, BranchEscapedError, BranchOutcomeUnknownError } from '../errors.ts'
import { type BranchGuard, LEADING } from '../guard.ts'
import type { Branch, PrepareResult, SettleResult } from '../resource.ts'
import type { SlotGate } from '../slot-gate.ts'
import { decisive } from '../statement-points.ts'
import type { DriverSession, Reply } from './driver.ts'
import { explainPrepare } from './errors.ts'
import { findPrepared } from './in-doubt.ts'
import { settlePrepared } from './settle.ts'

/** Statements that would end the transaction under the branch. ROLLBACK TO SAVEPOINT is fine. */
export const REFUSED_STATEMENTS = new RegExp(
  `${LEADING}(commit|end|abort|rollback(?!\\s+(?:(?:work|transaction)\\s+)?to\\b)|begin|start\\s+transaction|prepare\\s+transaction)\\b`,
  'i',
)

/**
 * What begins a branch. SET LOCAL ends with the transaction, so at PREPARE the setting tells whether this is still the
 * transaction that we began: a COMMIT that slipped through, in whatever disguise, can't pass for the branch.
 */
export function openingStatements(gid: Gid): readonly string[] {
  return ['BEGIN', `SET LOCAL concordat.branch = '${gid}'`]
}

const IDENTIFY = `SELECT pg_current_xact_id_if_assigned()::text AS xid, current_setting('concordat.branch', true) AS branch`

const READ_ONLY: PrepareResult = { kind: 'readOnly' }

interface Parts<Client> {
  readonly gid: Gid
  readonly guard: BranchGuard
  readonly access: Access<DriverSession<Client>>
  readonly held: DriverSession<Client>
  readonly client: Client
  readonly slots?: SlotGate | undefined
}

/** A branch in PostgreSQL: BEGIN … PREPARE TRANSACTION … COMMIT PREPARED. */
export function postgresBranch<Client>(parts: Parts<Client>): Branch<Client> {
  return new BranchLife({ ...parts, steps: new PostgresSteps(parts.access.resource, parts.gid, parts.guard) })
}

/**
 * The session is held until phase two is over although PostgreSQL would free it at PREPARE: if it went back to a small
 * pool, branches that wait for our row locks could take every session, and COMMIT PREPARED would wait for one of them.
 */
class PostgresSteps implements BranchSteps<DriverSession<unknown>> {
  readonly keepsWaitingSession = true
  readonly closesAtHandOver = false
  readonly #resource: string
  readonly #gid: Gid
  readonly #guard: BranchGuard

  constructor(resource: string, gid: Gid, guard: BranchGuard) {
    this.#resource = resource
    this.#gid = gid
    this.#guard = guard
  }

  isUntouched(held: DriverSession<unknown>): boolean {
    return !held.opened
  }

  prepare(held: DriverSession<unknown>): Promise<PrepareResult> {
    return this.#guard.mayHaveWritten ? this.#prepareWritten(held) : this.#prepareUnlessRead(held)
  }

  explainPrepare(refusal: unknown): Error {
    return explainPrepare(this.#resource, this.#gid, refusal)
  }

  async commitOnePhase(held: DriverSession<unknown>): Promise<Error | undefined> {
    if (!held.opened) return undefined
    const reply = await decisive('one-phase', this.#gid, this.#resource, () => held.run(`${IDENTIFY}; COMMIT`))
    if (!this.#identify(reply).isOurs) {
      return new BranchOutcomeUnknownError(this.#gid, { cause: new BranchEscapedError(this.#gid) })
    }
    return reply.command === 'COMMIT' ? undefined : new BranchAbortedError(this.#gid)
  }

  async find(session: DriverSession<unknown>): Promise<PrepareResult | undefined> {
    const found = await findPrepared((sql) => session.run(sql), this.#gid)
    return found === undefined ? undefined : { kind: 'commit', evidence: found.xid }
  }

  settle(session: DriverSession<unknown>, verb: Verb): Promise<SettleResult> {
    return settlePrepared((sql) => session.run(sql), verb, this.#gid, this.#resource)
  }

  async rollBack(held: DriverSession<unknown>): Promise<void> {
    if (held.lost === undefined && held.opened) await held.run('ROLLBACK')
  }

  /** One round trip for the xid and PREPARE. */
  async #prepareWritten(held: DriverSession<unknown>): Promise<PrepareResult> {
    const text = `${IDENTIFY}; PREPARE TRANSACTION '${this.#gid}'`
    const reply = await decisive('prepare', this.#gid, this.#resource, () => held.run(text))
    const { xid, isOurs } = this.#identify(reply)
    const isPrepared = reply.command.startsWith('PREPARE')
    if (!isOurs) {
      if (isPrepared) await this.#dropPrepared(held)
      return aborted(new BranchEscapedError(this.#gid))
    }
    // In a failed transaction PREPARE raises no error: it answers ROLLBACK.
    if (!isPrepared) return aborted(new BranchAbortedError(this.#gid))
    if (xid !== undefined) return { kind: 'commit', evidence: xid }
    // No xid: nothing was written (an UPDATE of no rows), so the empty prepared transaction can go.
    return (await this.#dropPrepared(held)) ? READ_ONLY : { kind: 'commit', evidence: undefined }
  }

  /** Only SELECTs so far: most of these branches end here with a plain COMMIT. */
  async #prepareUnlessRead(held: DriverSession<unknown>): Promise<PrepareResult> {
    const { xid, isOurs } = this.#identify(await held.run(IDENTIFY))
    if (!isOurs) return aborted(new BranchEscapedError(this.#gid))
    if (xid !== undefined) return this.#prepareWritten(held)
    const { command } = await held.run('COMMIT')
    return command === 'COMMIT' ? READ_ONLY : aborted(new BranchAbortedError(this.#gid))
  }

  #identify(reply: Reply): { readonly xid: string | undefined; readonly isOurs: boolean } {
    const { xid, branch } = reply.rows[0] ?? {}
    return { xid: typeof xid === 'string' ? xid : undefined, isOurs: branch === this.#gid }
  }

  async #dropPrepared(held: DriverSession<unknown>): Promise<boolean> {
    const result = await settlePrepared((sql) => held.run(sql), 'ROLLBACK', this.#gid, this.#resource).catch(
      () => undefined,
    )
    return result?.kind === 'done'
  }
}

function aborted(cause: Error): PrepareResult {
  return { kind: 'abort', cause }
}
