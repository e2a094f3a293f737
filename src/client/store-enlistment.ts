import type { BranchId, Txid } from '../base/index.ts'
import type { KeyValueBranch, KeyValueStore, KvError, OnePhaseEnd } from '../kv/index.ts'
import type { Evidence } from '../resources/index.ts'
import type { BranchRecord } from '../txn/index.ts'

/** How long a participant is asked why it voted abort. */
const EXPLAIN_MS = 1_000

/** One key-value participant's part in one running transaction. The coordinators ask it for its vote and tell it the decision. */
export class StoreEnlistment {
  readonly branchId: BranchId
  /** The branch, once it is open. Its failure dooms the transaction, so nobody else needs to handle it. */
  readonly opening: Promise<KeyValueBranch>
  /** The same, when it has come. */
  branch: KeyValueBranch | undefined
  /** As the log keeps it. */
  readonly record: BranchRecord
  readonly #store: KeyValueStore

  constructor(branchId: BranchId, store: KeyValueStore, opening: Promise<KeyValueBranch>) {
    this.branchId = branchId
    this.opening = opening
    opening.then(
      (branch) => {
        this.branch = branch
      },
      () => {},
    )
    this.#store = store
    this.record = { branch: branchId, kind: 'kv', participant: store.name, vote: undefined, evidence: undefined }
  }

  get name(): string {
    return this.#store.name
  }

  /** Rolls the branch back. @returns whether it surely never commits, so that nobody need be told */
  async drop(): Promise<boolean> {
    const branch = await this.opening.catch(() => undefined)
    // One that did not open has its connection lost, or was refused: the participant has nothing of it.
    return branch === undefined || branch.abort()
  }

  /** Commits without the coordinators, which need not know of a transaction that is in no other place. */
  commitOnePhase(branch: KeyValueBranch, waitMs: number): Promise<OnePhaseEnd> {
    return this.#store.commitOnePhase(branch, waitMs)
  }

  /** After a one-phase commit without an answer: what came of it. */
  async evidence(txid: Txid, timeoutMs: number): Promise<Evidence> {
    const outcome = await this.#store.settle(txid, timeoutMs)
    return outcome === 'unknown' ? 'none' : outcome
  }

  /** Why it voted abort, when it can say. */
  explain(txid: Txid): Promise<KvError | undefined> {
    return this.#store.explain(txid, EXPLAIN_MS)
  }
}
