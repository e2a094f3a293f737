import { type Gid, makeGid, parseGid, type Timer, toError, txidTimeMs } from '../../base/index.ts'
import type { LocalDatabase, LocalEnd, LocalTransaction } from '../../resources/local/index.ts'
import type { Decision, Vote } from '../../txn/index.ts'
import type { BranchEnd } from '../service/branch-table.ts'
import { BranchOverError } from '../service/errors.ts'
import {
  type BranchState,
  isOver,
  type Journal,
  type Lease,
  type SharedEntry,
  type Verdict,
  VOTE_OF,
} from '../service/journal.ts'
import type { BranchKey } from '../service/keys.ts'
import { over } from '../service/refusals.ts'
import type { Dialect } from './dialect.ts'
import { Forgetting } from './forgetting.ts'
import { JournalTable } from './journal-table.ts'
import type { JournalOwner } from './service-journal.ts'

/** What a journal in a database needs. */
export interface SqlJournalParts<Sql> {
  readonly database: LocalDatabase<Sql>
  readonly dialect: Dialect
  readonly owner: JournalOwner
  /** The longest time of a local transaction, milliseconds. */
  readonly localMs: number
  /** How long the end of a branch is remembered, milliseconds. */
  readonly rememberMs: number
}

/** How long a caller waits, when its work has failed, for that to be written down. */
const REFUSE_MS = 2_000

/**
 * A journal in the service's own database, shared by all its instances. A branch is a row, and every step changes the row and does
 * the service's work in one local transaction:
 *
 * 1. Each step locks the row first, so what an earlier one left on its way (a COMMIT whose answer was lost, an instance that
 *    hangs) has happened or never will when the lock is had. Where there is no row, one is inserted: that waits likewise.
 * 2. A step finds out from the row what is left to do: who comes second finds it done.
 * 3. No row means that nothing was done for the branch, or that it ended and was forgotten (forgetting.ts). What is open is
 *    never forgotten.
 */
export class SqlJournal<Sql> implements Journal<Sql> {
  readonly isShared = true
  readonly spaceLow = false
  readonly found: readonly SharedEntry[]
  readonly #parts: SqlJournalParts<Sql>
  readonly #table: JournalTable
  readonly #forgetting: Forgetting
  readonly #timer: Timer

  private constructor(
    parts: SqlJournalParts<Sql>,
    table: JournalTable,
    forgetting: Forgetting,
    found: readonly SharedEntry[],
  ) {
    this.#parts = parts
    this.#table = table
    this.#forgetting = forgetting
    this.found = found
    this.#timer = parts.owner.clock.every(Forgetting.everyMs, () => void forgetting.round())
  }

  /** @throws what the database refuses, ResourceUnavailableError */
  static async open<Sql>(parts: SqlJournalParts<Sql>): Promise<SqlJournal<Sql>> {
    const table = new JournalTable(parts.dialect, parts.owner)
    const forgetting = new Forgetting(parts)
    await forgetting.look()
    const found = await parts.database.run([table.open()], parts.localMs)
    return new SqlJournal(parts, table, forgetting, entriesOf(found))
  }

  /** The row is made together with the work. */
  async join(): Promise<void> {}

  async work<T>(key: BranchKey, lease: Lease, work: (sql: Sql) => Promise<T> | T): Promise<T> {
    // A call that comes after its branch's end was forgotten.
    if (txidTimeMs(key.txid) <= this.#forgetting.watermarkMs) throw over(key)
    try {
      return await this.#transact(key, lease.workMs, async (transaction) => {
        await transaction.run(this.#table.insert(key, 'joined', lease.dueInMs))
        if ((await this.#lock(transaction, key)) !== 'joined') throw over(key)
        return { kind: 'commit', value: await work(await transaction.client()) }
      })
    } catch (thrown) {
      // Of several calls one failed, or it is not known: whichever instance is asked now, it votes abort.
      if (!(thrown instanceof BranchOverError)) await this.#refuseSoon(key)
      throw thrown
    }
  }

  async vote(
    key: BranchKey,
    limitMs: number,
    ask: (sql: Sql) => Promise<Vote>,
    isWanted: () => boolean,
  ): Promise<Verdict | undefined> {
    try {
      const verdict = await this.#transact<Verdict | undefined | 'refuse'>(key, limitMs, async (transaction) => {
        const state = await this.#lockOrEnd(transaction, key)
        if (state !== 'joined') return { kind: 'commit', value: verdictOf(state) }
        const vote = await ask(await transaction.client())
        if (!isWanted()) return { kind: 'rollBack', value: undefined }
        if (vote === 'abort') return { kind: 'rollBack', value: 'refuse' }
        const next = vote === 'commit' ? 'prepared' : 'readOnly'
        return { kind: 'commit', last: this.#table.update(key, next), value: verdictOf(next) }
      })
      return verdict === 'refuse' ? await this.#refuse(key, limitMs) : verdict
    } catch (thrown) {
      if (this.#parts.database.isTransient(thrown)) throw thrown
      const { logger } = this.#parts.owner
      logger.info({ gid: key.gid, err: toError(thrown) }, 'what prepare did was rolled back; the branch votes abort')
      return this.#refuse(key, limitMs)
    }
  }

  end(key: BranchKey, decision: Decision, carryOut: (sql: Sql) => Promise<void>): Promise<BranchEnd | 'lost'> {
    const end = decision === 'commit' ? 'committed' : 'aborted'
    return this.#transact<BranchEnd | 'lost'>(key, this.#parts.localMs, async (transaction) => {
      const state = await (decision === 'commit' ? this.#lock(transaction, key) : this.#lockOrEnd(transaction, key))
      if (state !== undefined && isOver(state)) return { kind: 'commit', value: state }
      if (state === undefined) {
        const isForgotten = txidTimeMs(key.txid) <= (await this.#watermarkIn(transaction))
        return { kind: 'commit', value: isForgotten ? end : 'lost' }
      }
      if (state === 'refused' && decision === 'commit') return { kind: 'commit', value: 'lost' }
      await carryOut(await transaction.client())
      return { kind: 'commit', last: this.#table.update(key, end), value: end }
    })
  }

  async open(): Promise<{ readonly entries: readonly SharedEntry[]; readonly isComplete: boolean }> {
    const { database, localMs, owner } = this.#parts
    const entries = entriesOf(await database.run([this.#table.open()], localMs))
    return { entries, isComplete: entries.length < owner.openMax }
  }

  async close(): Promise<void> {
    this.#parts.owner.clock.cancel(this.#timer)
  }

  /** Votes abort, unless there is a vote. */
  #refuse(key: BranchKey, limitMs: number): Promise<Verdict> {
    return this.#transact(key, limitMs, async (transaction) => {
      const state = await this.#lockOrEnd(transaction, key)
      if (state !== 'joined') return { kind: 'commit', value: verdictOf(state) }
      return { kind: 'commit', last: this.#table.update(key, 'refused'), value: verdictOf('refused') }
    })
  }

  async #refuseSoon(key: BranchKey): Promise<void> {
    try {
      await this.#refuse(key, REFUSE_MS)
    } catch (thrown) {
      const { logger } = this.#parts.owner
      logger.warn({ gid: key.gid, err: toError(thrown) }, 'that work has failed could not be written down')
    }
  }

  #transact<T>(
    { gid }: BranchKey,
    limitMs: number,
    work: (transaction: LocalTransaction<Sql>) => Promise<LocalEnd<T>>,
  ): Promise<T> {
    return this.#parts.database.transact(gid as Gid, Math.min(limitMs, this.#parts.localMs), work)
  }

  async #lock(transaction: LocalTransaction<Sql>, key: BranchKey): Promise<BranchState | undefined> {
    return (await transaction.run(this.#table.lock(key)))[0]?.state as BranchState | undefined
  }

  /** Its state; a branch without a row has none afterwards: it is aborted, so that no work and no vote comes after this. */
  async #lockOrEnd(transaction: LocalTransaction<Sql>, key: BranchKey): Promise<BranchState> {
    const state = await this.#lock(transaction, key)
    if (state !== undefined) return state
    if (txidTimeMs(key.txid) <= (await this.#watermarkIn(transaction))) return 'aborted'
    await transaction.run(this.#table.insert(key, 'aborted', 0))
    return (await this.#lock(transaction, key))!
  }

  async #watermarkIn(transaction: LocalTransaction<Sql>): Promise<number> {
    return Number((await transaction.run(this.#forgetting.reading))[0]?.forgotten_ms)
  }
}

function verdictOf(state: Exclude<BranchState, 'joined'>): Verdict {
  if (isOver(state)) return { vote: VOTE_OF[state], end: state }
  return { vote: state === 'prepared' ? 'commit' : 'abort' }
}

function entriesOf(rows: readonly Readonly<Record<string, unknown>>[]): readonly SharedEntry[] {
  return rows.flatMap(({ gid, state, due_in_ms, age_ms }) => {
    const parts = parseGid(String(gid))
    if (parts === undefined || makeGid(parts.cluster, parts.txid, parts.branch) !== gid) return []
    const dueInMs = Math.max(0, Number(due_in_ms))
    return [{ txid: parts.txid, branch: parts.branch, state: state as BranchState, dueInMs, ageMs: Number(age_ms) }]
  })
}
