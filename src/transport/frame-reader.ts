import { ProtocolError } from './errors.ts'
import { FRAME_HEADER_BYTES } from './frame.ts'

const LENGTH_BYTES = 4
const EMPTY = Buffer.alloc(0)
/** A partial frame's first buffer: most frames that straddle two chunks fit at once. */
const PARTIAL_BYTES = 16 * 1024

/**
 * Cuts a stream of chunks into frames.
 *
 * A frame inside one chunk is handed out in place; one that straddles chunks is put together once, in a buffer of its own
 * size. Both are never written again, so views into them (Raft entries' data) stay valid for as long as anybody holds
 * them. What such a view keeps alive is its chunk (Node reads at most 64 KiB and trims the rest) or its own frame:
 * never more, and the neighbours in there are the entries before and behind it.
 *
 * The length is checked before anything is allocated, and a partial buffer grows only with bytes that have come.
 */
export class FrameReader {
  /** The largest body taken; raised after the handshake. */
  bodyBytesMax: number
  /** Where the frame is that `next` found. */
  buffer: Buffer = EMPTY
  start = 0
  end = 0

  #chunk: Buffer = EMPTY
  #at = 0
  #partial: Buffer = EMPTY
  #partialLength = 0

  constructor(bodyBytesMax: number) {
    this.bodyBytesMax = bodyBytesMax
  }

  /** Bytes that have come and are not handed out yet. */
  get bytesPending(): number {
    return this.#partialLength + this.#chunk.length - this.#at
  }

  /** Takes the stream's next bytes. Call `next` until it says false. */
  push(chunk: Buffer): void {
    // Only while nobody takes messages yet is something left of the chunk before.
    this.#chunk = this.#at < this.#chunk.length ? Buffer.concat([this.#chunk.subarray(this.#at), chunk]) : chunk
    this.#at = 0
  }

  /**
   * Finds the next whole frame; true when `buffer`, `start` and `end` say where it is.
   *
   * @throws ProtocolError when its length is not allowed
   */
  next(): boolean {
    if (this.#partialLength > 0) return this.#finishPartial()
    const available = this.#chunk.length - this.#at
    if (available >= LENGTH_BYTES) {
      const frameBytes = this.#frameBytes(this.#chunk, this.#at)
      if (available >= frameBytes) return this.#found(this.#chunk, this.#at, frameBytes)
    }
    if (available > 0) this.#keepPartial(available)
    else this.#drop()
    return false
  }

  #found(buffer: Buffer, start: number, frameBytes: number): true {
    this.buffer = buffer
    this.start = start
    this.end = start + frameBytes
    this.#at = this.end
    return true
  }

  #frameBytes(buffer: Buffer, at: number): number {
    const length = buffer.readUInt32BE(at)
    if (length < 1 || length > this.bodyBytesMax + 1) {
      throw new ProtocolError(
        `a frame of ${length} bytes was announced; 1 to ${this.bodyBytesMax + 1} are allowed here; the connection is closed`,
      )
    }
    return length + LENGTH_BYTES
  }

  #keepPartial(available: number): void {
    this.#partial = Buffer.allocUnsafeSlow(LENGTH_BYTES)
    this.#partialLength = 0
    this.#takeInto(Math.min(available, LENGTH_BYTES))
    if (this.#partialLength === LENGTH_BYTES) this.#finishPartial()
  }

  /** Moves bytes from the chunk to the partial frame until that is whole or the chunk used up. */
  #finishPartial(): boolean {
    if (this.#partialLength < LENGTH_BYTES) this.#takeInto(LENGTH_BYTES - this.#partialLength)
    if (this.#partialLength < LENGTH_BYTES) return false
    const frameBytes = this.#frameBytes(this.#partial, 0)
    const wanted = Math.min(frameBytes, this.#partialLength + this.#chunk.length - this.#at)
    this.#growPartial(wanted, frameBytes)
    this.#takeInto(frameBytes - this.#partialLength)
    if (this.#partialLength < frameBytes) return false
    this.buffer = this.#partial
    this.start = 0
    this.end = frameBytes
    this.#partial = EMPTY
    this.#partialLength = 0
    return true
  }

  /** Doubles, so that bytes that come one by one are not copied each time; ends at exactly the frame's size. */
  #growPartial(wanted: number, frameBytes: number): void {
    if (wanted <= this.#partial.length) return
    const grown = Buffer.allocUnsafeSlow(
      Math.min(frameBytes, Math.max(wanted, this.#partial.length * 2, PARTIAL_BYTES)),
    )
    this.#partial.copy(grown, 0, 0, this.#partialLength)
    this.#partial = grown
  }

  #takeInto(bytesMax: number): void {
    const taken = Math.min(bytesMax, this.#chunk.length - this.#at)
    this.#chunk.copy(this.#partial, this.#partialLength, this.#at, this.#at + taken)
    this.#partialLength += taken
    this.#at += taken
    if (this.#at === this.#chunk.length) this.#drop()
  }

  #drop(): void {
    this.#chunk = EMPTY
    this.#at = 0
  }
}

/** The kind byte of the frame that begins at `start`. */
export function frameKindAt(buffer: Buffer, start: number): number {
  return buffer[start + FRAME_HEADER_BYTES - 1]!
}
