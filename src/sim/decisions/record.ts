import { parseBranchId, type Txid } from '../../base/index.ts'

/** What became of one transaction, as applications were told. Outlives the application that asked. */
export interface DecisionRecord {
  readonly txid: Txid
  /** The last final word. */
  told: 'committed' | 'aborted' | undefined
  /** Who wants to know is still alive, or will be again. */
  settled: boolean
}

/** The branches of every transaction here. */
export const BRANCHES = [parseBranchId(0), parseBranchId(1)]
