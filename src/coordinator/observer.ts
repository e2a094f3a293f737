import type { NodeId, Txid } from '../base/index.ts'
import type { Outcome } from '../txn/index.ts'
import type { RefusalCode } from './requests.ts'

/** Who wants to know what a coordinator does: metrics, the resolver, tests. Called synchronously; must be quick and must not throw. */
export interface CoordinatorObserver {
  /** This coordinator leads from now on; open transactions are being continued. */
  leading?(term: number): void
  /** It does not lead (any more). */
  following?(leader: NodeId | undefined): void
  /** A decision was applied on the leader. `durationMs`: since its first request came in; undefined when none did, or under an earlier leader. */
  decided?(txid: Txid, outcome: Outcome, durationMs: number | undefined): void
  /** Every branch acknowledged. */
  completed?(txid: Txid): void
  refused?(code: RefusalCode): void
  /** An application's connection was lost: it may have left prepared branches behind. */
  clientGone?(): void
}
