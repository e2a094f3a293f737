import { type Mutant, mutant } from './mutant.ts'

/** Mistakes in the durable log, in snapshots and in recovery. */
export const STORAGE_MUTANTS: readonly Mutant[] = [
  {
    name: 'write-not-synced',
    mistake: 'the log is written without O_DSYNC: what is acknowledged is in the page cache alone',
    edits: ['src/wal/open-store.ts', 'src/wal/spares.ts'].map((file) => ({
      file,
      find: '{ durable: true })',
      replace: '{ durable: false })',
    })),
  },
  mutant(
    'directory-not-synced',
    'the name of a new segment is not synced, so a power loss takes the whole file',
    'src/wal/segment.ts',
    '  await disk.rename(temporary, path)\n  await disk.syncDirectory(directory)\n',
    '  await disk.rename(temporary, path)\n',
  ),
  mutant(
    'failed-write-retried',
    'a failed write is not the end: the log goes on as if it had been done again, and had helped',
    'src/wal/wal.ts',
    'if (error === null) this.#written(batch, segment)\n      else',
    'this.#written(batch, segment)\n      if (this.#failure !== undefined)',
  ),
  mutant(
    'damaged-middle-cut-off',
    'damage in the midst of the log is taken for a torn end, and everything behind it is cut',
    'src/wal/log-reader.ts',
    '    if (after >= 0) {\n',
    '    if (after >= 0 && segment === undefined) {\n',
  ),
  mutant(
    'checksum-not-checked',
    'a record whose checksum is wrong passes',
    'src/wal/format.ts',
    'return crc === bytes.readUInt32BE(at + 5) ? RECORD_HEAD_BYTES + length : 0',
    'return crc === -1 ? 0 : RECORD_HEAD_BYTES + length',
  ),
  mutant(
    'snapshot-without-decisions',
    'a restored state lacks the transactions that have finished',
    'src/txn/ledger-restore.ts',
    '    this.#install(this.#state)\n',
    '    Object.assign(this.#state, { finished: emptyState().finished })\n    this.#install(this.#state)\n',
  ),
  mutant(
    'snapshot-without-open-transactions',
    'a restored state lacks the transactions that are not finished: their locks leak',
    'src/txn/ledger-restore.ts',
    '    this.#install(this.#state)\n',
    '    this.#state.open.clear()\n    this.#state.preparingCount = 0\n    this.#install(this.#state)\n',
  ),
]
