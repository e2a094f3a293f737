import { assert } from '../../base/index.ts'
import {
  type Entry,
  type HardState,
  type LogIndex,
  NO_INDEX,
  NO_TERM,
  type RecoveredState,
  type TermRun,
  type WriteEffect,
} from '../types.ts'

/** What one node's disk really holds. It knows no index but positions: entry i is at i - 1. */
export class ModelDisk {
  hardState: HardState = { currentTerm: NO_TERM, votedFor: undefined, commitIndex: NO_INDEX }
  readonly entries: Entry[] = []

  /** Writes as a WAL would: hard state first, then each entry, which replaces its index and all behind it. */
  apply(write: Pick<WriteEffect, 'hardState' | 'entries'>): void {
    if (write.hardState !== undefined) this.hardState = write.hardState
    for (const entry of write.entries) {
      assert(entry.index <= this.entries.length + 1, 'a write leaves no gap on disk')
      this.entries.length = entry.index - 1
      this.entries.push(entry)
    }
  }

  /** The records of `writes` one by one, as a crash may tear them apart anywhere. */
  static recordsOf(writes: readonly WriteEffect[]): Pick<WriteEffect, 'hardState' | 'entries'>[] {
    return writes.flatMap(({ hardState, entries }) => [
      ...(hardState === undefined ? [] : [{ hardState, entries: [] }]),
      ...entries.map((entry) => ({ hardState: undefined, entries: [entry] })),
    ])
  }

  recover(): RecoveredState {
    const termRuns: TermRun[] = []
    for (const { term, index } of this.entries) {
      if (termRuns.at(-1)?.term !== term) termRuns.push({ term, firstIndex: index })
    }
    const lastIndex = this.entries.length as LogIndex
    return {
      hardState: this.hardState,
      baseIndex: NO_INDEX,
      baseTerm: NO_TERM,
      termRuns,
      lastIndex,
      lastApplied: NO_INDEX,
      doubtful: false,
    }
  }
}
