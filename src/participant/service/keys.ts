import { type BranchId, type ClusterId, makeGid, type Txid } from '../../base/index.ts'

/** Which branch of which transaction: what every handler gets. */
export interface BranchKey {
  readonly txid: Txid
  readonly branch: BranchId
  /** Both and the cluster as one text of at most 56 plain characters: set work aside under it, and find it again by it. */
  readonly gid: string
}

/** The key of a branch of `cluster`. */
export function branchKey(cluster: ClusterId, txid: Txid, branch: BranchId): BranchKey {
  return { txid, branch, gid: makeGid(cluster, txid, branch) }
}
