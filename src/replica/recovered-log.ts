import type { NodeId } from '../base/index.ts'
import { type HardState, type LogIndex, NO_INDEX, NO_TERM, type RecoveredState, type TermRun } from '../raft/index.ts'
import type { Position } from '../wal/index.ts'
import type { EntryIndex } from './entry-index.ts'
import { ReplicaLogMalformedError } from './errors.ts'
import { decodeEntries, decodeHardState, decodePeer, type PeerRecord, RecordType } from './records.ts'

/** A record as the durable log hands it out. */
interface LogRecord {
  readonly type: number
  readonly payload: Uint8Array
  readonly position: Position
}

/**
 * Folds the records of the durable log, one after the other, into what Raft must know at start-up (the recovery rule
 * of records.ts). Keeps no entry's bytes: memory is bounded by the entry index.
 */
export class RecoveredLog {
  readonly peers = new Map<NodeId, PeerRecord>()
  readonly #entryIndex: EntryIndex
  readonly #termRuns: TermRun[] = []
  #hardState: HardState = { currentTerm: NO_TERM, votedFor: undefined, commitIndex: NO_INDEX }
  #lastIndex: LogIndex = NO_INDEX

  /** @param entryIndex is filled with the place of every record of entries */
  constructor(entryIndex: EntryIndex) {
    this.#entryIndex = entryIndex
  }

  /** Takes the next record. @throws ReplicaLogMalformedError when it does not fit what came before */
  add(record: LogRecord): void {
    switch (record.type) {
      case RecordType.entries:
        this.#addEntries(record)
        break
      case RecordType.hardState:
        this.#addHardState(decodeHardState(record.payload))
        break
      case RecordType.peer: {
        const peer = decodePeer(record.payload)
        this.peers.set(peer.nodeId, peer)
        break
      }
      default:
        throw new ReplicaLogMalformedError(`a record of the unknown type ${record.type} at position ${record.position}`)
    }
  }

  /** What Raft starts with. */
  finish(): RecoveredState {
    const lastTerm = this.#termRuns.at(-1)?.term ?? NO_TERM
    // The hard state is written before entries of its term, so a log that is ahead of it was not written by us.
    if (lastTerm > this.#hardState.currentTerm) {
      throw new ReplicaLogMalformedError(
        `the last entry is of term ${lastTerm}, but the node only knew term ${this.#hardState.currentTerm}`,
      )
    }
    return {
      hardState: this.#hardState,
      baseIndex: NO_INDEX,
      baseTerm: NO_TERM,
      termRuns: this.#termRuns,
      lastIndex: this.#lastIndex,
      lastApplied: NO_INDEX,
      doubtful: false,
    }
  }

  #addHardState(state: HardState): void {
    if (state.currentTerm < this.#hardState.currentTerm) {
      throw new ReplicaLogMalformedError(`the term falls from ${this.#hardState.currentTerm} to ${state.currentTerm}`)
    }
    this.#hardState = state
  }

  #addEntries(record: LogRecord): void {
    let first = true
    decodeEntries(record.payload, (entry) => {
      if (first) {
        first = false
        this.#beginRecord(entry.index, record.position)
      }
      this.#addEntry(entry.index, entry.term)
    })
  }

  #beginRecord(index: LogIndex, position: Position): void {
    if (index < 1 || index > this.#lastIndex + 1) {
      throw new ReplicaLogMalformedError(
        `entry ${index} at position ${position} leaves a gap after entry ${this.#lastIndex}`,
      )
    }
    this.#entryIndex.put(index, position)
    // Raft §5.3: a later write at or below the last index replaces that suffix.
    while ((this.#termRuns.at(-1)?.firstIndex ?? NO_INDEX) >= index) this.#termRuns.pop()
  }

  #addEntry(index: LogIndex, term: TermRun['term']): void {
    const lastTerm = this.#termRuns.at(-1)?.term ?? NO_TERM
    if (term < lastTerm) throw new ReplicaLogMalformedError(`entry ${index} has term ${term}, after term ${lastTerm}`)
    if (term > lastTerm) this.#termRuns.push({ term, firstIndex: index })
    this.#lastIndex = index
  }
}
