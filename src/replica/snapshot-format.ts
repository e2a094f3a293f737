import { crc32 } from 'node:zlib'
import { ByteReader, ByteWriter, type ClusterId, CodecError } from '../base/index.ts'
import {
  type ConfigurationData,
  decodeConfiguration,
  encodeConfiguration,
  type LogIndex,
  type SnapshotPosition,
  type Term,
} from '../raft/index.ts'

/**
 * The bytes of a snapshot file. They are also what travels to a follower, so nothing in them belongs to one node. All
 * numbers are big-endian; u53 is a whole number in eight bytes. docs/data-on-disk.md tells the same.
 *
 *     +--------+-------+-------+-----+--------+
 *     | header | chunk | chunk | ... | footer |
 *     +--------+-------+-------+-----+--------+
 *
 *     header:  0       8       10      12       16              16 + length
 *              +-------+-------+-------+--------+---------------+-------+
 *              | magic | major | minor | length | what it tells | crc32 |
 *              |       |  u16  |  u16  |  u32   |               |  u32  |
 *              +-------+-------+-------+--------+---------------+-------+
 *
 *              what it tells: cluster id text | index u53 | term u53 | taken at u53 (milliseconds since 1970) |
 *                             configuration: length u32, then as in an entry of the log
 *              crc32 is that of all bytes of the header before it.
 *
 *     chunk:   0        4       8         8 + length        footer:  0     4        8       16      20      24
 *              +--------+-------+---------+                          +-----+--------+-------+-------+-------+
 *              | length | crc32 | content |                          |  0  | chunks | bytes | total | crc32 |
 *              |  u32   |  u32  |         |                          | u32 |  u32   |  u53  |  u32  |  u32  |
 *              +--------+-------+---------+                          +-----+--------+-------+-------+-------+
 *
 * A chunk's crc is that of its content and begins from the header's crc XOR the chunk's number, so a chunk of another
 * snapshot or of another place never passes. A length of 0 begins the footer: the number of chunks, the bytes of their
 * contents together, the CRC-32 of all bytes of the file before the footer, and that of the footer itself.
 *
 * Rule: a file counts as a whole or not at all. It gets its name when it is on disk, so a bad one is damage, never a
 * torn write.
 */
export const SNAPSHOT_MAJOR = 1
export const SNAPSHOT_MINOR = 0
/** Magic, versions and length. */
export const HEADER_HEAD_BYTES = 16
export const CHUNK_HEAD_BYTES = 8
export const FOOTER_BYTES = 24
/** The content of one chunk, at most: a reader refuses more before it keeps any of it. */
export const CHUNK_BYTES_MAX = 64 * 1024
/** What a header tells, at most. A configuration with its addresses takes a few hundred bytes. */
export const HEADER_BODY_BYTES_MAX = 1024 * 1024

const MAGIC = Buffer.from('CDTSNAP\n', 'latin1')

/** What a snapshot's header tells. */
export interface SnapshotHeader {
  readonly clusterId: ClusterId
  /** The last entry that it covers. */
  readonly position: SnapshotPosition
  /** The configuration in force at that entry. */
  readonly configuration: ConfigurationData
  /** By the clock of the node that took it. For people only. */
  readonly takenAtMs: number
}

export function encodeHeader(header: SnapshotHeader): Buffer {
  const body = new ByteWriter(256)
  body.text(header.clusterId)
  body.u53(header.position.index)
  body.u53(header.position.term)
  body.u53(header.takenAtMs)
  body.bytes(encodeConfiguration(header.configuration))
  if (body.length > HEADER_BODY_BYTES_MAX)
    throw new CodecError(`a snapshot header of ${body.length} bytes is too large`)
  const writer = new ByteWriter(HEADER_HEAD_BYTES + body.length + 4)
  writer.raw(MAGIC)
  writer.u16(SNAPSHOT_MAJOR)
  writer.u16(SNAPSHOT_MINOR)
  writer.u32(body.length)
  writer.raw(body.finish())
  writer.u32(crc32(writer.finish()))
  return writer.finish()
}

/** What the first HEADER_HEAD_BYTES of a file say about the rest of its header. */
export type HeaderHead =
  | { readonly kind: 'head'; readonly bodyBytes: number }
  | { readonly kind: 'otherVersion'; readonly version: string }
  | { readonly kind: 'bad'; readonly why: string }

/** Magic, versions and length keep their places in every version, so that a newer file is told from a broken one. */
export function decodeHeaderHead(bytes: Buffer): HeaderHead {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC))
    return { kind: 'bad', why: 'it does not begin as a snapshot does' }
  const major = bytes.readUInt16BE(MAGIC.length)
  const minor = bytes.readUInt16BE(MAGIC.length + 2)
  if (major !== SNAPSHOT_MAJOR) return { kind: 'otherVersion', version: `${major}.${minor}` }
  const bodyBytes = bytes.readUInt32BE(MAGIC.length + 4)
  if (bodyBytes > HEADER_BODY_BYTES_MAX) return { kind: 'bad', why: `its header claims ${bodyBytes} bytes` }
  return { kind: 'head', bodyBytes }
}

/**
 * A whole header and its crc, which seeds the crcs of the chunks. @throws CodecError when a checksum or a field is wrong
 */
export function decodeHeader(bytes: Buffer): { readonly header: SnapshotHeader; readonly crc: number } {
  const end = bytes.length - 4
  const crc = crc32(bytes.subarray(0, end))
  if (crc !== bytes.readUInt32BE(end)) throw new CodecError("its header's checksum is wrong")
  const reader = new ByteReader(bytes, HEADER_HEAD_BYTES, end)
  const clusterId = reader.text() as ClusterId
  const position = { index: reader.u53() as LogIndex, term: reader.u53() as Term }
  const takenAtMs = reader.u53()
  // What a newer minor version adds behind it may be ignored.
  const configuration = decodeConfiguration(reader.bytes())
  return { header: { clusterId, position, configuration, takenAtMs }, crc }
}

/** The crc of one chunk's content. */
export function chunkCrc(content: Uint8Array, headerCrc: number, number: number): number {
  return crc32(content, (headerCrc ^ number) >>> 0)
}

export function encodeChunkHead(target: Buffer, at: number, length: number, crc: number): void {
  target.writeUInt32BE(length, at)
  target.writeUInt32BE(crc, at + 4)
}

/** What a footer tells. */
export interface SnapshotFooter {
  readonly chunks: number
  /** Of the contents together. */
  readonly bytes: number
  /** The CRC-32 of all bytes before the footer. */
  readonly total: number
}

export function encodeFooter(footer: SnapshotFooter): Buffer {
  const writer = new ByteWriter(FOOTER_BYTES)
  writer.u32(0)
  writer.u32(footer.chunks)
  writer.u53(footer.bytes)
  writer.u32(footer.total)
  writer.u32(crc32(writer.finish()))
  return writer.finish()
}

/** @throws CodecError when its checksum is wrong */
export function decodeFooter(bytes: Buffer): SnapshotFooter {
  const crcAt = FOOTER_BYTES - 4
  if (crc32(bytes.subarray(0, crcAt)) !== bytes.readUInt32BE(crcAt)) {
    throw new CodecError("its footer's checksum is wrong")
  }
  const reader = new ByteReader(bytes, 4, crcAt)
  return { chunks: reader.u32(), bytes: reader.u53(), total: reader.u32() }
}

/**
 * Tells snapshots of one position apart, for each node takes its own: the total checksum, and the low bits of the size.
 * Below 2^53, never 0.
 */
export function snapshotIdOf(total: number, fileBytes: number): number {
  return total * 2 ** 20 + (fileBytes % 2 ** 20)
}
