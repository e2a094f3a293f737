import { assert } from '../base/index.ts'
import type { DiskFile } from './disk.ts'
import { WalDamagedError, WalRemovedError } from './errors.ts'
import { DATA_OFFSET, MARK_TYPE, type Position, RECORD_HEAD_BYTES, recordSize } from './format.ts'
import type { StoredRecord } from './log-reader.ts'
import { type Segment, type Store, segmentPath } from './segment.ts'

// One read of this size finds most single records whole.
const SINGLE_READ_BYTES = 4096
const RANGE_READ_BYTES = 256 * 1024

/** Reads durable records of a running log back, each checked. Writing goes on meanwhile. */
export class Reader {
  readonly #store: Store
  readonly #segments: readonly Segment[]
  readonly #underWay = new Set<Promise<unknown>>()
  /** What lies before this position is removed, or is about to be. */
  #begin = 0

  constructor(store: Store, segments: readonly Segment[]) {
    this.#store = store
    this.#segments = segments
  }

  /** Refuses reads before `position` from now on; resolves when those that began earlier have ended. */
  async forget(position: number): Promise<void> {
    this.#begin = Math.max(this.#begin, position)
    await Promise.allSettled(this.#underWay)
  }

  /** The record at `position`. @throws WalDamagedError when it does not read back, WalRemovedError */
  read(position: Position): Promise<StoredRecord> {
    return this.#tracked(this.#read(position))
  }

  /** Visits records in order from `position` on; see Wal.readRange. */
  readRange(position: Position, bytesMax: number, visit: (record: StoredRecord) => boolean): Promise<void> {
    return this.#tracked(this.#readRange(position, bytesMax, visit))
  }

  async #tracked<T>(reading: Promise<T>): Promise<T> {
    this.#underWay.add(reading)
    try {
      return await reading
    } finally {
      this.#underWay.delete(reading)
    }
  }

  async #read(position: Position): Promise<StoredRecord> {
    const segment = this.#segmentAt(position)
    return this.#withFile(segment, async (file) => {
      const window = new Window(file, segment, SINGLE_READ_BYTES)
      return this.#record(window, segment, position - segment.base)
    })
  }

  async #readRange(position: Position, bytesMax: number, visit: (record: StoredRecord) => boolean): Promise<void> {
    let left = bytesMax
    const first = this.#segmentAt(position)
    let offset = position - first.base
    // Its own list: others lose their first segments while this reads.
    for (const segment of this.#segments.slice(this.#segments.indexOf(first))) {
      if (left <= 0) return
      if (segment.dataEnd > offset)
        left = await this.#withFile(segment, (file) => this.#visitSegment(file, segment, offset, left, visit))
      offset = DATA_OFFSET
    }
  }

  /** Visits one segment's records and returns how many bytes may still be visited: 0 to stop. */
  async #visitSegment(
    file: DiskFile,
    segment: Segment,
    from: number,
    bytesMax: number,
    visit: (record: StoredRecord) => boolean,
  ): Promise<number> {
    const window = new Window(file, segment, RANGE_READ_BYTES)
    let left = bytesMax
    for (let offset = from; offset < segment.dataEnd; ) {
      const record = await this.#record(window, segment, offset)
      offset += RECORD_HEAD_BYTES + record.payload.length
      if (record.type >= MARK_TYPE) continue
      left -= record.payload.length
      if (!visit(record) || left <= 0) return 0
    }
    return left
  }

  async #record(window: Window, segment: Segment, offset: number): Promise<StoredRecord> {
    await window.load(offset, RECORD_HEAD_BYTES)
    const length = window.has(offset, RECORD_HEAD_BYTES) ? window.bytes.readUInt32BE(offset - window.start) : 0
    // A bad length is not believed: no more than the segment holds is read for it.
    if (length <= segment.size - offset) await window.load(offset, RECORD_HEAD_BYTES + length)
    const at = offset - window.start
    const position = (segment.base + offset) as Position
    if (recordSize(window.bytes, at, window.bytes.length, position, this.#store.salt) === 0) {
      const path = segmentPath(this.#store.directory, segment.number)
      throw new WalDamagedError(path, offset, 'a record that was written here does not read back')
    }
    const payload = window.bytes.subarray(at + RECORD_HEAD_BYTES, at + RECORD_HEAD_BYTES + length)
    return { type: window.bytes[at + 4]!, payload, position }
  }

  #segmentAt(position: number): Segment {
    if (position < this.#begin) throw new WalRemovedError(position, this.#begin)
    const segment = this.#segments.findLast((candidate) => candidate.base <= position)
    assert(segment !== undefined && position - segment.base >= DATA_OFFSET, 'a position comes from append or replay')
    return segment
  }

  /** Opens the file for this one read: nothing is shared with the writer, and nothing can be closed under a reader. */
  async #withFile<T>(segment: Segment, use: (file: DiskFile) => Promise<T>): Promise<T> {
    const file = await this.#store.disk.openFile(segmentPath(this.#store.directory, segment.number))
    try {
      return await use(file)
    } finally {
      await file.close()
    }
  }
}

/** A piece of a file in memory. */
class Window {
  readonly #file: DiskFile
  readonly #segment: Segment
  readonly #readBytes: number
  start = 0
  bytes: Buffer = Buffer.alloc(0)

  constructor(file: DiskFile, segment: Segment, readBytes: number) {
    this.#file = file
    this.#segment = segment
    this.#readBytes = readBytes
  }

  has(offset: number, length: number): boolean {
    return offset >= this.start && offset + length <= this.start + this.bytes.length
  }

  /** Reads the file from `offset` on, unless `length` bytes are here already. New memory: records keep views of the old. */
  async load(offset: number, length: number): Promise<void> {
    if (this.has(offset, length)) return
    // Not beyond what is durable now: a write may complete while this reads, and its old bytes must not be taken for it.
    const wanted = Math.min(Math.max(length, this.#readBytes), this.#segment.dataEnd - offset)
    const bytes = Buffer.allocUnsafeSlow(wanted)
    this.bytes = bytes.subarray(0, await this.#file.read(bytes, offset))
    this.start = offset
  }
}
