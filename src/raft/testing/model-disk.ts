import { assert } from '../../base/index.ts'
import {
  type Configuration,
  type Entry,
  type HardState,
  type LogIndex,
  NO_INDEX,
  NO_TERM,
  type RecoveredState,
  type SnapshotPosition,
  type Term,
  type TermRun,
  type WriteEffect,
} from '../types.ts'

/** A snapshot as the model has it: the state machine is the list of entries that it applied. */
export interface ModelSnapshot {
  readonly id: number
  readonly position: SnapshotPosition
  readonly configuration: Configuration
  readonly state: readonly Entry[]
  readonly totalBytes: number
}

/** A snapshot that is on its way from a leader. */
export interface IncomingSnapshot {
  readonly snapshot: ModelSnapshot
  receivedBytes: number
}

/**
 * What one node's disk really holds. It knows no index but positions: entry i is at i - 1. Entries that a snapshot covers
 * stay there for the checks, but can't be read: `baseIndex` tells where the readable ones begin.
 */
export class ModelDisk {
  hardState: HardState = { currentTerm: NO_TERM, votedFor: undefined, commitIndex: NO_INDEX }
  readonly entries: Entry[] = []
  baseIndex = 0
  snapshot: ModelSnapshot | undefined
  incoming: IncomingSnapshot | undefined
  /** A part of it was lost, and the node has not made that good yet. */
  isDoubtful = false

  /** Writes as a WAL would: hard state first, then each entry, which replaces its index and all behind it. */
  apply(write: Pick<WriteEffect, 'hardState' | 'entries'>): void {
    if (write.hardState !== undefined) this.hardState = write.hardState
    for (const entry of write.entries) {
      assert(entry.index > this.baseIndex, 'a write never touches what is compacted')
      assert(entry.index <= this.entries.length + 1, 'a write leaves no gap on disk')
      this.entries.length = entry.index - 1
      this.entries.push(entry)
    }
  }

  /** Begins the log anew at a snapshot that came from a leader. */
  install(snapshot: ModelSnapshot): void {
    this.snapshot = snapshot
    this.#beginLogAt(snapshot)
    this.incoming = undefined
  }

  /** A crash loses what was not synced of a snapshot on its way; one that is complete was synced. */
  loseIncoming(bytesKept: number): void {
    const { incoming } = this
    if (incoming === undefined || incoming.receivedBytes === incoming.snapshot.totalBytes) return
    incoming.receivedBytes = Math.min(incoming.receivedBytes, bytesKept)
  }

  /** Loses the vote and everything behind `keep`, but no snapshot: damage that was found at start-up. */
  damage(keep: number): void {
    this.entries.length = Math.min(this.entries.length, Math.max(keep, this.baseIndex))
    const known = [this.entries.at(-1)?.term, this.snapshot?.position.term]
    const currentTerm = Math.max(0, ...known.map((term) => term ?? 0)) as Term
    this.hardState = { currentTerm, votedFor: undefined, commitIndex: NO_INDEX }
    this.isDoubtful = true
  }

  /** The readable entries `from` … `to`, as far as they are there. */
  read(from: LogIndex, to: LogIndex): readonly Entry[] {
    return from > this.baseIndex ? this.entries.slice(from - 1, to) : []
  }

  /** The records of `writes` one by one, as a crash may tear them apart anywhere. */
  static recordsOf(writes: readonly WriteEffect[]): Pick<WriteEffect, 'hardState' | 'entries'>[] {
    return writes.flatMap(({ hardState, entries }) => [
      ...(hardState === undefined ? [] : [{ hardState, entries: [] }]),
      ...entries.map((entry) => ({ hardState: undefined, entries: [entry] })),
    ])
  }

  recover(): RecoveredState {
    const { snapshot } = this
    // The log ends before the snapshot, or conflicts there: entries were applied before they were written.
    if (snapshot !== undefined && this.entries[snapshot.position.index - 1]?.term !== snapshot.position.term) {
      this.#beginLogAt(snapshot)
    }
    const termRuns: TermRun[] = []
    for (const { term, index } of this.entries.slice(this.baseIndex)) {
      if (termRuns.at(-1)?.term !== term) termRuns.push({ term, firstIndex: index })
    }
    return {
      hardState: this.hardState,
      baseIndex: this.baseIndex as LogIndex,
      baseTerm: this.entries[this.baseIndex - 1]?.term ?? NO_TERM,
      termRuns,
      lastIndex: this.entries.length as LogIndex,
      lastApplied: snapshot?.position.index ?? NO_INDEX,
      doubtful: this.isDoubtful,
    }
  }

  #beginLogAt(snapshot: ModelSnapshot): void {
    this.baseIndex = snapshot.position.index
    this.entries.splice(0, this.entries.length, ...snapshot.state)
  }
}
