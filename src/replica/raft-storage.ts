import { assert, type Clock, type ClusterId, type NodeId } from '../base/index.ts'
import type { Entry, LogIndex, RecoveredState, WriteEffect } from '../raft/index.ts'
import { type Disk, type Position, type StoredRecord, Wal, type WalRecord } from '../wal/index.ts'
import { EntryIndex } from './entry-index.ts'
import {
  decodeEntries,
  encodeEntries,
  encodeHardState,
  encodePeer,
  type PeerRecord,
  RecordType,
  recordEnd,
} from './records.ts'
import { RecoveredLog } from './recovered-log.ts'

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
}

/** Entries, votes and what we know of peers, in the durable log. Records and their recovery rule are in records.ts. */
export class RaftStorage {
  readonly recovered: RecoveredState
  readonly peers: ReadonlyMap<NodeId, PeerRecord>
  readonly #wal: Wal
  readonly #entryIndex: EntryIndex
  /** Entry bytes that go into one record, at most; a larger entry has a record of its own. */
  readonly #recordBytesMax: number
  #durableIndex: LogIndex
  #lastIndex: LogIndex
  #pendingBytes = 0
  /** Times that the log was cut: a load that was under way may find nothing. */
  #cuts = 0

  private constructor(wal: Wal, entryIndex: EntryIndex, log: RecoveredLog, segmentBytesMax = Number.POSITIVE_INFINITY) {
    this.#wal = wal
    this.#recordBytesMax = Math.min(RECORD_BYTES_MAX, segmentBytesMax / 4)
    this.#entryIndex = entryIndex
    this.recovered = log.finish()
    this.peers = log.peers
    this.#durableIndex = this.recovered.lastIndex
    this.#lastIndex = this.recovered.lastIndex
  }

  /** Reads the whole log once, in bounded memory. @throws WalError… of the durable log, ReplicaLogMalformedError */
  static async open(options: RaftStorageOptions): Promise<RaftStorage> {
    const entryIndex = new EntryIndex()
    const log = new RecoveredLog(entryIndex)
    const wal = await Wal.open({
      disk: options.disk,
      directory: options.directory,
      identity: { clusterId: options.clusterId, nodeId: options.nodeId },
      ...(options.segmentBytesMax === undefined ? {} : { segmentBytesMax: options.segmentBytesMax }),
      clock: options.clock,
      ...(options.random === undefined ? {} : { random: options.random }),
      // All of a turn comes in one append already.
      defer: queueMicrotask,
      onFailure: options.onFailure,
      onRecord: (record) => log.add(record),
    })
    try {
      return new RaftStorage(wal, entryIndex, log, options.segmentBytesMax)
    } catch (error) {
      await wal.close()
      throw error
    }
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

  /** The last entry that a restart would surely find: of the writes done, not of what Raft was told already. */
  get durableIndex(): LogIndex {
    return this.#durableIndex
  }

  /** Bytes appended that are not on disk yet. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /**
   * Appends all writes of one turn, and what was learnt of peers, as one batch of the durable log; then, once it is on
   * disk, calls `onDurable`. Calls complete in order.
   */
  append(writes: readonly WriteEffect[], peers: readonly PeerRecord[], onDurable: () => void): void {
    const batch: Batch = { records: [], firstIndexes: [], bytes: 0 }
    let lastIndex: LogIndex | undefined
    for (const peer of peers) addRecord(batch, RecordType.peer, encodePeer(peer))
    for (const { hardState, entries } of writes) {
      if (hardState !== undefined) addRecord(batch, RecordType.hardState, encodeHardState(hardState))
      this.#addEntries(batch, entries)
      lastIndex = entries.at(-1)?.index ?? lastIndex
    }
    const { bytes } = batch
    this.#pendingBytes += bytes
    const positions = this.#wal.append(batch.records, () => {
      this.#pendingBytes -= bytes
      if (lastIndex !== undefined) this.#durableIndex = lastIndex
      onDurable()
    })
    this.#note(batch.firstIndexes, positions)
  }

  /**
   * Reads durable entries `from`…`to` back: at least the first, then as many as fit in about `bytesMax`.
   * Fewer, even none, only when they were overwritten meanwhile: then nobody needs them any more.
   */
  async load(from: LogIndex, to: LogIndex, bytesMax: number): Promise<Entry[]> {
    // A load may have waited for room, and the log was cut and ends before it by now.
    if (from > this.#lastIndex) return []
    const row = this.#entryIndex.rowOf(from)
    assert(row >= 0, 'only entries that are in the log are loaded')
    const load = new Load(this.#entryIndex, row, from, to, bytesMax)
    const cuts = this.#cuts
    await this.#wal.readRange(this.#entryIndex.positionAt(row), bytesMax, (record) => load.visit(record))
    assert(load.entries.length > 0 || cuts !== this.#cuts, 'what is in the log reads back')
    return load.entries
  }

  close(): Promise<void> {
    return this.#wal.close()
  }

  #addEntries(batch: Batch, entries: readonly Entry[]): void {
    const [first] = entries
    if (first === undefined) return
    if (first.index <= this.#lastIndex) this.#cuts++
    this.#lastIndex = entries.at(-1)!.index
    for (let start = 0; start < entries.length; ) {
      const end = recordEnd(entries, start, this.#recordBytesMax)
      addRecord(batch, RecordType.entries, encodeEntries(entries, start, end), entries[start]!.index)
      start = end
    }
  }

  #note(firstIndexes: readonly (LogIndex | undefined)[], positions: readonly Position[]): void {
    assert(positions.length === firstIndexes.length, 'every record has its place')
    for (let i = 0; i < positions.length; i++) {
      const firstIndex = firstIndexes[i]
      if (firstIndex !== undefined) this.#entryIndex.put(firstIndex, positions[i]!)
    }
  }
}

/** Records of one append, and the first index of those that hold entries. */
interface Batch {
  readonly records: WalRecord[]
  readonly firstIndexes: (LogIndex | undefined)[]
  bytes: number
}

function addRecord(batch: Batch, type: number, payload: Buffer, firstIndex?: LogIndex): void {
  batch.records.push({ type, payload })
  batch.firstIndexes.push(firstIndex)
  batch.bytes += payload.length
}

/** One `load` under way: picks the wanted entries out of the records that pass by. */
class Load {
  readonly entries: Entry[] = []
  readonly #index: EntryIndex
  readonly #from: LogIndex
  readonly #to: LogIndex
  #row: number
  #bytesLeft: number

  constructor(index: EntryIndex, row: number, from: LogIndex, to: LogIndex, bytesMax: number) {
    this.#index = index
    this.#row = row
    this.#from = from
    this.#to = to
    this.#bytesLeft = bytesMax
  }

  /** False: enough. */
  visit(record: StoredRecord): boolean {
    // The log was cut below here while the disk was read.
    if (this.#row >= this.#index.rows) return false
    // Between the records that count lie others: hard states, peers, and entries that were overwritten later.
    if (record.position !== this.#index.positionAt(this.#row)) return true
    this.#row++
    const end = this.#row < this.#index.rows ? this.#index.firstIndexAt(this.#row) - 1 : this.#to
    const last = Math.min(end, this.#to)
    decodeEntries(record.payload, (entry) => {
      if (entry.index >= this.#from && entry.index <= last) this.#take(entry)
    })
    return this.#bytesLeft > 0 && last < this.#to
  }

  #take(entry: Entry): void {
    if (this.#bytesLeft <= 0) return
    this.#bytesLeft -= entry.data.length
    this.entries.push(entry)
  }
}
