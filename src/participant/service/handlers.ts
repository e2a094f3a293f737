import type { BranchKey } from './keys.ts'

/**
 * What a service does for a transaction. All three may be called more than once for one branch, also by several instances,
 * also at the same time; each must then do what one call does. Work is set aside under `branch.gid`, where every instance
 * finds it.
 *
 * With a journal in the service's own database (`postgresJournal`, `mysqlJournal`) each gets `sql` too: a client of the pool, in
 * the local transaction in which the journal writes. What is done through it happens once, together with the journal's row, or
 * not at all. With a journal in a directory `sql` is undefined.
 */
export interface ServiceHandlers<Sql = undefined> {
  /**
   * Makes sure that what was set aside can be committed whatever happens, and that it outlives a crash. Returning is the
   * vote to commit: a promise that must not be broken. Throw to vote abort, also when nothing is found under `branch.gid`: the
   * call did not come that far. Return `readOnly` when the call was answered and changes nothing; then neither `commit` nor
   * `abort` follows.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that returns nothing is the usual one
  prepare(branch: BranchKey, sql: Sql): Promise<'readOnly' | void> | 'readOnly' | void
  /** Makes what was set aside real. Nothing set aside means that it was done before. Throw to be called again. */
  commit(branch: BranchKey, sql: Sql): Promise<void> | void
  /** Drops what is still set aside; nothing when nothing is. It must never undo a commit. Throw to be called again. */
  abort(branch: BranchKey, sql: Sql): Promise<void> | void
}
