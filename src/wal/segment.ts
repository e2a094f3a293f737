import { assert, type ClusterId, type NodeId } from '../base/index.ts'
import { type Disk, type DiskFile, writeAll } from './disk.ts'
import { WalDamagedError, WalIdentityError, WalVersionError } from './errors.ts'
import {
  DATA_OFFSET,
  type DecodedHeader,
  decodeSegmentHeader,
  encodeSegmentHeader,
  FORMAT_MAJOR,
  FORMAT_MINOR,
  SEGMENT_BYTES_MAX,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from './format.ts'

/** Whose log it is. */
export interface WalIdentity {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
}

/** One directory with its log: what every part of this folder needs to find and check a file. */
export interface Store {
  readonly disk: Disk
  readonly directory: string
  readonly identity: WalIdentity
  readonly storeId: string
  /** Made of storeId: part of every record's checksum. */
  readonly salt: number
}

/** A segment as the running log knows it. */
export interface Segment {
  readonly number: number
  readonly base: number
  readonly size: number
  /** Offset in the file up to which durable batches reach. */
  dataEnd: number
  /** The file, opened durable, while it is written or waits to be. */
  file: DiskFile | undefined
}

/** The segment of that number in a list without gaps, which need not begin at 1. */
export function segmentOf(segments: readonly Segment[], number: number): Segment | undefined {
  const first = segments[0]
  return first === undefined ? undefined : segments[number - first.number]
}

const SEGMENT_NAME = /^(\d{12})\.wal$/
const ASIDE_NAME = /^\d{12}\.aside$/
const TEMPORARY_NAME = /^\d{12}\.tmp$/

/** `000000000001.wal`: names sort as numbers do. */
export function segmentName(number: number): string {
  return `${String(number).padStart(12, '0')}.wal`
}

/** The number in a segment's file name, or undefined for any other name. */
export function segmentNumber(name: string): number | undefined {
  const match = SEGMENT_NAME.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** Whether a file of this name is a segment that was still being made: its content never counted. */
export function isUnfinished(name: string): boolean {
  return TEMPORARY_NAME.test(name)
}

/** Whether a file of this name is the first segment of a log that is to take a damaged one's place. */
export function isAside(name: string): boolean {
  return ASIDE_NAME.test(name)
}

export function asidePath(directory: string, number: number): string {
  return `${directory}/${String(number).padStart(12, '0')}.aside`
}

export function segmentPath(directory: string, number: number): string {
  return `${directory}/${segmentName(number)}`
}

function temporaryPath(directory: string, number: number): string {
  return `${directory}/${String(number).padStart(12, '0')}.tmp`
}

/**
 * Makes a segment file, or replaces one: zeros, header and `content` go to a temporary file, which is synced before
 * it gets the segment's name, and the name is synced before this resolves. So a file of a segment's name is always
 * whole, and a crash at any step leaves the old state or the new one.
 *
 * @param content what stands from DATA_OFFSET on; nothing for a new segment
 * @param path its name, if not the usual one
 * @returns its header
 */
export async function makeSegment(
  store: Store,
  segment: Pick<Segment, 'number' | 'base' | 'size'>,
  content?: Uint8Array,
  path = segmentPath(store.directory, segment.number),
): Promise<SegmentHeader> {
  const { disk, directory } = store
  const header = headerOf(store, segment)
  const temporary = temporaryPath(directory, segment.number)
  const file = await disk.openFile(temporary, { create: true })
  try {
    await file.preallocate(segment.size)
    if (content !== undefined) {
      assert(DATA_OFFSET + content.length <= segment.size, 'a segment holds its content')
      await writeAll(file, content, DATA_OFFSET)
    }
    await writeAll(file, encodeSegmentHeader(header), 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, path)
  await disk.syncDirectory(directory)
  return header
}

/** Removes what an unfinished makeSegment left. Nobody ever read it. */
export async function removeUnfinished(disk: Disk, directory: string): Promise<void> {
  for (const name of await disk.list(directory)) {
    if (isUnfinished(name)) await disk.remove(`${directory}/${name}`)
  }
}

function headerOf(store: Store, segment: Pick<Segment, 'number' | 'base' | 'size'>): SegmentHeader {
  const { number, base, size } = segment
  return { major: FORMAT_MAJOR, minor: FORMAT_MINOR, number, base, size, storeId: store.storeId, ...store.identity }
}

/** What a file's first bytes say, whoever it belongs to and whatever it is called. */
export async function readAnyHeader(disk: Disk, path: string): Promise<DecodedHeader> {
  const file = await disk.openFile(path)
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
    return decodeSegmentHeader(bytes.subarray(0, await file.read(bytes, 0)))
  } finally {
    await file.close()
  }
}

/**
 * Reads and checks one segment's header against its name and the file's size.
 *
 * @throws WalVersionError, WalIdentityError, WalDamagedError
 */
export async function readHeader(
  disk: Disk,
  directory: string,
  number: number,
  identity: WalIdentity,
): Promise<SegmentHeader> {
  const path = segmentPath(directory, number)
  const file = await disk.openFile(path)
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
    const decoded = decodeSegmentHeader(bytes.subarray(0, await file.read(bytes, 0)))
    if (decoded.kind === 'bad') throw new WalDamagedError(path, 0, decoded.why)
    if (decoded.kind === 'otherVersion') throw new WalVersionError(path, decoded.version, `${FORMAT_MAJOR}.x`)
    checkHeader(path, directory, decoded.header, number, identity)
    const size = await file.size()
    if (size !== decoded.header.size) {
      throw new WalDamagedError(path, size, `the file has ${size} bytes but was made with ${decoded.header.size}`)
    }
    return decoded.header
  } finally {
    await file.close()
  }
}

function checkHeader(
  path: string,
  directory: string,
  header: SegmentHeader,
  number: number,
  identity: WalIdentity,
): void {
  if (header.clusterId !== identity.clusterId || header.nodeId !== identity.nodeId) {
    throw new WalIdentityError(directory, nameOf(header), nameOf(identity))
  }
  if (header.number !== number) {
    throw new WalDamagedError(path, 0, `this is segment ${header.number} under another's name`)
  }
  if (header.size < DATA_OFFSET || header.size > SEGMENT_BYTES_MAX) {
    throw new WalDamagedError(path, 0, `a segment of ${header.size} bytes cannot be`)
  }
}

/** For messages. */
export function nameOf(identity: WalIdentity): string {
  return `node ${identity.nodeId} of cluster ${identity.clusterId}`
}
