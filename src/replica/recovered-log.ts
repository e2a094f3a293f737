import type { NodeId } from '../base/index.ts'
import {
  type ConfigurationData,
  type HardState,
  type LogIndex,
  NO_INDEX,
  NO_TERM,
  type RecoveredState,
  type SnapshotPosition,
  type Term,
  type TermRun,
} from '../raft/index.ts'
import type { Position } from '../wal/index.ts'
import type { EntryIndex } from './entry-index.ts'
import { ReplicaLogMalformedError } from './errors.ts'
import {
  type BaseRecord,
  decodeBase,
  decodeBootstrap,
  decodeDoubt,
  decodeEntries,
  decodeHardState,
  decodePeer,
  type PeerRecord,
  RecordType,
} from './records.ts'

/** A record as the durable log hands it out. */
interface LogRecord {
  readonly type: number
  readonly payload: Uint8Array
  readonly position: Position
}

/** What the records and the newest good snapshot are together. */
export type Recovery =
  | {
      readonly kind: 'whole'
      readonly state: RecoveredState
      /** The snapshot takes the place of the whole log, which a base record has to say before anything is appended. */
      readonly beginsAnew: boolean
    }
  /** The log begins after this entry, and no good snapshot reaches as far: a part of the state is lost. */
  | { readonly kind: 'lacking'; readonly base: SnapshotPosition }

const BEFORE_ALL: SnapshotPosition = { index: NO_INDEX, term: NO_TERM }

/**
 * Folds the records of the durable log, one after the other, into what Raft must know at start-up (the recovery rule
 * of records.ts). Keeps no entry's bytes: memory is bounded by the entry index.
 */
export class RecoveredLog {
  readonly peers = new Map<NodeId, PeerRecord>()
  readonly #entryIndex: EntryIndex
  #termRuns: TermRun[] = []
  #hardState: HardState | undefined
  #doubtful = false
  #bootstrap: ConfigurationData | undefined
  #base = BEFORE_ALL
  /**
   * The first entry that was found, or would be. Above 1 when older segments were removed; the first record of what is left
   * may even be one that a later record replaces from an earlier entry on.
   */
  #firstIndex: LogIndex | undefined
  #lastIndex: LogIndex = NO_INDEX

  /** @param entryIndex is filled with the place of every record of entries */
  constructor(entryIndex: EntryIndex) {
    this.#entryIndex = entryIndex
  }

  /** Nothing that a node promises was ever written. */
  get isBlank(): boolean {
    const isEmpty = this.#firstIndex === undefined && this.#base.index === NO_INDEX
    return isEmpty && this.#hardState === undefined && !this.#doubtful
  }

  get hardState(): HardState {
    return this.#hardState ?? { currentTerm: NO_TERM, votedFor: undefined, commitIndex: NO_INDEX }
  }

  get isDoubtful(): boolean {
    return this.#doubtful
  }

  /** The configuration that the log began with. Undefined in directories of earlier releases. */
  get bootstrap(): ConfigurationData | undefined {
    return this.#bootstrap
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
      case RecordType.base:
        this.#addBase(decodeBase(record.payload), record.position)
        break
      case RecordType.doubt:
        this.#doubtful = decodeDoubt(record.payload)
        break
      case RecordType.bootstrap:
        this.#bootstrap = decodeBootstrap(record.payload)
        break
      default:
        throw new ReplicaLogMalformedError(`a record of the unknown type ${record.type} at position ${record.position}`)
    }
  }

  /**
   * What Raft starts with, from the log and the newest good snapshot.
   *
   * A snapshot is of what was committed, so a log that does not hold its last entry ends before it, or holds entries
   * instead that were never committed: then the log begins anew behind the snapshot. A log that holds it goes on.
   *
   * @param isPart the log is damaged, and only what comes before the damage was read: where it begins, and its last term,
   * may be said behind that. For whoever only wants to know what is left.
   * @throws ReplicaLogMalformedError
   */
  finish(snapshot: SnapshotPosition = BEFORE_ALL, isPart = false): Recovery {
    const base = this.#baseFor(snapshot, isPart)
    if (base.index > snapshot.index) return { kind: 'lacking', base }
    const beginsAnew = !this.#holds(snapshot)
    const log = beginsAnew ? this.#beginAfter(snapshot) : this.#cutBefore(base)
    // The hard state is written before entries of its term, so a log that is ahead of it was not written by us.
    const lastTerm = log.termRuns.at(-1)?.term ?? log.baseTerm
    if (!isPart && lastTerm > this.hardState.currentTerm) {
      throw new ReplicaLogMalformedError(
        `the last entry is of term ${lastTerm}, but the node only knew term ${this.hardState.currentTerm}`,
      )
    }
    const state = { hardState: this.hardState, ...log, lastApplied: snapshot.index, doubtful: this.#doubtful }
    return { kind: 'whole', state, beginsAnew }
  }

  #baseFor(snapshot: SnapshotPosition, isPart: boolean): SnapshotPosition {
    const first = this.#firstIndex ?? 1
    if (first <= this.#base.index + 1) return this.#base
    if (!isPart) {
      throw new ReplicaLogMalformedError(
        `it begins with entry ${first}, and nothing says what became of those before it`,
      )
    }
    return first <= snapshot.index + 1 ? snapshot : { index: (first - 1) as LogIndex, term: NO_TERM }
  }

  #holds({ index, term }: SnapshotPosition): boolean {
    const base = this.#base
    if (index > base.index) return index <= this.#lastIndex && this.#fits(index, term)
    if (term === base.term) return true
    throw new ReplicaLogMalformedError(
      `entry ${index} is of term ${term} in the snapshot, and of term ${base.term} in the log`,
    )
  }

  /** The log holds this entry; or it begins right behind it, which only a part of a log does without a word of its base. */
  #fits(index: LogIndex, term: Term): boolean {
    if (index + 1 === this.#firstIndex) return this.#termAt(this.#firstIndex)! >= term
    return this.#termAt(index) === term
  }

  #beginAfter({ index, term }: SnapshotPosition) {
    this.#entryIndex.clear()
    return { baseIndex: index, baseTerm: term, termRuns: [], lastIndex: index }
  }

  #cutBefore({ index, term }: SnapshotPosition) {
    const keep = this.#entryIndex.rowOf((index + 1) as LogIndex)
    this.#entryIndex.dropBefore(
      this.#lastIndex === index ? this.#entryIndex.endRow : (keep ?? this.#entryIndex.firstRow),
    )
    const termRuns = this.#termRuns.flatMap((run, at): TermRun[] => {
      const end = (this.#termRuns[at + 1]?.firstIndex ?? this.#lastIndex + 1) - 1
      if (end <= index) return []
      return [{ term: run.term, firstIndex: Math.max(run.firstIndex, index + 1) as LogIndex }]
    })
    return { baseIndex: index, baseTerm: term, termRuns, lastIndex: this.#lastIndex }
  }

  #addHardState(state: HardState): void {
    const { currentTerm } = this.hardState
    if (state.currentTerm < currentTerm) {
      throw new ReplicaLogMalformedError(`the term falls from ${currentTerm} to ${state.currentTerm}`)
    }
    this.#hardState = state
  }

  #addBase({ position, discard }: BaseRecord, at: Position): void {
    const { index } = position
    if (discard) {
      this.#entryIndex.clear()
      this.#termRuns = []
      this.#firstIndex = (index + 1) as LogIndex
    } else if (index < this.#base.index) {
      throw new ReplicaLogMalformedError(`the log's begin falls from ${this.#base.index} to ${index} at position ${at}`)
    } else if (this.#firstIndex !== undefined) {
      this.#checkBase(position, at)
      this.#base = position
      return
    }
    // Without any entry found so far, those up to this one were removed, or even some behind it: a later base tells.
    this.#base = position
    this.#lastIndex = index
  }

  /** A base among entries: the log held its entry when it was written, and nothing committed ever changes. */
  #checkBase({ index, term }: SnapshotPosition, at: Position): void {
    const held = index >= this.#firstIndex! ? this.#termAt(index) : this.#base.index === index ? this.#base.term : term
    if (index > this.#lastIndex || held !== term) {
      throw new ReplicaLogMalformedError(
        `entry ${index} of term ${term} is said to be covered at position ${at}, and the log does not hold it`,
      )
    }
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
    const isFirst = this.#firstIndex === undefined
    if (index <= this.#base.index || (!isFirst && index > this.#lastIndex + 1)) {
      throw new ReplicaLogMalformedError(
        `entry ${index} at position ${position} leaves a gap after entry ${this.#lastIndex}, or was covered already`,
      )
    }
    this.#entryIndex.put(index, position)
    // Raft §5.3: a later write at or below the last index replaces that suffix.
    while ((this.#termRuns.at(-1)?.firstIndex ?? NO_INDEX) >= index) this.#termRuns.pop()
    if (isFirst || index < this.#firstIndex!) this.#firstIndex = index
    this.#lastIndex = (index - 1) as LogIndex
  }

  #addEntry(index: LogIndex, term: Term): void {
    const lastTerm = this.#termRuns.at(-1)?.term ?? this.#termBefore(index)
    if (term < lastTerm) throw new ReplicaLogMalformedError(`entry ${index} has term ${term}, after term ${lastTerm}`)
    if (this.#termRuns.length === 0 || term > lastTerm) this.#termRuns.push({ term, firstIndex: index })
    this.#lastIndex = index
  }

  /** The term of the entry before the first one that is known, as far as it is. */
  #termBefore(index: LogIndex): Term {
    return index === this.#base.index + 1 ? this.#base.term : NO_TERM
  }

  #termAt(index: LogIndex): Term | undefined {
    return this.#termRuns.findLast((run) => run.firstIndex <= index)?.term
  }
}
