import { assert } from '../base/index.ts'
import { type DamagePlace, WalDamagedError } from './errors.ts'
import {
  BEGIN_TYPE,
  DATA_OFFSET,
  decodeBegin,
  decodeMark,
  EMPTY_BATCH_BYTES,
  findMark,
  isEnd,
  MARK_BYTES,
  MARK_TYPE,
  type Mark,
  type Position,
  RECORD_HEAD_BYTES,
  recordSize,
  SEGMENT_HEADER_BYTES,
} from './format.ts'
import { type Segment, type Store, segmentName, segmentPath } from './segment.ts'

/** A record as it is read back. */
export interface StoredRecord {
  readonly type: number
  /** A view of the read buffer: copy what you keep for long, or the whole buffer stays in memory. */
  readonly payload: Buffer
  readonly position: Position
}

/** One segment's batches, verified. */
export interface Scan {
  readonly segment: Segment
  /** Offset of the first byte that belongs to no whole batch. */
  readonly end: number
  /** Offset of the first bad mark or record: `end`, or a place inside the batch that begins there. */
  readonly bad: number
  readonly batches: number
  /** Offset and content of the last whole batch; it is not proven, since no later mark speaks of it. */
  readonly lastAt: number
  readonly lastCount: number
  /** Only zeros from `end` on. */
  readonly blank: boolean
  readonly bytes: Buffer
}

/** Walks the segments once, hands out their records, and keeps what the end's fate depends on. */
export class LogReader {
  readonly #store: Store
  readonly #onRecord: (record: StoredRecord) => void
  /** The last segment with a whole batch; the first segment as long as there is none. */
  #last: Scan | undefined
  /** Position up to which every batch was verified. */
  #verifiedEnd = 0
  /** What is wrong with the spares after `#last`, if it is not what a torn write leaves. */
  #spareDamage: WalDamagedError | undefined
  allSparesBlank = true
  /** Where the log was last said to begin. */
  begin = 0

  constructor(store: Store, onRecord: (record: StoredRecord) => void) {
    this.#store = store
    this.#onRecord = onRecord
  }

  async next(segment: Segment): Promise<void> {
    if (this.#last === undefined) this.#verifiedEnd = segment.base + DATA_OFFSET
    const bytes = await this.#load(segment)
    const scan = this.#scan(segment, bytes)
    const after = findMark(bytes, scan.end + 1, segment.base, this.#store.salt)
    if (after >= 0) {
      throw this.#damage(segment, scan.bad, `bad bytes, followed by a valid batch at byte ${after}`, 'beforeLastMark')
    }
    segment.dataEnd = scan.end
    if (this.#last === undefined || scan.batches > 0) {
      this.#last = scan
      this.#spareDamage = undefined
      this.allSparesBlank = true
    } else {
      // The last batch may be the first of its segment, and then its mark may be what is bad.
      this.#spareDamage ??= this.#damageAtEnd(scan)
      this.allSparesBlank &&= scan.blank
    }
  }

  /** The scan that holds the end of the log. @throws WalDamagedError when the end is bad in a way that no torn write is */
  finish(): Scan {
    assert(this.#last !== undefined, 'a log has a segment')
    const damage = this.#damageAtEnd(this.#last) ?? this.#spareDamage
    if (damage !== undefined) throw damage
    return this.#last
  }

  #damageAtEnd({ segment, bytes, end, bad, blank }: Scan): WalDamagedError | undefined {
    if (blank) return undefined
    const { salt } = this.#store
    const found = findRecord(bytes, bad, segment.base, salt)
    if (found !== 'tooMuchWork' && found >= 0) {
      if (hasLostSector(bytes, end, bad, found)) return undefined
      return this.#damage(segment, bad, `bad bytes, followed by a valid record at byte ${found}`, 'behindLastMark')
    }
    const mark = decodeMark(bytes, end, segment.base + end, salt)
    if (this.#isWithoutRecords(segment, bytes, end, mark)) return undefined
    const batchEnd = end + MARK_BYTES + (mark?.bytes ?? 0)
    // Sectors in any order, or a beginning: what was not written still holds the zeros that were there before. The last
    // byte of a batch is none (1.1), so harm within a batch that was written as a whole never looks like a beginning.
    if (hasLostSector(bytes, end, bad, batchEnd) || lengthUpToZeros(bytes) < batchEnd) return undefined
    const what = 'bad bytes where a torn write would have left zeros'
    return this.#damage(segment, bad, what, 'behindLastMark')
  }

  /** Whatever became of a last batch that is a mark and an end and nothing more, nothing is lost with it. */
  #isWithoutRecords(segment: Segment, bytes: Buffer, at: number, mark: Mark | undefined): boolean {
    if (lengthUpToZeros(bytes) > at + EMPTY_BATCH_BYTES) return false
    return mark?.count === 0 || isEnd(bytes, at + MARK_BYTES, segment.base, this.#store.salt)
  }

  async #load(segment: Segment): Promise<Buffer> {
    const path = segmentPath(this.#store.directory, segment.number)
    const file = await this.#store.disk.openFile(path)
    try {
      const bytes = Buffer.allocUnsafeSlow(segment.size)
      const read = await file.read(bytes, 0)
      if (read !== segment.size) throw new WalDamagedError(path, read, 'the file ends before its size')
      return bytes
    } finally {
      await file.close()
    }
  }

  /** Nobody ever writes between the header and the first batch. What stands there is missing where it belongs. */
  #checkGap(segment: Segment, bytes: Buffer): void {
    if (isBlank(bytes, SEGMENT_HEADER_BYTES, DATA_OFFSET)) return
    const at = bytes.findIndex((byte, offset) => offset >= SEGMENT_HEADER_BYTES && byte !== 0)
    throw this.#damage(segment, at, 'bytes where nothing is ever written, so a write went astray')
  }

  #scan(segment: Segment, bytes: Buffer): Scan {
    this.#checkGap(segment, bytes)
    let at = DATA_OFFSET
    let bad = at
    let batches = 0
    let lastAt = at
    let lastCount = 0
    for (;;) {
      const mark = decodeMark(bytes, at, segment.base + at, this.#store.salt)
      bad = at
      if (mark === undefined) break
      this.#checkMark(segment, at, mark, batches === 0)
      const from = at + MARK_BYTES
      bad = this.#firstBad(segment, bytes, from, from + mark.bytes)
      if (bad >= 0) break
      this.#handOut(segment, bytes, from, from + mark.bytes)
      batches++
      lastAt = at
      lastCount = mark.count
      at = from + mark.bytes
      this.#verifiedEnd = segment.base + at
    }
    return { segment, end: at, bad, batches, lastAt, lastCount, blank: isBlank(bytes, at), bytes }
  }

  #checkMark(segment: Segment, at: number, mark: Mark, first: boolean): void {
    if (first) this.#checkFirst(segment, at, mark.syncedUpTo)
    if (mark.syncedUpTo > segment.base + at) throw this.#damage(segment, at, 'a mark speaks of what comes after it')
    if (at + MARK_BYTES + mark.bytes > segment.size)
      throw this.#damage(segment, at, 'a batch is larger than its segment')
  }

  /** A mark that stands first in its segment proves how far the segments before it must reach. */
  #checkFirst(segment: Segment, at: number, syncedUpTo: number): void {
    const before = this.#last
    if (before === undefined) return
    if (syncedUpTo > this.#verifiedEnd) {
      throw this.#damage(
        before.segment,
        before.bad,
        `synced bytes are bad up to position ${syncedUpTo}`,
        'beforeLastMark',
      )
    }
    if (!before.blank || !this.allSparesBlank) {
      throw this.#damage(
        before.segment,
        before.bad,
        `bad bytes, but ${segmentName(segment.number)} goes on at byte ${at}`,
        'beforeLastMark',
      )
    }
  }

  /** Offset of the first bad record of a batch, or -1. A batch that is not whole was never acknowledged, or is damage. */
  #firstBad(segment: Segment, bytes: Buffer, from: number, end: number): number {
    for (let at = from; at < end; ) {
      const size = recordSize(bytes, at, end, segment.base + at, this.#store.salt)
      if (size === 0) return at
      at += size
    }
    return -1
  }

  #handOut(segment: Segment, bytes: Buffer, from: number, end: number): void {
    for (let at = from; at < end; ) {
      const next = at + RECORD_HEAD_BYTES + bytes.readUInt32BE(at)
      const type = bytes[at + 4]!
      if (type === BEGIN_TYPE) this.#takeBegin(segment, at, decodeBegin(bytes, at, next))
      // A newer minor version may have records of its own, which say nothing that we must know.
      if (type < MARK_TYPE) {
        const payload = bytes.subarray(at + RECORD_HEAD_BYTES, next)
        this.#onRecord({ type, payload, position: (segment.base + at) as Position })
      }
      at = next
    }
  }

  #takeBegin(segment: Segment, at: number, begin: number | undefined): void {
    if (begin === undefined || begin > segment.base + at) {
      throw this.#damage(segment, at, 'a record speaks of a beginning that cannot be')
    }
    this.begin = begin
  }

  #damage(segment: Segment, offset: number, what: string, place?: DamagePlace): WalDamagedError {
    return new WalDamagedError(segmentPath(this.#store.directory, segment.number), offset, what, place)
  }
}

const ZEROS = Buffer.alloc(64 * 1024)

function isBlank(bytes: Buffer, from: number, to = bytes.length): boolean {
  for (let at = from; at < to; at += ZEROS.length) {
    const end = Math.min(at + ZEROS.length, to)
    if (bytes.compare(ZEROS, 0, end - at, at, end) !== 0) return false
  }
  return true
}

const SECTOR_BYTES = 512
/** A mark's length is small and always the same: at the end of a sector, so few zeros tell nothing. */
const MARK_LEADING_ZEROS = 3

/**
 * A disk writes the sectors of one write in any order, so a torn batch may end whole and lack its middle. A lost
 * sector still holds the zeros that were there before, in all of it that belongs to the batch: that a record begins with
 * zeros just before its end says nothing. Without such a hole, and with its end in place, a bad batch is damage.
 * (etcd's wal/decoder.go tells a torn entry in the same way.)
 *
 * @param begin of the batch
 * @param from where it is bad; sectors before this place are whole
 */
function hasLostSector(bytes: Buffer, begin: number, from: number, to: number): boolean {
  const sector = from - (from % SECTOR_BYTES)
  for (let at = Math.max(begin, sector); at < to; ) {
    const end = Math.min((Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES, bytes.length)
    if (end - at > MARK_LEADING_ZEROS && isBlank(bytes, at, end)) return true
    at = end
  }
  return false
}

// The search tries every byte, and garbage can claim any length: some ten kilobytes of random payload claim this much.
const SEARCH_BYTES_MAX = 64 * 1024 * 1024

/** The offset of a valid record of the caller's after the bad byte at `from`, or -1. */
function findRecord(bytes: Buffer, from: number, base: number, salt: number): number | 'tooMuchWork' {
  const end = lengthUpToZeros(bytes)
  let work = 0
  for (let at = from + 1; at + RECORD_HEAD_BYTES <= end; at++) {
    const type = bytes[at + 4]!
    const length = bytes.readUInt32BE(at)
    if (type === 0 || type >= MARK_TYPE || length > bytes.length - at - RECORD_HEAD_BYTES) continue
    work += length
    if (work > SEARCH_BYTES_MAX) return 'tooMuchWork'
    if (recordSize(bytes, at, bytes.length, base + at, salt) > 0) return at
  }
  return -1
}

/** The bytes without the zeros at their end. */
function lengthUpToZeros(bytes: Buffer): number {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}
