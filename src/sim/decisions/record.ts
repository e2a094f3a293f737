import { parseBranchId, type Txid } from '../../base/index.ts'

/** What became of one transaction, as applications were told. Outlives the application that asked. */
export interface DecisionRecord {
  readonly txid: Txid
  /** The last final word. */
  told: 'committed' | 'aborted' | undefined
  /** The application has ended its branches, or knows that somebody else did. */
  settled: boolean
  /** How each branch ended in its pretended database. */
  readonly ended: ['committed' | 'aborted' | undefined, 'committed' | 'aborted' | undefined]
}

/** The branches of every transaction here. */
export const BRANCHES = [parseBranchId(0), parseBranchId(1)]
