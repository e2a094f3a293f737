import { crc32 } from 'node:zlib'
import type { FileDraft } from '../wal/index.ts'
import type { Slices } from './slices.ts'
import {
  CHUNK_BYTES_MAX,
  CHUNK_HEAD_BYTES,
  chunkCrc,
  encodeChunkHead,
  encodeFooter,
  encodeHeader,
  type SnapshotHeader,
  snapshotIdOf,
} from './snapshot-format.ts'

/** Bytes that are gathered for one write. */
const WRITE_BYTES = 256 * 1024
/** Written bytes reach the disk at least so often: one large sync at the end would hold up the log's writes. */
const SYNC_EVERY_BYTES = 4 * 1024 * 1024

/** What was written. */
export interface WrittenSnapshot {
  readonly fileBytes: number
  readonly snapshotId: number
}

/** Where a snapshot's bytes go: a draft of a file, or whoever takes them. */
export type SnapshotSink = Pick<FileDraft, 'append' | 'sync' | 'length'>

/** Where the state's pieces come from: a frozen state machine, or a file. */
export interface PieceSource {
  next(): Uint8Array | undefined | Promise<Uint8Array | undefined>
}

/** Writes one snapshot into a draft, in slices. */
export class SnapshotWriter {
  readonly #draft: SnapshotSink
  readonly #slices: Slices
  #headerCrc = 0
  #total = 0
  #chunks = 0
  #contentBytes = 0
  #unsyncedBytes = 0
  /** The chunk that is being filled, with room for its head. */
  #chunk = Buffer.allocUnsafeSlow(CHUNK_HEAD_BYTES + CHUNK_BYTES_MAX)
  #chunkEnd = CHUNK_HEAD_BYTES
  #gathered: Buffer[] = []
  #gatheredBytes = 0

  constructor(draft: SnapshotSink, slices: Slices) {
    this.#draft = draft
    this.#slices = slices
  }

  /** Writes all of it; the draft is not published yet. Throws what the disk throws. */
  async write(header: SnapshotHeader, state: PieceSource): Promise<WrittenSnapshot> {
    const head = encodeHeader(header)
    this.#headerCrc = head.readUInt32BE(head.length - 4)
    await this.#put(head)
    for (let piece = await state.next(); piece !== undefined; piece = await state.next()) {
      await this.#addContent(piece)
      await this.#slices.pause()
    }
    await this.#endChunk()
    const footer = encodeFooter({ chunks: this.#chunks, bytes: this.#contentBytes, total: this.#total })
    const total = this.#total
    await this.#put(footer)
    await this.#flush()
    return { fileBytes: this.#draft.length, snapshotId: snapshotIdOf(total, this.#draft.length) }
  }

  async #addContent(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      const room = this.#chunk.length - this.#chunkEnd
      const part = piece.subarray(at, at + room)
      this.#chunk.set(part, this.#chunkEnd)
      this.#chunkEnd += part.length
      at += part.length
      if (this.#chunkEnd === this.#chunk.length) await this.#endChunk()
    }
  }

  async #endChunk(): Promise<void> {
    const length = this.#chunkEnd - CHUNK_HEAD_BYTES
    if (length === 0) return
    const chunk = this.#chunk.subarray(0, this.#chunkEnd)
    encodeChunkHead(chunk, 0, length, chunkCrc(chunk.subarray(CHUNK_HEAD_BYTES), this.#headerCrc, this.#chunks))
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK_HEAD_BYTES + CHUNK_BYTES_MAX)
    this.#chunkEnd = CHUNK_HEAD_BYTES
    this.#chunks++
    this.#contentBytes += length
    await this.#put(chunk)
  }

  async #put(bytes: Buffer): Promise<void> {
    this.#total = crc32(bytes, this.#total)
    this.#gathered.push(bytes)
    this.#gatheredBytes += bytes.length
    if (this.#gatheredBytes >= WRITE_BYTES) await this.#flush()
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#gathered)
    this.#gathered = []
    this.#gatheredBytes = 0
    await this.#draft.append(bytes)
    this.#unsyncedBytes += bytes.length
    if (this.#unsyncedBytes < SYNC_EVERY_BYTES) return
    this.#unsyncedBytes = 0
    await this.#draft.sync()
  }
}
