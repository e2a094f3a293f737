import { toError } from '../../base/index.ts'
import type { LocalDatabase } from '../../resources/local/index.ts'
import type { Dialect } from './dialect.ts'
import type { JournalOwner } from './service-journal.ts'

/** What forgetting needs. */
export interface ForgettingParts {
  readonly database: LocalDatabase<unknown>
  readonly dialect: Dialect
  readonly owner: JournalOwner
  readonly localMs: number
  readonly rememberMs: number
}

/** Rows deleted by one statement: larger ones hold locks for long. */
const BATCH_ROWS = 1_000
/** Statements of a round; what is left is for the next. */
const BATCHES_MAX = 200

/**
 * Removes the rows of branches that ended long ago. What keeps late calls out afterwards is a watermark in `…_meta`: a branch whose
 * txid is not younger, and that has no row, is over. It only rises, by the database's clock.
 *
 * A round deletes what lies behind the watermark that it finds, and raises that only then: so every instance, which looks at
 * it once a round, knows a watermark before anything behind it is gone.
 */
export class Forgetting {
  static readonly everyMs = 60_000
  /** Answers `forgotten_ms`, the watermark, and `version`. */
  readonly reading: string
  readonly #parts: ForgettingParts
  #watermarkMs = 0
  #isAtWork = false

  constructor(parts: ForgettingParts) {
    this.#parts = parts
    this.reading = `SELECT forgotten_ms, version, ${parts.dialect.now} AS now_ms FROM ${parts.dialect.names.meta} WHERE one = 1`
  }

  /** As it was when this instance last looked. */
  get watermarkMs(): number {
    return this.#watermarkMs
  }

  /** Reads the watermark. @returns it, and the database's time */
  async look(): Promise<{ readonly watermarkMs: number; readonly nowMs: number }> {
    const { database, localMs } = this.#parts
    const row = (await database.run([this.reading], localMs))[0]
    this.#watermarkMs = Number(row?.forgotten_ms ?? 0)
    return { watermarkMs: this.#watermarkMs, nowMs: Number(row?.now_ms ?? 0) }
  }

  /** One round. Never rejects: what was not done is for the next. */
  async round(): Promise<void> {
    if (this.#isAtWork) return
    this.#isAtWork = true
    try {
      const { watermarkMs, nowMs } = await this.look()
      const beforeMs = nowMs - this.#parts.rememberMs
      for (const state of ['readOnly', 'committed', 'aborted']) await this.#delete(state, beforeMs, watermarkMs)
      await this.#raise(beforeMs)
    } catch (thrown) {
      this.#parts.owner.logger.warn({ err: toError(thrown) }, 'old rows of the journal could not be removed')
    } finally {
      this.#isAtWork = false
    }
  }

  async #delete(state: string, beforeMs: number, watermarkMs: number): Promise<void> {
    const { database, dialect, owner, localMs } = this.#parts
    const { table } = dialect.names
    for (let batch = 0; batch < BATCHES_MAX; batch++) {
      const rows = await database.run(
        [
          `SELECT gid FROM ${table} WHERE participant = '${owner.name}' AND state = '${state}'
            AND changed_ms < ${beforeMs} AND txid_ms <= ${watermarkMs} ORDER BY changed_ms LIMIT ${BATCH_ROWS}`,
        ],
        localMs,
      )
      if (rows.length === 0) return
      const gids = rows.map(({ gid }) => `'${String(gid)}'`).join(', ')
      await database.run([`DELETE FROM ${table} WHERE gid IN (${gids}) AND state = '${state}'`], localMs)
      if (rows.length < BATCH_ROWS) return
    }
  }

  async #raise(toMs: number): Promise<void> {
    const { database, dialect, localMs } = this.#parts
    const { meta } = dialect.names
    await database.run(
      [`UPDATE ${meta} SET forgotten_ms = GREATEST(forgotten_ms, ${Math.floor(toMs)}) WHERE one = 1`],
      localMs,
    )
  }
}
