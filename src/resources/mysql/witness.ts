import { type ClusterId, GID_PREFIX, type Gid, txidTimeMs } from '../../base/index.ts'
import { ResourceMisconfiguredError } from '../errors.ts'
import type { BranchIdentity } from '../resource.ts'
import type { Run } from './settle.ts'

/** The table that `witness: true` uses. */
const DEFAULT_TABLE = 'concordat_witness'
/** Rows deleted by one statement: larger ones hold locks for long and swell the binary log. */
const FORGET_ROWS_MAX = 1_000

/** Says that the branch wrote a witness row: from then on a missing row is proof too. */
export const WITNESS_TOKEN = 'witness'

/**
 * Rows written inside branches, named by their gid. A row that can be seen proves that its branch was committed: XA itself
 * keeps no memory of outcomes.
 */
export class Witness {
  readonly #table: string

  /** @throws ResourceMisconfiguredError when the table's name has characters other than letters, digits and `_`, or a dot */
  constructor(resource: string, option: true | string) {
    const name = option === true ? DEFAULT_TABLE : option
    if (!/^\w{1,64}(\.\w{1,64})?$/.test(name)) {
      throw new ResourceMisconfiguredError(
        resource,
        `the witness table's name ${JSON.stringify(name)} is not a plain one such as app.witness.`,
      )
    }
    this.#table = name
      .split('.')
      .map((part) => `\`${part}\``)
      .join('.')
  }

  /** Makes the table. DDL commits implicitly, so never inside a branch. */
  async create(run: Run): Promise<void> {
    await run(
      `CREATE TABLE IF NOT EXISTS ${this.#table} (gid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, made_ms BIGINT NOT NULL, KEY made (made_ms)) ENGINE=InnoDB`,
    )
  }

  /** Writes the branch's row, inside the branch. */
  async write(run: Run, gid: Gid, { txid }: BranchIdentity): Promise<void> {
    await run(`INSERT INTO ${this.#table} (gid, made_ms) VALUES (?, ?)`, [gid, txidTimeMs(txid)])
  }

  async saw(run: Run, gid: Gid): Promise<boolean> {
    return (await run(`SELECT 1 FROM ${this.#table} WHERE gid = ?`, [gid])).length > 0
  }

  /** Deletes the rows of `cluster` made before `beforeMs`, a batch at a time. */
  async forget(run: Run, cluster: ClusterId, beforeMs: number): Promise<void> {
    const prefix = `${GID_PREFIX}${cluster}_`
    for (;;) {
      const rows = await run(
        `SELECT gid FROM ${this.#table} WHERE made_ms < ? AND LEFT(gid, ?) = ? ORDER BY made_ms LIMIT ${FORGET_ROWS_MAX}`,
        [beforeMs, prefix.length, prefix],
      )
      if (rows.length > 0) await run(`DELETE FROM ${this.#table} WHERE gid IN (?)`, [rows.map(({ gid }) => gid)])
      if (rows.length < FORGET_ROWS_MAX) return
    }
  }
}
