import type { BranchId } from '../base/index.ts'
import type { Branch, Resource } from '../resources/index.ts'

/**
 * How far a branch has come. `open` → `preparing` → `prepared` | `ended` | `unknown`; any but `ended` may go to `ended`.
 *
 * - `unknown`: the connection was lost during PREPARE.
 * - `ended`: nothing is left to do: read only, rolled back, or finished.
 */
export type BranchPhase = 'open' | 'preparing' | 'prepared' | 'unknown' | 'ended'

/** One resource's part in one running transaction. */
export class Enlistment {
  readonly branchId: BranchId
  readonly resource: Resource<unknown>
  /** The branch, once its session is there. Its failure dooms the transaction, so nobody else needs to handle it. */
  readonly opening: Promise<Branch<unknown>>
  /** The same, when it has come. */
  branch: Branch<unknown> | undefined
  phase: BranchPhase = 'open'
  /** What PREPARE returned to tell the outcome later. */
  evidence: string | undefined

  constructor(branchId: BranchId, resource: Resource<unknown>, opening: Promise<Branch<unknown>>) {
    this.branchId = branchId
    this.resource = resource
    this.opening = opening
    opening.then(
      (branch) => {
        this.branch = branch
      },
      () => {},
    )
  }
}
