import { assert, type ByteReader, type ByteWriter, CodecError } from '../base/index.ts'
import type {
  AppendEntries,
  AppendEntriesResponse,
  Entry,
  EntryKind,
  LogIndex,
  ReadIndexRequest,
  ReadIndexResponse,
  ReadKey,
  RequestVote,
  RequestVoteResponse,
  Term,
  TimeoutNow,
} from '../raft/index.ts'
import { readAddedFlag, readFlag, readNodeId, writeAddedFlag, writeFlag } from './fields.ts'

// AppendEntries is the hot one: its size is computed first, then every byte is written straight into the batch buffer.

/** from, to, then term, prevLogIndex, prevLogTerm, leaderCommit, readRound, then the count of entries. */
const APPEND_HEADER_BYTES = 2 + 2 + 5 * 8 + 4
/** term, kind, length of data. An entry's index is not sent: entries follow prevLogIndex without a gap. */
const ENTRY_HEADER_BYTES = 8 + 1 + 4
const ENTRY_KIND_MAX = 2

export function writeAppendEntries(writer: ByteWriter, message: AppendEntries): void {
  const { entries } = message
  let size = APPEND_HEADER_BYTES
  for (let i = 0; i < entries.length; i++) size += ENTRY_HEADER_BYTES + entries[i]!.data.length
  let at = writer.reserve(size)
  const target = writer.target
  at = putU16(target, at, message.from)
  at = putU16(target, at, message.to)
  at = putU53(target, at, message.term)
  at = putU53(target, at, message.prevLogIndex)
  at = putU53(target, at, message.prevLogTerm)
  at = putU53(target, at, message.leaderCommit)
  at = putU53(target, at, message.readRound)
  at = putU32(target, at, entries.length)
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!
    assert(entry.index === message.prevLogIndex + 1 + i, 'AppendEntries carries consecutive entries (Raft §5.3)')
    at = putEntry(target, at, entry)
  }
}

function putEntry(target: Buffer, start: number, entry: Entry): number {
  const { data } = entry
  let at = putU53(target, start, entry.term)
  target[at] = entry.kind
  at = putU32(target, at + 1, data.length)
  target.set(data, at)
  return at + data.length
}

/**
 * The entries' `data` are views into the received bytes: see FrameReader for why they stay valid and what they keep alive.
 */
export function readAppendEntries(reader: ByteReader): AppendEntries {
  const from = readNodeId(reader)
  const to = readNodeId(reader)
  const term = reader.u53() as Term
  const prevLogIndex = reader.u53() as LogIndex
  const prevLogTerm = reader.u53() as Term
  const leaderCommit = reader.u53() as LogIndex
  const readRound = reader.u53()
  const entries = readEntries(reader, prevLogIndex)
  return { kind: 'appendEntries', from, to, term, prevLogIndex, prevLogTerm, entries, leaderCommit, readRound }
}

function readEntries(reader: ByteReader, prevLogIndex: LogIndex): Entry[] {
  const count = reader.u32()
  // Before the array: a made-up count must not cost memory.
  if (count * ENTRY_HEADER_BYTES > reader.remaining) throw new CodecError(`${count} entries do not fit in the message`)
  if (prevLogIndex + count > Number.MAX_SAFE_INTEGER) throw new CodecError('an entry at an index above 2^53 - 1')
  const entries: Entry[] = []
  for (let i = 1; i <= count; i++) {
    const head = reader.take(ENTRY_HEADER_BYTES)
    const { buffer } = reader
    const kind = buffer[head + 8]!
    if (kind > ENTRY_KIND_MAX) throw new CodecError(`an entry of unknown kind ${kind}`)
    const term = getU53(buffer, head) as Term
    const size = getU32(buffer, head + 9)
    const at = reader.take(size)
    const data = buffer.subarray(at, at + size)
    entries.push({ term, index: (prevLogIndex + i) as LogIndex, kind: kind as EntryKind, data })
  }
  return entries
}

export function writeAppendEntriesResponse(writer: ByteWriter, message: AppendEntriesResponse): void {
  writer.u16(message.from)
  writer.u16(message.to)
  writer.u53(message.term)
  writeFlag(writer, message.success)
  writer.u53(message.matchIndex)
  writer.u53(message.hintIndex)
  writer.u53(message.hintTerm)
  writer.u53(message.readRound)
  writeAddedFlag(writer, message.doubtful)
}

export function readAppendEntriesResponse(reader: ByteReader): AppendEntriesResponse {
  return {
    kind: 'appendEntriesResponse',
    from: readNodeId(reader),
    to: readNodeId(reader),
    term: reader.u53() as Term,
    success: readFlag(reader),
    matchIndex: reader.u53() as LogIndex,
    hintIndex: reader.u53() as LogIndex,
    hintTerm: reader.u53() as Term,
    readRound: reader.u53(),
    doubtful: readAddedFlag(reader),
  }
}

export function writeRequestVote(writer: ByteWriter, message: RequestVote): void {
  writer.u16(message.from)
  writer.u16(message.to)
  writer.u53(message.term)
  writeFlag(writer, message.preVote)
  writer.u53(message.lastLogIndex)
  writer.u53(message.lastLogTerm)
  writeAddedFlag(writer, message.leadershipTransfer)
}

export function readRequestVote(reader: ByteReader): RequestVote {
  return {
    kind: 'requestVote',
    from: readNodeId(reader),
    to: readNodeId(reader),
    term: reader.u53() as Term,
    preVote: readFlag(reader),
    lastLogIndex: reader.u53() as LogIndex,
    lastLogTerm: reader.u53() as Term,
    leadershipTransfer: readAddedFlag(reader),
  }
}

export function writeRequestVoteResponse(writer: ByteWriter, message: RequestVoteResponse): void {
  writer.u16(message.from)
  writer.u16(message.to)
  writer.u53(message.term)
  writeFlag(writer, message.preVote)
  writeFlag(writer, message.voteGranted)
  const { committed } = message
  if (committed === undefined) return
  writer.u53(committed.index)
  writer.u53(committed.term)
}

export function readRequestVoteResponse(reader: ByteReader): RequestVoteResponse {
  return {
    kind: 'requestVoteResponse',
    from: readNodeId(reader),
    to: readNodeId(reader),
    term: reader.u53() as Term,
    preVote: readFlag(reader),
    voteGranted: readFlag(reader),
    committed: reader.remaining === 0 ? undefined : readPosition(reader),
  }
}

function readPosition(reader: ByteReader): { readonly index: LogIndex; readonly term: Term } {
  return { index: reader.u53() as LogIndex, term: reader.u53() as Term }
}

export function writeTimeoutNow(writer: ByteWriter, message: TimeoutNow): void {
  writer.u16(message.from)
  writer.u16(message.to)
  writer.u53(message.term)
}

export function readTimeoutNow(reader: ByteReader): TimeoutNow {
  return { kind: 'timeoutNow', from: readNodeId(reader), to: readNodeId(reader), term: reader.u53() as Term }
}

export function writeReadIndex(writer: ByteWriter, message: ReadIndexRequest): void {
  writer.u16(message.from)
  writer.u16(message.to)
  writer.u53(message.term)
  writer.u53(message.readKey)
}

export function readReadIndex(reader: ByteReader): ReadIndexRequest {
  return {
    kind: 'readIndex',
    from: readNodeId(reader),
    to: readNodeId(reader),
    term: reader.u53() as Term,
    readKey: reader.u53() as ReadKey,
  }
}

export function writeReadIndexResponse(writer: ByteWriter, message: ReadIndexResponse): void {
  writer.u16(message.from)
  writer.u16(message.to)
  writer.u53(message.term)
  writer.u53(message.readKey)
  writeFlag(writer, message.granted)
  writer.u53(message.index)
}

export function readReadIndexResponse(reader: ByteReader): ReadIndexResponse {
  return {
    kind: 'readIndexResponse',
    from: readNodeId(reader),
    to: readNodeId(reader),
    term: reader.u53() as Term,
    readKey: reader.u53() as ReadKey,
    granted: readFlag(reader),
    index: reader.u53() as LogIndex,
  }
}

function putU16(target: Buffer, at: number, value: number): number {
  target[at] = value >>> 8
  target[at + 1] = value
  return at + 2
}

function putU32(target: Buffer, at: number, value: number): number {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
  return at + 4
}

function putU53(target: Buffer, at: number, value: number): number {
  return putU32(target, putU32(target, at, Math.floor(value / 2 ** 32)), value >>> 0)
}

function getU32(source: Buffer, at: number): number {
  return ((source[at]! << 24) | (source[at + 1]! << 16) | (source[at + 2]! << 8) | source[at + 3]!) >>> 0
}

function getU53(source: Buffer, at: number): number {
  const high = getU32(source, at)
  if (high > 0x1fffff) throw new CodecError('a whole number above 2^53 - 1')
  return high * 2 ** 32 + getU32(source, at + 4)
}
