import { type BranchId, type Clock, type ClusterId, type Txid, txidTimeMs } from '../base/index.ts'
import type { Coordinator, OperatorRecord } from '../coordinator/index.ts'
import { NotLeaderError } from '../replica/index.ts'
import type { Evidence, Resource } from '../resources/index.ts'
import type { Settlement } from '../txn/index.ts'
import type { Release } from './releases.ts'
import { SettleMixedVersionsError, SettleNotRecordedError } from './settle-errors.ts'
import type { KnownDecision } from './settle-rules.ts'
import { within } from './within.ts'

export interface SettleLogParts {
  readonly coordinator: Pick<
    Coordinator,
    'status' | 'knowledge' | 'transaction' | 'guard' | 'inquire' | 'ack' | 'record' | 'settlements' | 'unacknowledged'
  >
  readonly clusterId: ClusterId
  readonly clock: Clock
  /** Whether each other coordinator knows these records; undefined: it does not answer. */
  readonly releases: () => Promise<readonly Release[]>
}

/** What settling reads of the replicated log, and writes into it. */
export class SettleLog {
  readonly #parts: SettleLogParts

  constructor(parts: SettleLogParts) {
    this.#parts = parts
  }

  /** A follower can't; it says who leads. @throws NotLeaderError */
  assertLeading(): void {
    const { leading, leader } = this.#parts.coordinator.status()
    if (!leading) throw new NotLeaderError(leader)
  }

  known(txid: Txid): KnownDecision {
    const { coordinator } = this.#parts
    const decision = coordinator.knowledge(txid)
    const isOpen = decision.kind === 'unknown' || decision.kind === 'preparing'
    return { txid, decision, guarded: isOpen && txidTimeMs(txid) < (coordinator.guard?.beforeMs ?? 0) }
  }

  /** The last thing that was ordered for a branch. */
  lastOf(txid: Txid, branch: BranchId): Settlement | undefined {
    return this.#parts.coordinator.settlements.findLast(
      (each) => each.txid === txid && each.branch === branch && each.action !== 'acknowledge',
    )
  }

  /** @throws SettleNotRecordedError */
  async record(record: OperatorRecord): Promise<void> {
    const recorded = await new Promise<boolean>((resolve) => this.#parts.coordinator.record(record, resolve))
    if (!recorded) throw lost()
  }

  /** What a database can prove of a branch. @throws what it throws; Error when it does not answer within `ms` */
  evidenceOf({ name, inDoubt }: Resource<unknown>, txid: Txid, branch: BranchId, ms: number): Promise<Evidence> {
    const { clusterId, coordinator, clock } = this.#parts
    const token = coordinator.transaction(txid)?.branches.find((each) => each.branch === branch)?.evidence
    return within(clock, ms, name, inDoubt.evidence({ cluster: clusterId, txid, branch }, token))
  }

  /**
   * A coordinator that does not know these records stops when it meets one; a majority of such would end the fleet.
   *
   * @returns those that do not answer
   * @throws SettleMixedVersionsError
   */
  async assertReleases(): Promise<readonly string[]> {
    const releases = await this.#parts.releases()
    const old = releases.filter(({ knows }) => knows === false).map(({ address }) => address)
    if (old.length > 0)
      throw new SettleMixedVersionsError(
        `the coordinators at ${old.join(', ')} run a release before 0.3, which would stop at the record of this; upgrade them first. Nothing was done.`,
      )
    return releases.filter(({ knows }) => knows === undefined).map(({ address }) => address)
  }
}

/** The leadership is gone: whoever asks again finds out what is in the log. */
export function lost(): SettleNotRecordedError {
  return new SettleNotRecordedError(
    'the leadership was lost meanwhile; look at concordat settle for what is in the log, and repeat it',
  )
}
