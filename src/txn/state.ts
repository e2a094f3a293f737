import type { BranchId, Txid } from '../base/index.ts'
import { OutcomeTable } from './outcome-table.ts'
import { OutcomeWords } from './outcome-word.ts'
import type { BranchRecord, Guard, Outcome, Settlement } from './types.ts'

/** How a branch ended against, or without, the decision. */
export interface Finding {
  readonly branch: BranchId
  readonly found: 'committed' | 'aborted' | 'none'
}

/**
 * A transaction that still needs something: votes (no outcome yet), or acknowledgements. A value: apply.ts replaces it
 * and never changes it, so a frozen copy of the state is a list of them.
 */
export interface OpenTransaction {
  readonly txid: Txid
  /** From `prepared`, milliseconds; 0 when the decision came without one. */
  readonly timeoutMs: number
  /** All of them, readers included: a retry is compared with this list. */
  readonly branches: readonly BranchRecord[]
  readonly outcome: Outcome | undefined
  /** In the order of their records, each branch once. */
  readonly findings: readonly Finding[]
}

/** A finished transaction that waits for an operator. Never forgotten by the watermark. A value, as an open one is. */
export interface NotedTransaction {
  readonly txid: Txid
  /** Undefined when the transaction had been forgotten before the finding came. */
  readonly outcome: Outcome | undefined
  /** Empty when it had finished before the finding came. */
  readonly branches: readonly BranchRecord[]
  readonly branchDigest: number
  readonly findings: readonly Finding[]
}

/**
 * The replicated state. Changed by apply.ts alone; everything else reads.
 *
 * Invariants, checked by validate.ts:
 * 1. A transaction is in `open` or finished, never both.
 * 2. `preparingCount` is the number of open transactions without an outcome.
 * 3. A decided open transaction has a branch to tell: otherwise it would have finished at once.
 * 4. No list of branches or findings names a branch twice; numbers are below BRANCHES_MAX.
 * 5. The watermark is a whole number; the outcome table has forgotten just the buckets wholly before it.
 * 6. The outcome table's count and sums are those of its entries, and each entry is found under its txid.
 * 7. A noted transaction has a finding; without an outcome it is older than the watermark.
 * 8. `heuristicCount` is the number of transactions with a finding.
 * 9. There are at least as many decisions as decided or remembered transactions.
 * 10. A guard spans some time.
 * 11. No branch has two orders that wait to be carried out; `undecidedSettlements` counts what was forced without a decision.
 */
export interface LedgerState {
  /** In the order of their first record. */
  readonly open: Map<Txid, OpenTransaction>
  readonly noted: Map<Txid, NotedTransaction>
  readonly finished: OutcomeTable
  readonly words: OutcomeWords
  watermarkMs: number
  /** Undefined nearly always: see guard.ts. */
  guard: Guard | undefined
  /** What operators did by hand, in the order of the log. Replaced, never changed: a frozen copy holds it. */
  settlements: readonly Settlement[]
  undecidedSettlements: number
  preparingCount: number
  committedCount: number
  abortedCount: number
  heuristicCount: number
}

/** The state before the first record. */
export function emptyState(): LedgerState {
  return {
    open: new Map(),
    noted: new Map(),
    finished: new OutcomeTable(),
    words: new OutcomeWords(),
    watermarkMs: 0,
    guard: undefined,
    settlements: [],
    undecidedSettlements: 0,
    preparingCount: 0,
    committedCount: 0,
    abortedCount: 0,
    heuristicCount: 0,
  }
}
