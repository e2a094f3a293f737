import { type Clock, type ClusterId, type Timer, toError } from '../../base/index.ts'
import type { Logger } from '../../client/index.ts'
import { type BranchTable, OpenBranch } from './branch-table.ts'
import { isOver, type Journal, type JournalEntry, type SharedEntry } from './journal.ts'
import { branchKey } from './keys.ts'
import type { KeeperOptions } from './options.ts'

/** What is needed to look into a journal. */
export interface SharedBranchesParts {
  readonly clusterId: ClusterId
  readonly table: BranchTable
  readonly journal: Journal<unknown>
  readonly clock: Clock
  readonly logger: Logger
  readonly options: KeeperOptions
}

/**
 * Takes up what the journal holds: all of it at the start, and later, where the journal is shared, what another instance left
 * open for long. It may be dead for good; that several instances ask about one branch does no harm.
 */
export class SharedBranches {
  readonly #parts: SharedBranchesParts
  #timer: Timer | undefined
  #isLooking = false

  constructor(parts: SharedBranchesParts) {
    this.#parts = parts
    for (const entry of parts.journal.found) this.#takeUp(entry)
    if (parts.journal.open === undefined) return
    this.#timer = parts.clock.every(parts.options.refreshMs, () => void this.refresh())
  }

  stop(): void {
    if (this.#timer !== undefined) this.#parts.clock.cancel(this.#timer)
    this.#timer = undefined
  }

  /** Looks into the journal once. Never rejects. */
  async refresh(): Promise<void> {
    const { journal, clock, logger } = this.#parts
    if (this.#isLooking || journal.open === undefined) return
    this.#isLooking = true
    const askedMs = clock.monotonicMs()
    try {
      const { entries, isComplete } = await journal.open()
      this.#compare(entries, isComplete, askedMs)
    } catch (thrown) {
      logger.warn({ err: toError(thrown) }, 'the journal could not be looked through for branches left behind')
    } finally {
      this.#isLooking = false
    }
  }

  #compare(entries: readonly SharedEntry[], isComplete: boolean, askedMs: number): void {
    const { table, clusterId, options } = this.#parts
    const listed = new Set<string>()
    for (const entry of entries) {
      const { gid } = branchKey(clusterId, entry.txid, entry.branch)
      listed.add(gid)
      if (table.open(gid) === undefined && table.endOf(gid) === undefined && entry.ageMs >= options.foreignMs) {
        this.#takeUp(entry)
      }
    }
    if (!isComplete) return
    // Ended by another instance. What failed here is kept, since the journal may not have heard of it.
    for (const open of [...table.all()]) {
      if (open.isIdle && !open.isSpoilt && open.sinceMs < askedMs && !listed.has(open.key.gid)) table.drop(open.key.gid)
    }
  }

  #takeUp({ txid, branch, state, dueInMs }: JournalEntry): void {
    const { clusterId, clock, options, table } = this.#parts
    const key = branchKey(clusterId, txid, branch)
    if (isOver(state)) return table.end(key.gid, state)
    if (this.#parts.journal.isShared && table.openCount >= options.openMax) return
    const nowMs = clock.monotonicMs()
    const open = new OpenBranch(key, state === 'joined' ? 'joined' : 'voted', nowMs)
    if (state === 'prepared') open.vote = 'commit'
    if (state === 'refused') open.vote = 'abort'
    open.dueMs = nowMs + (dueInMs ?? options.joinedTimeoutMs + options.joinedSlackMs)
    // In doubt since before: asked at once.
    open.askMs = nowMs
    table.add(open)
  }
}
