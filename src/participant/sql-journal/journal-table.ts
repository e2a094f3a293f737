import { GID_PREFIX, txidTimeMs } from '../../base/index.ts'
import type { BranchState } from '../service/journal.ts'
import type { BranchKey } from '../service/keys.ts'
import type { Dialect } from './dialect.ts'
import type { JournalOwner } from './service-journal.ts'

/** The statements about one service's rows. */
export class JournalTable {
  readonly #dialect: Dialect
  readonly #owner: JournalOwner

  constructor(dialect: Dialect, owner: JournalOwner) {
    this.#dialect = dialect
    this.#owner = owner
  }

  /** A row, unless there is one. Waits for whoever is making it. */
  insert({ gid, txid }: BranchKey, state: BranchState, dueInMs: number): string {
    const { name: participant } = this.#owner
    return this.#dialect.insert({ gid, participant, state, txidMs: txidTimeMs(txid), dueInMs })
  }

  /** The row's newest state, which nobody else changes until this transaction has ended. */
  lock({ gid }: BranchKey): string {
    return `SELECT state FROM ${this.#dialect.names.table} WHERE gid = '${gid}' FOR UPDATE`
  }

  update({ gid }: BranchKey, state: BranchState): string {
    const { names, now } = this.#dialect
    return `UPDATE ${names.table} SET state = '${state}', changed_ms = ${now} WHERE gid = '${gid}'`
  }

  /** What has not ended, of this service and cluster. */
  open(): string {
    const { names, now } = this.#dialect
    const { name, clusterId, openMax } = this.#owner
    const prefix = `${GID_PREFIX}${clusterId}_`
    return `SELECT gid, state, due_ms - ${now} AS due_in_ms, ${now} - changed_ms AS age_ms FROM ${names.table}
      WHERE participant = '${name}' AND state IN ('joined', 'prepared', 'refused') AND LEFT(gid, ${prefix.length}) = '${prefix}'
      ORDER BY changed_ms LIMIT ${openMax}`
  }
}
