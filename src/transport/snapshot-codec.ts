import { type ByteReader, type ByteWriter, CodecError } from '../base/index.ts'
import type { InstallSnapshot, InstallSnapshotResponse, LogIndex, SnapshotPosition, Term } from '../raft/index.ts'
import { readNodeId, readWord, writeWord } from './fields.ts'
import { SNAPSHOT_CHUNK_BYTES_MAX } from './frame.ts'

const STATUSES = ['receiving', 'installed', 'refused'] as const

/** @throws CodecError when the chunk is larger than SNAPSHOT_CHUNK_BYTES_MAX, or reaches beyond the snapshot's end */
export function writeInstallSnapshot(writer: ByteWriter, message: InstallSnapshot): void {
  checkChunk(message.offset, message.data.length, message.totalBytes)
  writeHead(writer, message)
  writer.u53(message.totalBytes)
  writer.u53(message.offset)
  writer.u32(message.checksum)
  writer.bytes(message.data)
}

/**
 * `data` is a view into the received bytes, as an entry's is. Its checksum is not compared here: the sender made it of
 * what it read from its disk, so whoever stores the chunk must, and must answer for it.
 */
export function readInstallSnapshot(reader: ByteReader): InstallSnapshot {
  const head = readHead(reader)
  const totalBytes = reader.u53()
  const offset = reader.u53()
  const checksum = reader.u32()
  const data = reader.bytes()
  checkChunk(offset, data.length, totalBytes)
  return { kind: 'installSnapshot', ...head, totalBytes, offset, data, checksum }
}

export function writeInstallSnapshotResponse(writer: ByteWriter, message: InstallSnapshotResponse): void {
  writeHead(writer, message)
  writer.u53(message.receivedBytes)
  writeWord(writer, STATUSES, message.status)
}

export function readInstallSnapshotResponse(reader: ByteReader): InstallSnapshotResponse {
  const head = readHead(reader)
  return {
    kind: 'installSnapshotResponse',
    ...head,
    receivedBytes: reader.u53(),
    status: readWord(reader, STATUSES, 'snapshot status'),
  }
}

type Head = Pick<InstallSnapshot, 'from' | 'to' | 'term' | 'snapshot' | 'snapshotId'>

function writeHead(writer: ByteWriter, message: Head): void {
  writer.u16(message.from)
  writer.u16(message.to)
  writer.u53(message.term)
  writer.u53(message.snapshot.index)
  writer.u53(message.snapshot.term)
  writer.u53(message.snapshotId)
}

function readHead(reader: ByteReader): Head {
  return {
    from: readNodeId(reader),
    to: readNodeId(reader),
    term: reader.u53() as Term,
    snapshot: readPosition(reader),
    snapshotId: reader.u53(),
  }
}

function readPosition(reader: ByteReader): SnapshotPosition {
  return { index: reader.u53() as LogIndex, term: reader.u53() as Term }
}

function checkChunk(offset: number, size: number, totalBytes: number): void {
  if (size > SNAPSHOT_CHUNK_BYTES_MAX) {
    throw new CodecError(`a snapshot chunk of ${size} bytes; at most ${SNAPSHOT_CHUNK_BYTES_MAX} go into one`)
  }
  if (offset + size > totalBytes) {
    throw new CodecError(`a snapshot chunk of ${size} bytes at ${offset} reaches beyond the end at ${totalBytes}`)
  }
}
