import type { BranchId, Txid } from '../../base/index.ts'
import { isDataKey } from './keys.ts'
import type { PreparedRow } from './records.ts'

/** A branch that voted commit and does not know the outcome. */
export interface InDoubtBranch {
  readonly txid: Txid
  readonly branch: BranchId
  /** When it voted, by this machine's clock then. Milliseconds since 1970, for people only. */
  readonly preparedAtMs: number
  /** Keys that it is about to change. */
  readonly keys: number
  /** Locks that it holds, on keys and ranges. */
  readonly locks: number
  /** Transactions that wait for it, directly: the first 20 of them. */
  readonly blocks: readonly Txid[]
  /** How many there are. */
  readonly blocksCount: number
}

/** Everybody may wait for one branch, and a status must fit into a frame. */
const BLOCKS_MAX = 20

export function inDoubtBranch(row: PreparedRow, waiters: readonly Txid[]): InDoubtBranch {
  const { txid, branch, preparedAtMs, locks, effects } = row
  const keys = effects.filter(({ key }) => isDataKey(key)).length
  const blocks = waiters.slice(0, BLOCKS_MAX)
  return { txid, branch, preparedAtMs, keys, locks: locks.length, blocks, blocksCount: waiters.length }
}
