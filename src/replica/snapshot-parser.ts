import { crc32 } from 'node:zlib'
import { assert, CodecError } from '../base/index.ts'
import {
  CHUNK_BYTES_MAX,
  CHUNK_HEAD_BYTES,
  chunkCrc,
  decodeFooter,
  decodeHeader,
  decodeHeaderHead,
  FOOTER_BYTES,
  HEADER_HEAD_BYTES,
  type SnapshotHeader,
  snapshotIdOf,
} from './snapshot-format.ts'

/** What a parser expects next. */
type Part = 'headerHead' | 'header' | 'chunkHead' | 'chunk' | 'footer' | 'end'

/** Why bytes are no snapshot. `otherVersion`: another version of this software may read them. */
export interface SnapshotFault {
  readonly kind: 'damaged' | 'otherVersion'
  /** Where the bad part begins. */
  readonly offset: number
  readonly what: string
}

/**
 * Reads a snapshot as its bytes come, cut as it pleases: checks each part before any of it is handed on. Keeps no more
 * than one part, whatever a length claims.
 *
 * After the first fault it reads no more: everything before `goodBytes` is right, nothing is known of the rest.
 *
 * @example
 * const parser = new SnapshotParser((content) => restore.add(content))
 * await readPieces(disk, path, (piece) => parser.push(piece))
 * if (!parser.isWhole) throw …(parser.fault)
 */
export class SnapshotParser {
  readonly #onContent: (content: Buffer) => void
  #part: Part = 'headerHead'
  #wanted = HEADER_HEAD_BYTES
  #pending: Buffer[] = []
  #pendingBytes = 0
  #goodBytes = 0
  #header: SnapshotHeader | undefined
  #headerCrc = 0
  #chunks = 0
  #contentBytes = 0
  #total = 0
  #id: number | undefined
  #fault: SnapshotFault | undefined

  /** @param onContent gets the content piece by piece, in order, checked; a view, so copy what you keep */
  constructor(onContent: (content: Buffer) => void = () => {}) {
    this.#onContent = onContent
  }

  /** Undefined until it was read. */
  get header(): SnapshotHeader | undefined {
    return this.#header
  }

  /** All was read up to the footer, and is right. */
  get isWhole(): boolean {
    return this.#part === 'end' && this.#fault === undefined
  }

  get fault(): SnapshotFault | undefined {
    return this.#fault
  }

  /** Up to here all is right, and a part ends. */
  get goodBytes(): number {
    return this.#goodBytes
  }

  /** Defined once it is whole. */
  get snapshotId(): number | undefined {
    return this.#id
  }

  /** Takes the next bytes. What `onContent` throws comes through. */
  push(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && this.#fault === undefined; ) {
      if (this.#part === 'end') return this.#fail('bytes follow its footer')
      const end = Math.min(bytes.length, at + this.#wanted - this.#pendingBytes)
      this.#keep(bytes.subarray(at, end))
      at = end
      if (this.#pendingBytes === this.#wanted) this.#take()
    }
  }

  /** No more bytes come: says what is missing, if something is. */
  end(): SnapshotFault | undefined {
    if (this.#fault === undefined && this.#part !== 'end') this.#fail('it ends early')
    return this.#fault
  }

  /** Forgets what came behind `goodBytes`: the bytes from there on come again. */
  rewind(): void {
    assert(this.#part !== 'end' || this.#fault === undefined, 'a footer is the last part')
    this.#fault = undefined
    this.#pending = []
    this.#pendingBytes = 0
    if (this.#part === 'header') this.#expect('headerHead', HEADER_HEAD_BYTES)
    else if (this.#part === 'chunk' || this.#part === 'footer') this.#expect('chunkHead', CHUNK_HEAD_BYTES)
  }

  #keep(bytes: Buffer): void {
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
  }

  /** The bytes of the part are here. A part's head stays: it is checked along with the part. */
  #take(): void {
    const bytes = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending)
    this.#pending = [bytes]
    try {
      this.#parse(bytes)
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      this.#fail(error.message)
    }
  }

  #parse(bytes: Buffer): void {
    switch (this.#part) {
      case 'headerHead':
        return this.#takeHeaderHead(bytes)
      case 'header':
        return this.#takeHeader(bytes)
      case 'chunkHead':
        return this.#takeChunkHead(bytes)
      case 'chunk':
        return this.#takeChunk(bytes)
      default:
        return this.#takeFooter(bytes)
    }
  }

  #takeHeaderHead(bytes: Buffer): void {
    const head = decodeHeaderHead(bytes)
    if (head.kind === 'bad') throw new MalformedError(head.why)
    if (head.kind === 'otherVersion') {
      const what = `it is of version ${head.version}`
      this.#fault = { kind: 'otherVersion', offset: 0, what }
      return
    }
    this.#expect('header', HEADER_HEAD_BYTES + head.bodyBytes + 4)
  }

  #takeHeader(bytes: Buffer): void {
    const { header, crc } = malformed(() => decodeHeader(bytes))
    this.#header = header
    this.#headerCrc = crc
    this.#done(bytes)
    this.#expect('chunkHead', CHUNK_HEAD_BYTES)
  }

  #takeChunkHead(bytes: Buffer): void {
    const length = bytes.readUInt32BE(0)
    if (length === 0) return this.#expect('footer', FOOTER_BYTES)
    if (length > CHUNK_BYTES_MAX) throw new MalformedError(`a chunk claims ${length} bytes`)
    this.#expect('chunk', CHUNK_HEAD_BYTES + length)
  }

  #takeChunk(bytes: Buffer): void {
    const content = bytes.subarray(CHUNK_HEAD_BYTES)
    const crc = chunkCrc(content, this.#headerCrc, this.#chunks)
    if (crc !== bytes.readUInt32BE(4)) throw new MalformedError(`the checksum of chunk ${this.#chunks} is wrong`)
    this.#chunks++
    this.#contentBytes += content.length
    this.#done(bytes)
    this.#expect('chunkHead', CHUNK_HEAD_BYTES)
    this.#onContent(content)
  }

  #takeFooter(bytes: Buffer): void {
    const footer = malformed(() => decodeFooter(bytes))
    if (footer.chunks !== this.#chunks || footer.bytes !== this.#contentBytes || footer.total !== this.#total) {
      throw new MalformedError('its footer tells of another content')
    }
    this.#done(bytes)
    this.#id = snapshotIdOf(footer.total, this.#goodBytes)
    this.#expect('end', 0)
  }

  #done(bytes: Buffer): void {
    this.#goodBytes += bytes.length
    if (this.#part !== 'footer') this.#total = crc32(bytes, this.#total)
    this.#pending = []
    this.#pendingBytes = 0
  }

  #expect(part: Part, wanted: number): void {
    this.#part = part
    this.#wanted = wanted
  }

  #fail(what: string): void {
    this.#fault = { kind: 'damaged', offset: this.#goodBytes, what }
    this.#pending = []
    this.#pendingBytes = 0
  }
}

/** The bytes contradict themselves; internal to the parser, so that what `onContent` throws is told from it. */
class MalformedError extends Error {}

function malformed<T>(decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    if (error instanceof CodecError) throw new MalformedError(error.message)
    throw error
  }
}
