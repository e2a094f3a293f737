import type { Disk } from './disk.ts'
import {
  DATA_OFFSET,
  decodeMark,
  findMark,
  MARK_BYTES,
  MARK_TYPE,
  type Position,
  RECORD_HEAD_BYTES,
  recordSize,
  storeSalt,
} from './format.ts'
import type { StoredRecord } from './log-reader.ts'
import { readAnyHeader, segmentNumber } from './segment.ts'
import { segmentPlaces } from './set-aside.ts'

/** A file of the log whose own header can still be read. */
interface Readable {
  readonly path: string
  readonly base: number
  readonly size: number
  readonly storeId: string
}

/**
 * Hands out, in order, every record of a damaged log that is good by itself, also those behind the damage, and changes
 * nothing. A record's checksum is bound to its store and its place, so each of them was written there once; but others
 * are missing, and the last of them may never have been acknowledged. So they are hints, and nothing to go on with.
 *
 * Memory is bounded by one segment. Of a file whose header is bad nothing is read.
 */
export async function salvageLog(
  disk: Disk,
  directory: string,
  onRecord: (record: StoredRecord) => void,
): Promise<void> {
  const segments = await readableSegments(disk, directory)
  for (const segment of segments) {
    const bytes = await load(disk, segment)
    salvageSegment(bytes, segment, onRecord)
  }
}

async function readableSegments(disk: Disk, directory: string): Promise<readonly Readable[]> {
  const places = [...(await segmentPlaces(disk, directory))]
  const ordered = places.sort(([a], [b]) => segmentNumber(a)! - segmentNumber(b)!)
  const segments: Readable[] = []
  for (const [, path] of ordered) {
    const decoded = await readAnyHeader(disk, path)
    if (decoded.kind === 'header') segments.push({ path, ...decoded.header })
  }
  return segments
}

async function load(disk: Disk, { path, size }: Readable): Promise<Buffer> {
  const file = await disk.openFile(path)
  try {
    const bytes = Buffer.allocUnsafeSlow(Math.min(size, await file.size()))
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}

function salvageSegment(bytes: Buffer, { base, storeId }: Readable, onRecord: (record: StoredRecord) => void): void {
  const salt = storeSalt(storeId)
  for (let at = findMark(bytes, DATA_OFFSET, base, salt); at >= 0; at = findMark(bytes, at, base, salt)) {
    const mark = decodeMark(bytes, at, base + at, salt)!
    const end = Math.min(bytes.length, at + MARK_BYTES + mark.bytes)
    at += MARK_BYTES
    while (at + RECORD_HEAD_BYTES <= end) {
      // Of a bad record the length may still be right; what is found there proves itself, or is bad as well.
      const next = at + RECORD_HEAD_BYTES + bytes.readUInt32BE(at)
      if (next > end) break
      const type = bytes[at + 4]!
      if (recordSize(bytes, at, end, base + at, salt) > 0 && type < MARK_TYPE)
        onRecord({ type, payload: bytes.subarray(at + RECORD_HEAD_BYTES, next), position: (base + at) as Position })
      at = next
    }
  }
}
