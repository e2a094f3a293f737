import { type BranchId, type Clock, type ClusterId, hit, type Timer, type Txid, toError } from '../../base/index.ts'
import type { Logger } from '../../client/index.ts'
import type { CoordinatorPort, Reply } from '../../coordinator/index.ts'
import type { Decision } from '../../txn/index.ts'
import type { OpenBranch } from './branch-table.ts'
import type { KeeperOptions } from './options.ts'

/** A branch that may be asked about; see OpenBranch. */
export type AskedBranch = Pick<OpenBranch, 'phase' | 'askMs' | 'dueMs' | 'asks'> & {
  readonly key: { readonly txid: Txid; readonly branch: BranchId }
}

/** What an inquirer needs. */
export interface InquirerParts {
  readonly keeper: {
    readonly table: { all(): Iterable<AskedBranch> }
    /** @param isForgotten nobody knows the decision any more: it is what is left to do */
    decide(txid: Txid, branch: BranchId, decision: Decision, isForgotten?: boolean): void
  }
  readonly coordinators: Pick<CoordinatorPort, 'inquire'>
  readonly clusterId: ClusterId
  readonly clock: Clock
  readonly logger: Logger
  readonly options: KeeperOptions
}

/** INQUIREs under way, at most: after a long outage everything is in doubt at once. */
const ASKING_MAX = 100

/** Asks the coordinators what became of branches that nobody told a decision. */
export class Inquirer {
  readonly #parts: InquirerParts
  readonly #asking = new Set<AskedBranch>()
  #timer: Timer | undefined

  constructor(parts: InquirerParts) {
    this.#parts = parts
  }

  /** Looks now, and again and again. */
  start(): void {
    const { clock, options } = this.#parts
    this.#timer = clock.every(options.scanMs, () => this.#scan())
    this.#scan()
  }

  stop(): void {
    if (this.#timer !== undefined) this.#parts.clock.cancel(this.#timer)
    this.#timer = undefined
  }

  #scan(): void {
    const nowMs = this.#parts.clock.monotonicMs()
    for (const branch of this.#parts.keeper.table.all()) {
      if (this.#asking.size >= ASKING_MAX) return
      const isWaiting = branch.phase === 'joined' || branch.phase === 'voted'
      if (isWaiting && branch.askMs <= nowMs && !this.#asking.has(branch)) void this.#ask(branch, nowMs)
    }
  }

  async #ask(branch: AskedBranch, nowMs: number): Promise<void> {
    const { coordinators, clusterId, clock, options, logger, keeper } = this.#parts
    const { txid, branch: branchId } = branch.key
    this.#asking.add(branch)
    try {
      // P5: to settle an unknown transaction aborts it. A branch that has not voted may belong to one that still runs.
      const settle = branch.phase === 'voted' || nowMs >= branch.dueMs
      hit('service.inquiry.before-send', txid)
      const reply = await coordinators.inquire({ clusterId, txid, settle }, options.answerMs)
      hit('service.inquiry.answered', txid)
      const decision = decisionOf(reply)
      const isForgotten = reply.kind === 'outcome' && reply.outcome.kind === 'forgotten'
      if (decision !== undefined) keeper.decide(txid, branchId, decision, isForgotten)
    } catch (thrown) {
      logger.warn({ txid, err: toError(thrown) }, 'the coordinators could not be asked')
    } finally {
      this.#asking.delete(branch)
      const firstMs = branch.phase === 'joined' ? options.joinedAskMs : options.askMs
      const waitMs = Math.min(options.askMaxMs, firstMs * 2 ** Math.min(branch.asks++, 8))
      branch.askMs = clock.monotonicMs() + waitMs
    }
  }
}

/** Undefined: nobody knows yet. */
function decisionOf(reply: Reply): Decision | undefined {
  if (reply.kind === 'refused') return undefined
  switch (reply.outcome.kind) {
    case 'committed':
      return 'commit'
    case 'aborted':
    // Finished long ago: had it been committed, an instance had carried that out before, and nothing is set aside any more.
    case 'forgotten':
      return 'abort'
    default:
      return undefined
  }
}
