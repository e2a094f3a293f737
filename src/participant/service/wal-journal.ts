import {
  type BranchId,
  ByteReader,
  ByteWriter,
  type Clock,
  type ClusterId,
  CodecError,
  parseBranchId,
  parseNodeId,
  txidFromBytes,
  txidToBytes,
} from '../../base/index.ts'
import { type Disk, type Position, type StoredRecord, Wal, type WalOptions, type WalRecord } from '../../wal/index.ts'
import { type BranchState, isOver, type JournalEntry } from './journal.ts'

/** Record types: the place in this list, counted from 1. Never reorder it: it is on disk (docs/data-on-disk.md). */
const STATES: readonly BranchState[] = ['joined', 'prepared', 'refused', 'readOnly', 'committed', 'aborted']
const TXID_BYTES = 16

const SEGMENT_BYTES = 1024 * 1024
/** So many records are written before what still counts is written again. */
const REWRITE_RECORDS = 20_000
/** A directory belongs to one instance, so its number says nothing. */
const NODE_ID = parseNodeId(1)

/** How long a journal grows. */
export interface JournalTuning {
  /** So many records are written before what still counts is written again and the rest removed. Default 20,000. */
  readonly rewriteRecords?: number
  /** Size of the log's files. Default 1 MiB. */
  readonly segmentBytesMax?: number
}

/** What a journal needs. */
export interface WalJournalOptions extends JournalTuning, Pick<WalOptions, 'defer' | 'random'> {
  readonly directory: string
  readonly clusterId: ClusterId
  readonly disk: Disk
  readonly clock: Clock
  /** Ended branches that are remembered. */
  readonly endedMax: number
  /** Called once, at the first failed write: this instance can promise nothing any more. */
  readonly onFailure: (error: Error) => void
}

/**
 * The states of an instance's branches in a log of its own (src/wal). A branch's last record counts.
 *
 * The log is kept short by writing what still counts once more and removing everything before it. That is taken from what
 * was appended, not from what is durable: so a vote on its way to the disk is never followed by an older state.
 */
export class WalJournal {
  /** The last state of every branch when it was opened; those that ended last come last. */
  readonly found: readonly JournalEntry[]
  readonly #wal: Wal
  readonly #options: WalJournalOptions
  readonly #states: States
  #recordsSinceRewrite = 0
  #rewriting = false
  /** Rejects those whose entry is not on disk yet. */
  readonly #waiting: Set<(error: Error) => void>

  private constructor(wal: Wal, states: States, waiting: Set<(error: Error) => void>, options: WalJournalOptions) {
    this.#wal = wal
    this.#states = states
    this.#waiting = waiting
    this.#options = options
    this.found = [...states.all()]
  }

  /**
   * Opens the journal, or makes one in an empty directory.
   *
   * @throws WalLockedError while another process has it, WalIdentityError for another cluster's, WalDamagedError, WalFailedError
   */
  static async open(options: WalJournalOptions): Promise<WalJournal> {
    const { directory, clusterId, disk, clock, endedMax, onFailure, defer, random } = options
    const seams = { disk, clock, ...(defer && { defer }), ...(random && { random }) }
    const states = new States(endedMax)
    const waiting = new Set<(error: Error) => void>()
    const wal = await Wal.open({
      ...seams,
      directory,
      identity: { clusterId, nodeId: NODE_ID },
      segmentBytesMax: options.segmentBytesMax ?? SEGMENT_BYTES,
      onRecord: (record) => states.set(decode(record)),
      onFailure: (error) => {
        for (const reject of waiting) reject(error)
        waiting.clear()
        onFailure(error)
      },
    })
    return new WalJournal(wal, states, waiting, options)
  }

  /** Room gets low: no new branches, please. What is open is still taken. */
  get spaceLow(): boolean {
    return this.#wal.spaceLow
  }

  /** Resolves when the entry is on disk; rejects when it can't be put there any more. */
  note(entry: JournalEntry): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#wal.append([encode(entry)], () => {
        this.#waiting.delete(reject)
        resolve()
      })
      this.#waiting.add(reject)
      this.#states.set(entry)
      this.#recordsSinceRewrite += 1
      this.#rewriteIfDue()
    })
  }

  close(): Promise<void> {
    return this.#wal.close()
  }

  #rewriteIfDue(): void {
    // Twice what counts at least, or a journal with much of it would do nothing else.
    const due = Math.max(this.#options.rewriteRecords ?? REWRITE_RECORDS, 2 * this.#states.size)
    if (this.#rewriting || this.#recordsSinceRewrite < due) return
    this.#rewriting = true
    this.#recordsSinceRewrite = 0
    const records = [...this.#states.all()].map(encode)
    const [first] = this.#wal.append(records, () => this.#removeBefore(first))
  }

  #removeBefore(position: Position | undefined): void {
    const done = (): void => {
      this.#rewriting = false
    }
    if (position === undefined) return done()
    // A file that can't be removed has failed the log, which has told so; after close() there is nothing to do.
    this.#wal.removeBefore(position).then(done, done)
  }
}

/** The last state of every branch that counts. */
class States {
  readonly #open = new Map<string, JournalEntry>()
  /** In the order of their end. */
  readonly #ended = new Map<string, JournalEntry>()
  readonly #endedMax: number

  constructor(endedMax: number) {
    this.#endedMax = endedMax
  }

  get size(): number {
    return this.#open.size + this.#ended.size
  }

  set(entry: JournalEntry): void {
    const key = `${entry.txid}/${entry.branch}`
    if (!isOver(entry.state)) {
      this.#open.set(key, entry)
      return
    }
    this.#open.delete(key)
    this.#ended.set(key, entry)
    const [oldest] = this.#ended.keys()
    if (this.#ended.size > this.#endedMax && oldest !== undefined) this.#ended.delete(oldest)
  }

  *all(): Iterable<JournalEntry> {
    yield* this.#open.values()
    yield* this.#ended.values()
  }
}

function encode({ txid, branch, state }: JournalEntry): WalRecord {
  const writer = new ByteWriter(TXID_BYTES + 1)
  const at = writer.reserve(TXID_BYTES)
  txidToBytes(txid, writer.target, at)
  writer.u8(branch)
  return { type: STATES.indexOf(state) + 1, payload: writer.finish() }
}

function decode({ type, payload }: StoredRecord): JournalEntry {
  const state = STATES[type - 1]
  if (state === undefined) {
    throw new CodecError(
      `the journal holds a record of type ${type}, which this release does not know; use a newer one`,
    )
  }
  const reader = new ByteReader(payload)
  const txid = txidFromBytes(reader.buffer, reader.take(TXID_BYTES))
  const branch: BranchId = parseBranchId(reader.u8())
  reader.finish()
  return { txid, branch, state }
}
