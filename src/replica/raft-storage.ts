import { assert, type Clock, type ClusterId, hit, type NodeId } from '../base/index.ts'
import {
  type ConfigurationData,
  type Entry,
  type HardState,
  type LogIndex,
  NO_INDEX,
  NO_TERM,
  type RecoveredState,
  type SnapshotPosition,
  TermRuns,
  type WriteEffect,
} from '../raft/index.ts'
import { type Disk, type Position, type Wal, type WalRecord, WalRemovedError } from '../wal/index.ts'
import type { EntryIndex } from './entry-index.ts'
import { EntryLoad } from './entry-load.ts'
import {
  encodeBase,
  encodeBootstrap,
  encodeDoubt,
  encodeEntries,
  encodeHardState,
  encodePeer,
  type PeerRecord,
  RecordType,
  recordEnd,
} from './records.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import { type RecoveredStorage, recoverStorage } from './storage-recovery.ts'

/** Bounds what a load must read for one entry, and what is encoded at once. */
const RECORD_BYTES_MAX = 256 * 1024

/** Where the log lies and whose it is. */
export interface RaftStorageOptions {
  readonly disk: Disk
  readonly directory: string
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  /** Size of one file of the log. */
  readonly segmentBytesMax: number | undefined
  readonly clock: Clock
  /** 16 random bytes for the id of a new directory. Default: from the machine's secure generator. */
  readonly random?: () => Uint8Array
  /** A write or sync failed: called once; nothing is durable after it. */
  readonly onFailure: (error: Error) => void
  /** What a fresh log begins with: kept, so that later changes of the configuration file change nothing. */
  readonly bootstrap?: ConfigurationData
  /**
   * Others can be reached, and may bring this node back when a part of its log or of its state is lost to damage.
   * Without them it refuses to start. Whether there are others, the directory tells.
   */
  readonly mayRebuild?: boolean
  /** Whether there are others, when nothing in a damaged directory tells. Default true. */
  readonly hasOthers?: boolean
  /** Runs a task later in the event loop. Default setImmediate. */
  readonly later?: ((task: () => void) => void) | undefined
}

/** Entries, votes and what we know of peers, in the durable log. Records and their recovery rule are in records.ts. */
export class RaftStorage {
  readonly recovered: RecoveredState
  readonly snapshots: SnapshotStore
  /** Where the state machine begins: at the newest snapshot that was found, or before all entries. */
  readonly applied: SnapshotPosition
  /** The configuration in force there; undefined in directories that earlier releases made. */
  readonly configuration: ConfigurationData | undefined
  /** What was lost and set aside when this open found damage. */
  readonly damage: Error | undefined
  readonly #wal: Wal
  readonly #entryIndex: EntryIndex
  /** Entry bytes that go into one record, at most; a larger entry has a record of its own. */
  readonly #recordBytesMax: number
  #terms: TermRuns
  /** What a checkpoint repeats. */
  readonly #peers: Map<NodeId, PeerRecord>
  readonly #bootstrap: ConfigurationData | undefined
  #hardState: HardState
  #doubtful: boolean
  #base: SnapshotPosition
  #durableIndex: LogIndex
  #lastIndex: LogIndex
  #pendingBytes = 0
  /** Times that the log was cut, at either end: a load that was under way may find nothing. */
  #cuts = 0

  /** Rejects when the log fails, and never resolves. */
  readonly #failure: Promise<never>

  private constructor(parts: RecoveredStorage, failure: Promise<never>, segmentBytesMax = Number.POSITIVE_INFINITY) {
    this.#failure = failure
    const { state } = parts
    this.#wal = parts.wal
    this.#recordBytesMax = Math.min(RECORD_BYTES_MAX, segmentBytesMax / 4)
    this.#entryIndex = parts.entryIndex
    this.recovered = state
    this.snapshots = parts.snapshots
    this.applied = parts.snapshots.newest?.header.position ?? { index: NO_INDEX, term: NO_TERM }
    this.configuration = parts.snapshots.newest?.header.configuration ?? parts.bootstrap
    this.damage = parts.damage
    this.#peers = new Map(parts.peers)
    this.#bootstrap = parts.bootstrap
    this.#hardState = state.hardState
    this.#doubtful = state.doubtful
    this.#base = { index: state.baseIndex, term: state.baseTerm }
    this.#terms = new TermRuns(state.baseIndex, state.baseTerm, state.termRuns)
    this.#durableIndex = state.lastIndex
    this.#lastIndex = state.lastIndex
  }

  /**
   * Reads the whole log once, in bounded memory, and finds the newest good snapshot.
   * @throws WalError… of the durable log, ReplicaLogMalformedError, SnapshotDamagedError, SnapshotVersionError
   */
  static async open(options: RaftStorageOptions): Promise<RaftStorage> {
    let onFailure = options.onFailure
    const failure = new Promise<never>((_, reject) => {
      onFailure = (error) => {
        reject(error)
        options.onFailure(error)
      }
    })
    failure.catch(() => undefined)
    hit('raft.start.before-read')
    const recovered = await recoverStorage({ ...options, onFailure })
    hit('raft.start.log-read')
    return new RaftStorage(recovered, failure, options.segmentBytesMax)
  }

  get storeId(): string {
    return this.#wal.storeId
  }

  get bytesOnDisk(): number {
    return this.#wal.bytesOnDisk
  }

  get spaceLow(): boolean {
    return this.#wal.spaceLow
  }

  /** Even the room reserved for decisions is nearly used up. */
  get reserveLow(): boolean {
    return this.#wal.reserveLow
  }

  /** What this node durably knows of its peers. */
  get peers(): ReadonlyMap<NodeId, PeerRecord> {
    return this.#peers
  }

  /** The last entry that a restart would surely find: of the writes done, not of what Raft was told already. */
  get durableIndex(): LogIndex {
    return this.#durableIndex
  }

  /** The log begins after this entry. */
  get base(): SnapshotPosition {
    return this.#base
  }

  /** Bytes appended that are not on disk yet. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** How long the oldest write that is not on disk yet has been waiting; 0 when none is. */
  get oldestWriteAgeMs(): number {
    return this.#wal.oldestWriteAgeMs
  }

  /**
   * Appends all writes of one turn, and what was learnt of peers, as one batch of the durable log; then, once it is on
   * disk, calls `onDurable`. Calls complete in order.
   */
  append(writes: readonly WriteEffect[], peers: readonly PeerRecord[], onDurable: () => void): void {
    const batch = newBatch()
    let lastIndex: LogIndex | undefined
    for (const peer of peers) {
      this.#peers.set(peer.nodeId, peer)
      addRecord(batch, RecordType.peer, encodePeer(peer))
    }
    for (const { hardState, entries } of writes) {
      if (hardState !== undefined) {
        this.#hardState = hardState
        addRecord(batch, RecordType.hardState, encodeHardState(hardState))
      }
      this.#addEntries(batch, entries)
      lastIndex = entries.at(-1)?.index ?? lastIndex
    }
    this.#appendBatch(batch, () => {
      if (lastIndex !== undefined) this.#durableIndex = lastIndex
      onDurable()
    })
  }

  /** Resolves when everything appended so far is on disk. @throws WalFailedError, WalClosedError */
  flushed(): Promise<void> {
    return this.#orFailure(new Promise((resolve) => this.#wal.append([], resolve)))
  }

  /**
   * A durable snapshot covers everything up to `through`: durably says so, then removes the files of the log that hold
   * nothing else. Resolves when they are gone.
   */
  async compact(through: LogIndex): Promise<void> {
    if (through <= this.#base.index) return
    assert(through <= this.#lastIndex, 'only a prefix of the log is compacted')
    hit('raft.compaction.before-write')
    const term = this.#terms.termAt(through)
    this.#terms.compactTo(through, this.#lastIndex)
    const row = this.#entryIndex.rowOf((through + 1) as LogIndex)
    const keep = through === this.#lastIndex ? this.#entryIndex.endRow : row
    assert(keep !== undefined, 'only entries that are in the log are kept')
    this.#entryIndex.dropBefore(keep)
    const position = keep < this.#entryIndex.endRow ? this.#entryIndex.positionAt(keep) : undefined
    await this.#checkpoint({ index: through, term }, false, position)
    hit('raft.compaction.removed')
  }

  /**
   * An installed snapshot takes the place of the whole log. Resolves when that is durable, and what the log held can't
   * come back.
   */
  async beginAfter(snapshot: SnapshotPosition): Promise<void> {
    assert(snapshot.index >= this.#base.index, 'a snapshot that covers less than another is not installed')
    this.#terms = new TermRuns(snapshot.index, snapshot.term, [])
    this.#entryIndex.clear()
    this.#lastIndex = snapshot.index
    await this.#checkpoint(snapshot, true, undefined)
  }

  /** This node's log is whole again: forgets that it was in doubt, and calls `done` when that is durable. */
  clearDoubt(done: () => void = () => {}): void {
    this.#doubtful = false
    const batch = newBatch()
    addRecord(batch, RecordType.doubt, encodeDoubt(false))
    this.#appendBatch(batch, done)
  }

  /**
   * The first entry from which on the log, as far as `to`, takes no more than about `bytesMax` on disk. Entries of one
   * record count together.
   */
  firstWithin(to: LogIndex, bytesMax: number): LogIndex {
    const index = this.#entryIndex
    const last = index.rowOf(to)
    const begin = (this.#base.index + 1) as LogIndex
    if (last === undefined) return begin
    const row = index.rowFrom(Math.max(0, index.positionAt(last) - bytesMax) as Position)
    return row === index.firstRow ? begin : index.firstIndexAt(row)
  }

  /**
   * Reads durable entries `from`…`to` back: at least the first, then as many as fit in about `bytesMax`.
   * Fewer, even none, only when they were overwritten or compacted meanwhile: then nobody needs them any more.
   */
  async load(from: LogIndex, to: LogIndex, bytesMax: number): Promise<Entry[]> {
    // A load may have waited for room, and the log was cut before or behind it by now.
    if (from > this.#lastIndex || from <= this.#base.index) return []
    const row = this.#entryIndex.rowOf(from)
    assert(row !== undefined, 'only entries that are in the log are loaded')
    const load = new EntryLoad(this.#entryIndex, row, from, to, bytesMax)
    const cuts = this.#cuts
    try {
      await this.#wal.readRange(this.#entryIndex.positionAt(row), bytesMax, (record) => load.visit(record))
    } catch (error) {
      if (!(error instanceof WalRemovedError)) throw error
    }
    assert(load.entries.length > 0 || cuts !== this.#cuts, 'what is in the log reads back')
    return load.entries
  }

  close(): Promise<void> {
    return this.#wal.close()
  }

  /**
   * Writes again all that must outlive the files before it, and then removes these.
   * @param keepFrom where the first entry lies that is still in the log, if one is
   */
  async #checkpoint(base: SnapshotPosition, discard: boolean, keepFrom: Position | undefined): Promise<void> {
    this.#base = base
    this.#cuts++
    const batch = newBatch()
    addRecord(batch, RecordType.base, encodeBase({ position: base, discard }))
    addRecord(batch, RecordType.hardState, encodeHardState(this.#hardState))
    addRecord(batch, RecordType.doubt, encodeDoubt(this.#doubtful))
    if (this.#bootstrap !== undefined) addRecord(batch, RecordType.bootstrap, encodeBootstrap(this.#bootstrap))
    for (const peer of this.#peers.values()) addRecord(batch, RecordType.peer, encodePeer(peer))
    const durable = new Promise<readonly Position[]>((resolve) => {
      const positions = this.#appendBatch(batch, () => {
        // Writes complete in order, so a discarded log's own completions came before this one.
        this.#durableIndex = discard ? base.index : higher(this.#durableIndex, base.index)
        resolve(positions)
      })
    })
    const [position] = await this.#orFailure(durable)
    if (!discard) hit('raft.compaction.durable')
    await this.#wal.removeBefore(keepFrom ?? position!)
  }

  #orFailure<T>(durable: Promise<T>): Promise<T> {
    return Promise.race([durable, this.#failure])
  }

  #addEntries(batch: Batch, entries: readonly Entry[]): void {
    const [first] = entries
    if (first === undefined) return
    if (first.index <= this.#lastIndex) this.#cuts++
    this.#terms.truncateFrom(first.index)
    for (const { index, term } of entries) this.#terms.append(index, term)
    this.#lastIndex = entries.at(-1)!.index
    for (let start = 0; start < entries.length; ) {
      const end = recordEnd(entries, start, this.#recordBytesMax)
      addRecord(batch, RecordType.entries, encodeEntries(entries, start, end), entries[start]!.index)
      start = end
    }
  }

  #appendBatch({ records, firstIndexes, bytes }: Batch, onDurable: () => void): readonly Position[] {
    this.#pendingBytes += bytes
    const positions = this.#wal.append(records, () => {
      this.#pendingBytes -= bytes
      onDurable()
    })
    assert(positions.length === firstIndexes.length, 'every record has its place')
    for (const [at, firstIndex] of firstIndexes.entries()) {
      if (firstIndex !== undefined) this.#entryIndex.put(firstIndex, positions[at]!)
    }
    return positions
  }
}

/** Records of one append, and the first index of those that hold entries. */
interface Batch {
  readonly records: WalRecord[]
  readonly firstIndexes: (LogIndex | undefined)[]
  bytes: number
}

function newBatch(): Batch {
  return { records: [], firstIndexes: [], bytes: 0 }
}

function addRecord(batch: Batch, type: number, payload: Uint8Array, firstIndex?: LogIndex): void {
  batch.records.push({ type, payload })
  batch.firstIndexes.push(firstIndex)
  batch.bytes += payload.length
}

function higher(a: LogIndex, b: LogIndex): LogIndex {
  return a > b ? a : b
}
