import { type Gid, toError } from '../../base/index.ts'
import type { Access } from '../access.ts'
import { BranchLife, type BranchSteps, type Verb } from '../branch-life.ts'
import { type BranchGuard, LEADING } from '../guard.ts'
import type { Branch, BranchIdentity, PrepareResult, SettleResult } from '../resource.ts'
import type { SlotGate } from '../slot-gate.ts'
import { type DecisiveStep, decisive } from '../statement-points.ts'
import type { MysqlSession } from './driver.ts'
import { recover, settlePrepared } from './settle.ts'
import { WITNESS_TOKEN, type Witness } from './witness.ts'
import { isListed, xidLiteral } from './xid.ts'

/** Statements that would end the branch. The server refuses most of them by itself (1399); ROLLBACK TO SAVEPOINT is fine. */
export const REFUSED_STATEMENTS = new RegExp(
  `${LEADING}(commit|rollback(?!\\s+(?:work\\s+)?to\\b)|begin|start\\s+transaction|xa)\\b`,
  'i',
)

interface Own<Client> {
  readonly gid: Gid
  readonly identity: BranchIdentity
  readonly guard: BranchGuard
  readonly witness: Witness | undefined
  readonly access: Access<MysqlSession<Client>>
}

interface Parts<Client> extends Own<Client> {
  readonly held: MysqlSession<Client>
  readonly slots?: SlotGate | undefined
}

/** A branch in MySQL or MariaDB: XA START … XA END, XA PREPARE … XA COMMIT. */
export function mysqlBranch<Client>(parts: Parts<Client>): Branch<Client> {
  const { gid, guard, access, held, slots } = parts
  return new BranchLife({ gid, guard, access, held, slots, client: held.guarded(guard), steps: new MysqlSteps(parts) })
}

/**
 * The preparing session is held until phase two: MariaDB accepts XA COMMIT from no other while it lives.
 * A branch that sent statements never votes readOnly, even when all were SELECTs: the server doesn't tell whether a
 * function in them wrote.
 */
class MysqlSteps implements BranchSteps<MysqlSession<unknown>> {
  /** A session that found the branch, or was answered `busy`, is not the preparing one. */
  readonly keepsWaitingSession = false
  /** Only then does MariaDB let a resolver settle the branch. */
  readonly closesAtHandOver = true
  readonly #own: Own<unknown>
  readonly #xid: string

  constructor(own: Own<unknown>) {
    this.#own = own
    this.#xid = xidLiteral(own.identity)
  }

  isUntouched(): boolean {
    return this.#own.guard.statements === 0
  }

  async prepare(held: MysqlSession<unknown>): Promise<PrepareResult> {
    const { gid, identity, witness } = this.#own
    try {
      await witness?.write((sql, values) => held.run(sql, values), gid, identity)
    } catch (error) {
      // Nothing was prepared, so this is no doubt: whatever was written goes with the session.
      return { kind: 'abort', cause: toError(error) }
    }
    await this.#endThen('prepare', held, `XA PREPARE ${this.#xid}`)
    return this.#voteCommit()
  }

  explainPrepare(refusal: unknown): Error {
    return toError(refusal)
  }

  async commitOnePhase(held: MysqlSession<unknown>): Promise<undefined> {
    await this.#endThen('one-phase', held, `XA COMMIT ${this.#xid} ONE PHASE`)
  }

  async find(session: MysqlSession<unknown>): Promise<PrepareResult | undefined> {
    const listed = isListed(await recover((sql) => session.run(sql)), this.#own.gid)
    return listed ? this.#voteCommit() : undefined
  }

  settle(session: MysqlSession<unknown>, verb: Verb): Promise<SettleResult> {
    return settlePrepared((sql) => session.run(sql), verb, this.#own.identity, this.#own.access.resource)
  }

  async rollBack(held: MysqlSession<unknown>): Promise<void> {
    // Fails when the branch has ended already, or was chosen as a deadlock's victim (1399, 1614): XA ROLLBACK decides.
    await held.run(`XA END ${this.#xid}`).catch(() => {})
    await held.run(`XA ROLLBACK ${this.#xid}`)
  }

  #voteCommit(): PrepareResult {
    return { kind: 'commit', evidence: this.#own.witness === undefined ? undefined : WITNESS_TOKEN }
  }

  /** XA END and the statement behind it, in one round trip where the connection allows several statements in a text. */
  async #endThen(step: DecisiveStep, held: MysqlSession<unknown>, statement: string): Promise<void> {
    const end = `XA END ${this.#xid}`
    if (!held.takesMany) await held.run(end)
    const text = held.takesMany ? `${end}; ${statement}` : statement
    await decisive(step, this.#own.identity.txid, this.#own.access.resource, () => held.run(text))
  }
}
