import { ConcordatError } from './errors.ts'

/** Bytes that came from outside are not what they claim to be. Nothing was done with them. */
export class CodecError extends ConcordatError {
  readonly code = 'CODEC_MALFORMED'
}

/** Characters up to which a text is written one by one. */
const SHORT_TEXT_MAX = 48

/** Writes big-endian values one after the other into a buffer that grows. */
export class ByteWriter {
  #buffer: Buffer
  #length = 0

  constructor(capacity = 256) {
    this.#buffer = Buffer.allocUnsafe(capacity)
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  /** Makes room for `size` more bytes and returns the offset at which they begin. */
  reserve(size: number): number {
    const at = this.#length
    const needed = at + size
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
      this.#buffer.copy(grown, 0, 0, at)
      this.#buffer = grown
    }
    this.#length = needed
    return at
  }

  u8(value: number): void {
    const at = this.reserve(1)
    this.#buffer[at] = value
  }

  u16(value: number): void {
    const at = this.reserve(2)
    this.#buffer.writeUInt16BE(value, at)
  }

  u32(value: number): void {
    const at = this.reserve(4)
    this.#buffer.writeUInt32BE(value, at)
  }

  /** A whole number from 0 to 2^53 - 1, in eight bytes. */
  u53(value: number): void {
    const at = this.reserve(8)
    this.#buffer.writeUInt32BE(Math.floor(value / 2 ** 32), at)
    this.#buffer.writeUInt32BE(value >>> 0, at + 4)
  }

  /** Raw bytes without a length. */
  raw(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length)
    this.#buffer.set(bytes, at)
  }

  /** A u32 length, then the bytes. */
  bytes(bytes: Uint8Array): void {
    this.u32(bytes.length)
    this.raw(bytes)
  }

  /** A u16 length in bytes, then UTF-8. */
  text(text: string): void {
    if (text.length <= SHORT_TEXT_MAX && this.#plainText(text)) return
    const size = Buffer.byteLength(text)
    if (size > 0xffff) throw new CodecError(`a text of ${size} bytes does not fit in a field of at most 65535`)
    this.u16(size)
    const at = this.reserve(size)
    this.#buffer.write(text, at, size, 'utf8')
  }

  /** Names are short and plain: a loop is several times faster than asking the runtime for the size and the bytes. */
  #plainText(text: string): boolean {
    const at = this.reserve(2 + text.length)
    const buffer = this.#buffer
    buffer[at] = 0
    buffer[at + 1] = text.length
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) {
        this.#length = at
        return false
      }
      buffer[at + 2 + i] = code
    }
    return true
  }

  /** Overwrites the u32 at `at`: for a length that is known only afterwards. */
  patchU32(at: number, value: number): void {
    this.#buffer.writeUInt32BE(value, at)
  }

  /** The buffer that is being filled, to write into a reserved place. Valid until the next reserve. */
  get target(): Buffer {
    return this.#buffer
  }

  /** What was written. It shares memory with the writer, so take it last. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }
}

/** Reads what ByteWriter wrote; every read is checked against the end, so malformed input throws CodecError and nothing else. */
export class ByteReader {
  readonly buffer: Buffer
  readonly end: number
  #at: number

  constructor(buffer: Buffer, start = 0, end = buffer.length) {
    this.buffer = buffer
    this.#at = start
    this.end = end
  }

  /** Where the next read begins. */
  get offset(): number {
    return this.#at
  }

  get remaining(): number {
    return this.end - this.#at
  }

  /** Moves past `size` bytes and returns where they begin. @throws CodecError when fewer are left */
  take(size: number): number {
    const at = this.#at
    if (size > this.end - at)
      throw new CodecError(`the message ends early: ${size} more bytes expected, ${this.end - at} left`)
    this.#at = at + size
    return at
  }

  u8(): number {
    return this.buffer[this.take(1)]!
  }

  u16(): number {
    return this.buffer.readUInt16BE(this.take(2))
  }

  u32(): number {
    return this.buffer.readUInt32BE(this.take(4))
  }

  u53(): number {
    const at = this.take(8)
    const high = this.buffer.readUInt32BE(at)
    if (high > 0x1fffff) throw new CodecError('a whole number above 2^53 - 1')
    return high * 2 ** 32 + this.buffer.readUInt32BE(at + 4)
  }

  /** A view of the next `size` bytes; it shares memory with the input. */
  raw(size: number): Buffer {
    const at = this.take(size)
    return this.buffer.subarray(at, at + size)
  }

  bytes(): Buffer {
    return this.raw(this.u32())
  }

  text(): string {
    const size = this.u16()
    const at = this.take(size)
    return this.buffer.toString('utf8', at, at + size)
  }

  /** @throws CodecError when bytes are left over: a longer message than its kind allows is malformed */
  finish(): void {
    if (this.#at !== this.end)
      throw new CodecError(`${this.end - this.#at} bytes are left over at the end of the message`)
  }
}
