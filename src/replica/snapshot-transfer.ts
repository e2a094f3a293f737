import { crc32 } from 'node:zlib'
import { assert, type NodeId } from '../base/index.ts'
import type { InstallSnapshot, InstallSnapshotResponse, Term } from '../raft/index.ts'
import type { DiskFile } from '../wal/index.ts'
import type { StoredSnapshot } from './snapshot-store.ts'

/** Chunks sent and not yet acknowledged, at most. */
const CHUNKS_IN_FLIGHT_MAX = 4
/** How often a receiver may fall back before the file itself is suspected. */
const SETBACKS_MAX = 3

export interface TransferOptions {
  readonly snapshot: StoredSnapshot
  readonly file: DiskFile
  readonly from: NodeId
  readonly to: NodeId
  readonly term: Term
  readonly chunkBytes: number
  readonly send: (message: InstallSnapshot) => void
  /** A read failed. */
  readonly onError: (error: unknown) => void
}

/**
 * One snapshot on its way to one follower, clocked by the acknowledgements: a slow follower slows only itself, and memory
 * holds a few chunks. The file itself is sent, byte by byte, so it can go on wherever the receiver stands.
 */
export class SnapshotTransfer {
  readonly to: NodeId
  readonly term: Term
  readonly snapshot: StoredSnapshot
  readonly #options: TransferOptions
  #sentBytes = 0
  #acknowledgedBytes = 0
  /** Nothing is sent before the receiver has said where to begin. */
  #asking = true
  #reading = false
  #ended = false
  #setbacks = 0
  /** Counts the acknowledgements that brought it forward. */
  steps = 0

  constructor(options: TransferOptions) {
    this.#options = options
    this.to = options.to
    this.term = options.term
    this.snapshot = options.snapshot
  }

  /** The receiver fell back again and again: it can't use what it gets. */
  get isFutile(): boolean {
    return this.#setbacks > SETBACKS_MAX
  }

  get acknowledgedBytes(): number {
    return this.#acknowledgedBytes
  }

  /** Asks where to begin or to go on: at the begin, and whenever nothing was heard for a while. */
  ask(): void {
    this.#asking = true
    this.#send(0, Buffer.alloc(0))
  }

  /** Whether an answer is about this snapshot. */
  isAbout({ snapshot, snapshotId, term }: InstallSnapshotResponse): boolean {
    const { position } = this.snapshot.header
    const isSame = snapshot.index === position.index && snapshot.term === position.term
    return isSame && snapshotId === this.snapshot.snapshotId && term === this.term
  }

  /** The receiver stored everything up to here. */
  acknowledge(receivedBytes: number): void {
    if (receivedBytes > this.snapshot.fileBytes) return
    if (receivedBytes > this.#acknowledgedBytes) this.steps++
    // Answers come in the order of the chunks, so less than before means that the receiver threw away what it had.
    if (receivedBytes < this.#acknowledgedBytes) this.#setbacks++
    const isBack = receivedBytes < this.#acknowledgedBytes || receivedBytes > this.#sentBytes
    this.#acknowledgedBytes = receivedBytes
    if (this.#asking || isBack) this.#sentBytes = receivedBytes
    this.#asking = false
    void this.#pump()
  }

  /** Sends no more. */
  async end(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await this.#options.file.close().catch(() => undefined)
  }

  async #pump(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      while (!this.#ended && !this.#asking && this.#hasWindow) await this.#sendNext()
    } catch (error) {
      if (!this.#ended) this.#options.onError(error)
    } finally {
      this.#reading = false
    }
  }

  get #hasWindow(): boolean {
    const { chunkBytes, snapshot } = this.#options
    const underWay = this.#sentBytes - this.#acknowledgedBytes
    return this.#sentBytes < snapshot.fileBytes && underWay < CHUNKS_IN_FLIGHT_MAX * chunkBytes
  }

  async #sendNext(): Promise<void> {
    const { file, chunkBytes, snapshot } = this.#options
    const offset = this.#sentBytes
    const data = Buffer.allocUnsafeSlow(Math.min(chunkBytes, snapshot.fileBytes - offset))
    const read = await file.read(data, offset)
    assert(read === data.length, 'a snapshot file keeps its size')
    // An answer may have come meanwhile that says to go on elsewhere.
    if (this.#ended || this.#asking || this.#sentBytes !== offset) return
    this.#sentBytes += read
    this.#send(offset, data)
  }

  #send(offset: number, data: Buffer): void {
    const { from, to, term, snapshot } = this.#options
    this.#options.send({
      kind: 'installSnapshot',
      from,
      to,
      term,
      snapshot: snapshot.header.position,
      snapshotId: snapshot.snapshotId,
      totalBytes: snapshot.fileBytes,
      offset,
      data,
      checksum: crc32(data),
    })
  }
}
