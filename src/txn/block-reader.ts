import { ByteReader, CodecError } from '../base/index.ts'
import { BLOCK_HEAD_BYTES, PAYLOAD_BYTES_MAX } from './snapshot-format.ts'

const BUFFER_BYTES_MIN = 1024

/** One block of a snapshot. */
export interface ReadBlock {
  readonly type: number
  /** At the payload, which ends where this ends. Good until the next `push`. */
  readonly reader: ByteReader
}

/**
 * Puts blocks together from bytes that were cut anywhere.
 *
 * Memory is at most twice the largest block and what one `push` brings: a length is checked before a byte of its
 * payload is kept, and the buffer grows with the bytes that have come, never with what they announce.
 */
export class BlockReader {
  #buffer = Buffer.alloc(0)
  #start = 0
  #end = 0

  /** Bytes that have come and are no whole block. */
  get bytesPending(): number {
    return this.#end - this.#start
  }

  push(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#buffer.length) this.#makeRoom(bytes.length)
    this.#buffer.set(bytes, this.#end)
    this.#end += bytes.length
  }

  /** The next whole block; undefined when it has not come yet. @throws CodecError for a head that no block has */
  next(): ReadBlock | undefined {
    if (this.bytesPending < BLOCK_HEAD_BYTES) return undefined
    const type = this.#buffer[this.#start]!
    const length = this.#buffer.readUInt32BE(this.#start + 1)
    checkHead(type, length)
    const payloadAt = this.#start + BLOCK_HEAD_BYTES
    if (payloadAt + length > this.#end) return undefined
    this.#start = payloadAt + length
    return { type, reader: new ByteReader(this.#buffer, payloadAt, this.#start) }
  }

  /** By doubling, so that bytes that come one by one cost no copy each. */
  #makeRoom(size: number): void {
    const needed = this.bytesPending + size
    const target =
      needed * 2 <= this.#buffer.length ? this.#buffer : Buffer.allocUnsafeSlow(Math.max(BUFFER_BYTES_MIN, needed * 2))
    this.#buffer.copy(target, 0, this.#start, this.#end)
    this.#buffer = target
    this.#end -= this.#start
    this.#start = 0
  }
}

function checkHead(type: number, length: number): void {
  const bytesMax = PAYLOAD_BYTES_MAX[type]
  if (type === 0 || bytesMax === undefined) throw new CodecError(`a block of unknown type ${type}`)
  if (length > bytesMax) throw new CodecError(`a block of ${length} bytes; one of type ${type} has at most ${bytesMax}`)
}
