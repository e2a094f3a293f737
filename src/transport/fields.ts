import {
  BRANCHES_MAX,
  type BranchId,
  type ByteReader,
  type ByteWriter,
  type ClusterId,
  CodecError,
  MalformedIdError,
  type NodeId,
  parseClusterId,
  type Txid,
  txidFromBytes,
  txidToBytes,
} from '../base/index.ts'
import type { BranchRecord } from '../txn/index.ts'
import type { LeaderHint, NodeIdentity } from './messages.ts'

// The fields that several kinds share. Each `read…` validates: what it returns is what its type says, or it throws CodecError.

const BRANCH_KINDS = ['local', 'service', 'kv'] as const
const RECORDED_VOTES = [undefined, 'commit', 'readOnly'] as const

/** A word of a closed list, as its place in the list. */
export function writeWord<T>(writer: ByteWriter, words: readonly T[], word: T): void {
  const place = words.indexOf(word)
  if (place < 0) throw new CodecError(`${String(word)} is none of ${words.join(', ')}`)
  writer.u8(place)
}

export function readWord<T>(reader: ByteReader, words: readonly T[], field: string): T {
  const place = reader.u8()
  if (place >= words.length)
    throw new CodecError(`${field} ${place} is unknown; the highest known is ${words.length - 1}`)
  return words[place]!
}

export function writeFlag(writer: ByteWriter, flag: boolean): void {
  writer.u8(flag ? 1 : 0)
}

export function readFlag(reader: ByteReader): boolean {
  const value = reader.u8()
  if (value > 1) throw new CodecError(`a flag is 0 or 1, not ${value}`)
  return value === 1
}

/**
 * A flag that a later minor version put behind the fields of a frame: one byte, left out while the flag is not set. So
 * the frame keeps the bytes that older releases know, and one with the flag is malformed to them, which is why it never
 * goes to one (protocol-minor.ts). Bits 1 to 7 are left for flags to come.
 */
export function writeAddedFlag(writer: ByteWriter, flag: boolean): void {
  if (flag) writer.u8(1)
}

export function readAddedFlag(reader: ByteReader): boolean {
  if (reader.remaining === 0) return false
  const flags = reader.u8()
  if (flags !== 1) throw new CodecError(`flags 0x${flags.toString(16)} are unknown, or should have been left out`)
  return true
}

export function writeOptional<T>(
  writer: ByteWriter,
  value: T | undefined,
  write: (writer: ByteWriter, value: T) => void,
): void {
  writeFlag(writer, value !== undefined)
  if (value !== undefined) write(writer, value)
}

export function readOptional<T>(reader: ByteReader, read: (reader: ByteReader) => T): T | undefined {
  return readFlag(reader) ? read(reader) : undefined
}

export function writeText(writer: ByteWriter, text: string): void {
  writer.text(text)
}

export function readText(reader: ByteReader): string {
  return reader.text()
}

/** A text with a u32 length: JSON outgrows 64 KiB. */
export function writeLongText(writer: ByteWriter, text: string): void {
  const size = Buffer.byteLength(text)
  writer.u32(size)
  const at = writer.reserve(size)
  writer.target.write(text, at, size, 'utf8')
}

export function readLongText(reader: ByteReader): string {
  const size = reader.u32()
  const at = reader.take(size)
  return reader.buffer.toString('utf8', at, at + size)
}

/** Words for people; the tail of an endless one is cut, because a refusal must never fail to be sent. */
export function writeMessageText(writer: ByteWriter, text: string): void {
  writer.text(text.slice(0, 4000))
}

/** A duration from a caller: fractions are cut and what is out of range is brought into it, as `setTimeout` would. */
export function writeDurationMs(writer: ByteWriter, durationMs: number): void {
  writer.u53(Math.min(Math.max(Math.trunc(durationMs) || 0, 0), Number.MAX_SAFE_INTEGER))
}

export function writeTxid(writer: ByteWriter, txid: Txid): void {
  const at = writer.reserve(16)
  txidToBytes(txid, writer.target, at)
}

export function readTxid(reader: ByteReader): Txid {
  const at = reader.take(16)
  const bytes = reader.buffer
  // RFC 9562: version 7 in byte 6, variant 10 in byte 8.
  if (bytes[at + 6]! >> 4 !== 7 || bytes[at + 8]! >> 6 !== 2) throw new CodecError('a txid that is not a UUIDv7')
  return txidFromBytes(bytes, at)
}

export function readClusterId(reader: ByteReader): ClusterId {
  const text = reader.text()
  try {
    return parseClusterId(text)
  } catch (error) {
    if (!(error instanceof MalformedIdError)) throw error
    throw new CodecError(`a malformed cluster id: ${error.message}`, { cause: error })
  }
}

export function readNodeId(reader: ByteReader): NodeId {
  const value = reader.u16()
  if (value === 0) throw new CodecError('node id 0; node ids begin at 1')
  return value as NodeId
}

export function readBranchId(reader: ByteReader): BranchId {
  const value = reader.u8()
  if (value >= BRANCHES_MAX) throw new CodecError(`branch id ${value}; the highest is ${BRANCHES_MAX - 1}`)
  return value as BranchId
}

function writeCount(writer: ByteWriter, count: number): void {
  if (count > BRANCHES_MAX) throw new CodecError(`${count} branches; a transaction has at most ${BRANCHES_MAX}`)
  writer.u8(count)
}

function readCount(reader: ByteReader): number {
  const count = reader.u8()
  if (count > BRANCHES_MAX) throw new CodecError(`${count} branches; a transaction has at most ${BRANCHES_MAX}`)
  return count
}

export function writeBranchIds(writer: ByteWriter, branches: readonly BranchId[]): void {
  writeCount(writer, branches.length)
  for (const branch of branches) writer.u8(branch)
}

export function readBranchIds(reader: ByteReader): BranchId[] {
  const count = readCount(reader)
  const branches: BranchId[] = []
  for (let i = 0; i < count; i++) branches.push(readBranchId(reader))
  return branches
}

export function writeBranches(writer: ByteWriter, branches: readonly BranchRecord[]): void {
  writeCount(writer, branches.length)
  for (const { branch, kind, participant, vote, evidence } of branches) {
    writer.u8(branch)
    writeWord(writer, BRANCH_KINDS, kind)
    writer.text(participant)
    writeWord(writer, RECORDED_VOTES, vote)
    writeOptional(writer, evidence, writeText)
  }
}

export function readBranches(reader: ByteReader): BranchRecord[] {
  const count = readCount(reader)
  const branches: BranchRecord[] = []
  for (let i = 0; i < count; i++) {
    branches.push({
      branch: readBranchId(reader),
      kind: readWord(reader, BRANCH_KINDS, 'branch kind'),
      participant: reader.text(),
      vote: readWord(reader, RECORDED_VOTES, 'recorded vote'),
      evidence: readOptional(reader, readText),
    })
  }
  return branches
}

export function writeLeader(writer: ByteWriter, leader: LeaderHint): void {
  writer.u16(leader.nodeId)
  writer.text(leader.address)
}

export function readLeader(reader: ByteReader): LeaderHint {
  return { nodeId: readNodeId(reader), address: reader.text() }
}

export function writeIdentity(writer: ByteWriter, node: NodeIdentity): void {
  writer.u16(node.nodeId)
  writer.text(node.storeId)
  writer.u53(node.durableIndex)
}

export function readIdentity(reader: ByteReader): NodeIdentity {
  return { nodeId: readNodeId(reader), storeId: reader.text(), durableIndex: reader.u53() }
}
