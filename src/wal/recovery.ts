import { assert } from '../base/index.ts'
import { isOutOfSpace, writeAll } from './disk.ts'
import { WalDamagedError } from './errors.ts'
import { DATA_OFFSET, EMPTY_BATCH_BYTES, encodeFrameOfBatch, type SegmentHeader } from './format.ts'
import { LogReader, type Scan, type StoredRecord } from './log-reader.ts'
import {
  makeSegment,
  readHeader,
  removeUnfinished,
  type Segment,
  type Store,
  segmentName,
  segmentPath,
} from './segment.ts'

/** What recovery found, after it repaired a torn end. */
export interface Recovered {
  /** All segments, in order; those after `active` are empty spares. */
  readonly segments: Segment[]
  /** Index in `segments` of the one that is written next. */
  readonly active: number
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
  const { segments, reader, last } = await readLog(store, numbers, onRecord)
  const active = segments.indexOf(last.segment)
  // Before the torn end is touched: a crash here leaves just what was found.
  await dropUnusableSpares(store, segments, active, segmentBytesMax, reader.allSparesBlank)
  await settleEnd(store, segments, last)
  return { segments, active }
}

/**
 * Reads and checks all of a log, and changes nothing.
 *
 * @throws WalDamagedError; what is good before the damage was handed to `onRecord`
 */
export async function readLog(store: Store, numbers: readonly number[], onRecord: (record: StoredRecord) => void) {
  const segments = await readHeaders(store, numbers)
  const reader = new LogReader(store, onRecord)
  for (const segment of segments) await reader.next(segment)
  checkBegin(store, segments[0]!, reader.begin)
  return { segments, reader, last: reader.finish() }
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
  const marked = end + EMPTY_BATCH_BYTES <= segment.size
  const content = Buffer.alloc(end - DATA_OFFSET + (marked ? EMPTY_BATCH_BYTES : 0))
  bytes.copy(content, 0, DATA_OFFSET, end)
  if (marked) {
    const position = segment.base + end
    const frame = { syncedUpTo: position, length: EMPTY_BATCH_BYTES, count: 0 }
    encodeFrameOfBatch(content, end - DATA_OFFSET, position, store.salt, frame)
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
