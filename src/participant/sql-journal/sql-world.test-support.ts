import type { Effect, JournalWorld } from './journal.contract.ts'
import type { ServiceJournal } from './service-journal.ts'

/** What a driver's client does, whichever it is: a text with `?` for each value. */
export type Send = (text: string, ...values: readonly string[]) => Promise<readonly Record<string, unknown>[]>

export const WORK_TABLE =
  'CREATE TABLE IF NOT EXISTS seats (gid varchar(80) PRIMARY KEY, state varchar(10) NOT NULL, n int NOT NULL)'

/**
 * A service whose work is a row in the journal's own database. Its `makeReal` counts, so calling it twice shows: that it does
 * not is the journal's merit.
 */
export class SqlWorld<Sql> implements JournalWorld<Sql> {
  readonly #journal: ServiceJournal<Sql>
  readonly #send: (sql: Sql) => Send
  readonly #look: Send

  constructor(journal: ServiceJournal<Sql>, send: (sql: Sql) => Send, look: Send) {
    this.#journal = journal
    this.#send = send
    this.#look = look
  }

  get open(): ServiceJournal<Sql>['open'] {
    return this.#journal.open
  }

  async setAside(sql: Sql, gid: string): Promise<void> {
    await this.#send(sql)("INSERT INTO seats VALUES (?, 'aside', 0)", gid)
  }

  async makeReal(sql: Sql, gid: string): Promise<void> {
    await this.#send(sql)("UPDATE seats SET state = 'real', n = n + 1 WHERE gid = ?", gid)
  }

  async drop(sql: Sql, gid: string): Promise<void> {
    await this.#send(sql)('DELETE FROM seats WHERE gid = ?', gid)
  }

  async effect(gid: string): Promise<Effect> {
    const [row] = await this.#look('SELECT state, n FROM seats WHERE gid = ?', gid)
    if (row === undefined) return 'nothing'
    return row.state === 'aside' ? 'aside' : `real ${Number(row.n)}`
  }
}
