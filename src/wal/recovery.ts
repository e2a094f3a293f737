import { assert } from '../base/index.ts'
import { isOutOfSpace, writeAll } from './disk.ts'
import { type DamagePlace, WalDamagedError } from './errors.ts'
import {
  BEGIN_TYPE,
  DATA_OFFSET,
  decodeBegin,
  decodeMark,
  encodeMark,
  findMark,
  MARK_BYTES,
  MARK_TYPE,
  type Mark,
  type Position,
  RECORD_HEAD_BYTES,
  recordSize,
  type SegmentHeader,
} from './format.ts'
import {
  makeSegment,
  readHeader,
  removeUnfinished,
  type Segment,
  type Store,
  segmentName,
  segmentPath,
} from './segment.ts'

/** A record as it is read back. */
export interface StoredRecord {
  readonly type: number
  /** A view of the read buffer: copy what you keep for long, or the whole buffer stays in memory. */
  readonly payload: Buffer
  readonly position: Position
}

/** What recovery found, after it repaired a torn end. */
export interface Recovered {
  /** All segments, in order; those after `active` are empty spares. */
  readonly segments: Segment[]
  /** Index in `segments` of the one that is written next. */
  readonly active: number
}

/** One segment's batches, verified. */
interface Scan {
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

/**
 * Reads the whole log in order, tells a torn end from damage, and makes the unproven end durable before it counts.
 * Memory stays bounded by two segments: the one at hand, and the last one with a batch.
 *
 * Invariants that every whole batch is checked against:
 * 1. Its mark never speaks of positions beyond the batch's own beginning.
 * 2. Its mark never speaks of positions beyond what was verified so far: else synced bytes are gone.
 * 3. Between it and the batch before there are only zeros, and only at a segment's end.
 *
 * The first segment need not be number 1: older ones are removed when their owner needs them no more. Its header is
 * then believed for where it begins, and a record behind it must say that all before it was to be removed.
 *
 * @throws WalDamagedError
 */
export async function recover(
  store: Store,
  numbers: readonly number[],
  segmentBytesMax: number,
  onRecord: (record: StoredRecord) => void,
): Promise<Recovered> {
  const segments = await readHeaders(store, numbers)
  const reader = new LogReader(store, onRecord)
  for (const segment of segments) await reader.next(segment)
  checkBegin(store, segments[0]!, reader.begin)
  const last = reader.finish()
  const active = segments.indexOf(last.segment)
  // Before the torn end is touched: a crash here leaves just what was found.
  await dropUnusableSpares(store, segments, active, segmentBytesMax, reader.allSparesBlank)
  await settleEnd(store, segments, last)
  return { segments, active }
}

async function readHeaders(store: Store, numbers: readonly number[]): Promise<Segment[]> {
  const segments: Segment[] = []
  for (const number of numbers) {
    const before = segments.at(-1)
    if (before !== undefined && number !== before.number + 1) {
      const missing = segmentPath(store.directory, before.number + 1)
      throw new WalDamagedError(missing, 0, `the file is missing, but ${segmentName(number)} is there`)
    }
    const path = segmentPath(store.directory, number)
    const header = await readHeader(store.disk, store.directory, number, store.identity)
    if (header.storeId !== store.storeId) {
      throw new WalDamagedError(path, 0, `the file belongs to another store (${header.storeId})`)
    }
    const base = baseAfter(before, header)
    if (header.base !== base) {
      throw new WalDamagedError(path, 0, `the segment begins at position ${header.base}, not ${base}`)
    }
    segments.push({ number, base, size: header.size, dataEnd: DATA_OFFSET, file: undefined })
  }
  return segments
}

/** Where a segment must begin. Those before the first one were removed, and only its own header knows their sizes. */
function baseAfter(before: Segment | undefined, { number, base }: SegmentHeader): number {
  if (before !== undefined) return before.base + before.size
  return number === 1 ? 0 : base
}

/** A file that is gone was removed by us, or is lost: only the log itself can tell. */
function checkBegin(store: Store, first: Segment, begin: number): void {
  if (first.number === 1 || first.base <= begin) return
  const missing = segmentPath(store.directory, first.number - 1)
  throw new WalDamagedError(
    missing,
    0,
    `the file is missing, and nothing in ${segmentName(first.number)} or behind it says that it was removed`,
  )
}

/** Walks the segments once, hands out their records, and keeps what the end's fate depends on. */
class LogReader {
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
    if (found === 'tooMuchWork') {
      // It may be there or not. A lost sector anywhere in the batch tells that nobody was told of the batch.
      const mark = decodeMark(bytes, end, segment.base + end, salt)
      const batchEnd = mark === undefined ? lengthUpToZeros(bytes) : end + MARK_BYTES + mark.bytes
      if (hasLostSector(bytes, bad, batchEnd)) return undefined
      const what = 'bad bytes, too many of them to rule out a valid record behind'
      return this.#damage(segment, bad, what, 'behindLastMark')
    }
    if (found < 0 || hasLostSector(bytes, bad, found)) return undefined
    return this.#damage(segment, bad, `bad bytes, followed by a valid record at byte ${found}`, 'behindLastMark')
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

  #scan(segment: Segment, bytes: Buffer): Scan {
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

/**
 * A disk writes the sectors of one write in any order, so a torn batch may end whole and lack its middle. A lost
 * sector still holds the zeros that were there before. Without such a hole, bad bytes before good ones are damage.
 * (etcd's wal/decoder.go tells a torn entry in the same way.)
 */
function hasLostSector(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; ) {
    const end = Math.min((Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES, bytes.length)
    if (isBlank(bytes, at, end)) return true
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

/** Spares that hold the rest of a torn write, or have another size than new segments, are made anew later. */
async function dropUnusableSpares(
  store: Store,
  segments: Segment[],
  active: number,
  segmentBytesMax: number,
  allBlank: boolean,
): Promise<void> {
  const spares = segments.slice(active + 1)
  if (allBlank && spares.every((spare) => spare.size === segmentBytesMax)) return
  while (segments.length > active + 1) await removeLast(store, segments)
}

/**
 * Makes the end of the log something that may be built upon.
 *
 * Nothing proves that the last batch is on disk. After a failed write it may live in the page cache alone, which
 * reads back well until the power goes (fsyncgate). And bytes that a torn write left beyond the end could pass for
 * valid data once new batches have grown up to them. So the segment is copied, without the torn rest and with a
 * mark that proves its end, to a new file, which takes the old one's name when it is synced.
 *
 * A last batch that is a mark alone says nothing that its own loss would make wrong: it is only written again where it
 * stands. That is what a clean close leaves, so a clean restart copies nothing. The next batch goes behind it, never
 * over it: a write that is torn over old bytes has no lost sector of zeros, and would look like damage.
 */
async function settleEnd(store: Store, segments: Segment[], scan: Scan): Promise<void> {
  const { segment, bytes, end } = scan
  if (scan.blank && scan.batches === 0) return
  if (scan.blank && scan.lastCount === 0) {
    await writeAgain(store, segment, bytes.subarray(scan.lastAt, end), scan.lastAt)
    return
  }
  const marked = end + MARK_BYTES <= segment.size
  const content = Buffer.alloc(end - DATA_OFFSET + (marked ? MARK_BYTES : 0))
  bytes.copy(content, 0, DATA_OFFSET, end)
  if (marked) {
    const position = segment.base + end
    encodeMark(content, end - DATA_OFFSET, position, store.salt, { syncedUpTo: position, bytes: 0, count: 0 })
  }
  await replaceSegment(store, segments, segment, content)
  segment.dataEnd = DATA_OFFSET + content.length
}

/** Writes bytes in place that read well already, so that they are not in the page cache alone. A crash amid it is none. */
async function writeAgain(store: Store, segment: Segment, bytes: Buffer, offset: number): Promise<void> {
  const file = await store.disk.openFile(segmentPath(store.directory, segment.number), { durable: true })
  try {
    await writeAll(file, bytes, offset)
  } finally {
    await file.close()
  }
}

/** On a full disk the copy takes the room of the last spare: a full disk must not keep a node from starting again. */
async function replaceSegment(store: Store, segments: Segment[], segment: Segment, content: Buffer): Promise<void> {
  for (;;) {
    try {
      await makeSegment(store, segment, content)
      return
    } catch (error) {
      const spare = segments.at(-1)
      if (!isOutOfSpace(error) || spare === undefined || spare === segment) throw error
      await removeUnfinished(store.disk, store.directory)
      await removeLast(store, segments)
    }
  }
}

/** Removes the last segment, an empty one, and makes that durable, so that a crash never leaves a gap in the numbers. */
async function removeLast(store: Store, segments: Segment[]): Promise<void> {
  const spare = segments.pop()
  assert(spare !== undefined && spare.dataEnd === DATA_OFFSET, 'only empty segments are removed')
  await store.disk.remove(segmentPath(store.directory, spare.number))
  await store.disk.syncDirectory(store.directory)
}
