import {
  EMPTY_BATCH_BYTES,
  encodeFrameOfBatch,
  encodeRecord,
  MARK_BYTES,
  type Payload,
  RECORD_HEAD_BYTES,
} from './format.ts'

/** Where the next batch begins, and how far its segment goes. */
export interface Place {
  /** The segment's number. */
  readonly segment: number
  readonly base: number
  readonly size: number
  /** Offset in the segment. */
  readonly offset: number
}

/**
 * One write in the making: room for a mark, records, room for the end. It is laid out while the write before it is under
 * way; mark and end are filled in last, when that write's end is known to be durable.
 */
export class Batch {
  readonly place: Place
  /** When it was begun, by the clock of its log. */
  readonly sinceMs: number
  readonly #salt: number
  #bytes: Buffer
  #length = EMPTY_BATCH_BYTES
  #count = 0
  /** Called in this order once the batch is durable. */
  readonly onDurable: (() => void)[] = []

  /** @param bytes memory to start with; a larger one takes its place when needed */
  constructor(place: Place, sinceMs: number, salt: number, bytes: Buffer) {
    this.place = place
    this.sinceMs = sinceMs
    this.#salt = salt
    this.#bytes = bytes
  }

  get count(): number {
    return this.#count
  }

  /** Bytes so far, with mark and end. */
  get length(): number {
    return this.#length
  }

  /** Offset in the segment just behind the batch. */
  get end(): number {
    return this.place.offset + this.#length
  }

  /** The memory, to be used again after the write. */
  get memory(): Buffer {
    return this.#bytes
  }

  /** Whether a record of `length` payload bytes still fits in the segment. */
  fits(length: number): boolean {
    return this.end + RECORD_HEAD_BYTES + length <= this.place.size
  }

  /** Copies a record in and returns its position. */
  add(type: number, payload: Payload, length: number): number {
    const at = MARK_BYTES + this.#length - EMPTY_BATCH_BYTES
    this.#reserve(RECORD_HEAD_BYTES + length)
    const position = this.place.base + this.place.offset + at
    encodeRecord(this.#bytes, at, position, this.#salt, type, payload, length)
    this.#count++
    return position
  }

  /** Fills in mark and end, and returns what is to be written. */
  finish(syncedUpTo: number): Buffer {
    const position = this.place.base + this.place.offset
    const frame = { syncedUpTo, length: this.#length, count: this.#count }
    encodeFrameOfBatch(this.#bytes, 0, position, this.#salt, frame)
    return this.#bytes.subarray(0, this.#length)
  }

  #reserve(size: number): void {
    const needed = this.#length + size
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
      this.#bytes.copy(grown, 0, 0, this.#length)
      this.#bytes = grown
    }
    this.#length = needed
  }
}
