import {
  type BranchId,
  ByteReader,
  ByteWriter,
  CodecError,
  parseBranchId,
  type Txid,
  txidFromBytes,
  txidToBytes,
} from '../../base/index.ts'
import type { HeldLock, Span } from '../locks/index.ts'
import { keySpan, rangeSpan } from '../locks/index.ts'
import { KvLogMalformedError } from './errors.ts'

/**
 * What the participant writes into its durable log. Numbers are big-endian; u53 is a whole number in eight bytes; a key is
 * a u16 length and its bytes.
 *
 *     head       | format u8 = 1 | prefixes of the unique rules: count u8, then a key each |
 *     prepared   | txid 16 | branch u8 | prepared at u53, ms since 1970, for people |
 *                | locks: count u32, then each  | mode u8: 0 shared, 1 exclusive | form u8 | from key | to key, if form is 1 |
 *                | effects: count u32, then each | key | put u8: 0 removes, 1 puts | value, if put: length u32, bytes |
 *     inDoubt    | as prepared |
 *     committed  | txid 16 |
 *     aborted    | txid 16 |
 *     refused    | txid 16 | why u8, see Refusal |
 *     forgotten  | before u53, ms since 1970 |
 *
 * The form of a lock's span: 0 one key, 1 a range, 2 a range without end.
 *
 * A checkpoint writes a head, and behind it all branches that are in doubt at that moment, as inDoubt; then everything that
 * was committed before goes into the store in one step, with the position of this head as its mark; then what lies before
 * the head may go.
 *
 * Recovery rule: what lies before the store's mark does not count. At the mark there must be a head, or log and store do
 * not belong together; without a mark the log's first record must be one. From there, in order: a prepared or inDoubt
 * branch is in doubt until its committed, whose effects are then data (again: to repeat them is harmless, since all later
 * ones follow), or its aborted. Outcomes, refusals and the watermark become keys of the data. At the end, before anything
 * is admitted, those in doubt take their locks back.
 */
export const RecordType = {
  head: 1,
  prepared: 2,
  inDoubt: 3,
  committed: 4,
  aborted: 5,
  refused: 6,
  forgotten: 7,
} as const

export const FORMAT = 1

/** Why a branch that never voted commit will never do so. The numbers are on disk. */
export const Refusal = {
  /** GLOBAL-ABORT came before any PREPARE. */
  abortedBefore: 1,
  notBelowZero: 2,
  compareAndSet: 3,
  unique: 4,
  /** An error within the branch: deadlock, timeout, or a wrong call. */
  poisoned: 5,
  /** Work of the branch was still under way at PREPARE. */
  busy: 6,
  tooLarge: 7,
  /** PREPARE came for a branch that was never begun here, or was lost in a restart. */
  unknown: 8,
} as const
export type RefusalReason = keyof typeof Refusal

export interface Effect {
  readonly key: string
  /** Undefined removes the key. */
  readonly value: Buffer | undefined
}

/** A branch that has voted commit, and does not know the outcome. */
export interface PreparedRow {
  readonly txid: Txid
  readonly branch: BranchId
  readonly preparedAtMs: number
  readonly locks: readonly HeldLock[]
  readonly effects: readonly Effect[]
}

export type KvRecord =
  | { readonly kind: 'head'; readonly uniquePrefixes: readonly string[] }
  | { readonly kind: 'prepared' | 'inDoubt'; readonly row: PreparedRow }
  | { readonly kind: 'committed' | 'aborted'; readonly txid: Txid }
  | { readonly kind: 'refused'; readonly txid: Txid; readonly reason: RefusalReason }
  | { readonly kind: 'forgotten'; readonly beforeMs: number }

/** The type and payload for the log. */
export function encodeRecord(record: KvRecord): { readonly type: number; readonly payload: Buffer } {
  const writer = new ByteWriter()
  switch (record.kind) {
    case 'head':
      writer.u8(FORMAT)
      writer.u8(record.uniquePrefixes.length)
      for (const prefix of record.uniquePrefixes) writeKey(writer, prefix)
      break
    case 'prepared':
    case 'inDoubt':
      writeRow(writer, record.row)
      break
    case 'forgotten':
      writer.u53(record.beforeMs)
      break
    case 'refused':
      writeTxid(writer, record.txid)
      writer.u8(Refusal[record.reason])
      break
    default:
      writeTxid(writer, record.txid)
  }
  return { type: RecordType[record.kind], payload: writer.finish() }
}

/** @throws KvLogMalformedError when it is not what `encodeRecord` writes */
export function decodeRecord(type: number, payload: Uint8Array): KvRecord {
  const reader = new ByteReader(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength))
  try {
    const record = readRecord(type, reader)
    reader.finish()
    return record
  } catch (error) {
    if (!(error instanceof CodecError)) throw error
    throw new KvLogMalformedError(`a record of type ${type}: ${error.message}`, { cause: error })
  }
}

function readRecord(type: number, reader: ByteReader): KvRecord {
  switch (type) {
    case RecordType.head: {
      const format = reader.u8()
      if (format !== FORMAT) throw new CodecError(`format ${format} of the participant's log, and this is ${FORMAT}`)
      return { kind: 'head', uniquePrefixes: repeat(reader.u8(), () => readKey(reader)) }
    }
    case RecordType.prepared:
      return { kind: 'prepared', row: readRow(reader) }
    case RecordType.inDoubt:
      return { kind: 'inDoubt', row: readRow(reader) }
    case RecordType.committed:
      return { kind: 'committed', txid: readTxid(reader) }
    case RecordType.aborted:
      return { kind: 'aborted', txid: readTxid(reader) }
    case RecordType.refused:
      return { kind: 'refused', txid: readTxid(reader), reason: refusalOf(reader.u8()) }
    case RecordType.forgotten:
      return { kind: 'forgotten', beforeMs: reader.u53() }
    default:
      throw new CodecError('the type is unknown')
  }
}

/** The word for a number of `Refusal`. @throws CodecError */
export function refusalOf(number: number): RefusalReason {
  const found = Object.entries(Refusal).find(([, value]) => value === number)
  if (found === undefined) throw new CodecError(`a refusal of the unknown kind ${number}`)
  return found[0] as RefusalReason
}

function writeRow(writer: ByteWriter, row: PreparedRow): void {
  writeTxid(writer, row.txid)
  writer.u8(row.branch)
  writer.u53(row.preparedAtMs)
  writer.u32(row.locks.length)
  for (const { span, mode } of row.locks) {
    writer.u8(mode === 'exclusive' ? 1 : 0)
    writeSpan(writer, span)
  }
  writer.u32(row.effects.length)
  for (const { key, value } of row.effects) {
    writeKey(writer, key)
    writer.u8(value === undefined ? 0 : 1)
    if (value !== undefined) writer.bytes(value)
  }
}

function readRow(reader: ByteReader): PreparedRow {
  const txid = readTxid(reader)
  const branch = branchOf(reader.u8())
  const preparedAtMs = reader.u53()
  const locks = repeat(reader.u32(), (): HeldLock => {
    const mode = readFlag(reader) ? 'exclusive' : 'shared'
    return { mode, span: readSpan(reader) }
  })
  const effects = repeat(reader.u32(), (): Effect => {
    const key = readKey(reader)
    return { key, value: readFlag(reader) ? Buffer.from(reader.bytes()) : undefined }
  })
  return { txid, branch, preparedAtMs, locks, effects }
}

function writeSpan(writer: ByteWriter, { from, to }: Span): void {
  const form = to === undefined ? 2 : to === `${from}\0` ? 0 : 1
  writer.u8(form)
  writeKey(writer, from)
  if (form === 1) writeKey(writer, to!)
}

function readSpan(reader: ByteReader): Span {
  const form = reader.u8()
  const from = readKey(reader)
  if (form === 0) return keySpan(from)
  if (form === 2) return rangeSpan(from, undefined)
  if (form !== 1) throw new CodecError(`a span of the unknown form ${form}`)
  const to = readKey(reader)
  if (from >= to) throw new CodecError('a range without room for a key')
  return rangeSpan(from, to)
}

function writeKey(writer: ByteWriter, key: string): void {
  writer.u16(key.length)
  writer.raw(Buffer.from(key, 'latin1'))
}

function readKey(reader: ByteReader): string {
  return reader.raw(reader.u16()).toString('latin1')
}

function writeTxid(writer: ByteWriter, txid: Txid): void {
  const at = writer.reserve(16)
  txidToBytes(txid, writer.target, at)
}

function readTxid(reader: ByteReader): Txid {
  return txidFromBytes(reader.buffer, reader.take(16))
}

function readFlag(reader: ByteReader): boolean {
  const flag = reader.u8()
  if (flag > 1) throw new CodecError(`${flag} is no flag`)
  return flag === 1
}

function branchOf(number: number): BranchId {
  if (number > 63) throw new CodecError(`${number} is no branch`)
  return parseBranchId(number)
}

/** Reads `count` times; a count that is not true fails at the end of the bytes, before it takes much memory. */
function repeat<T>(count: number, read: () => T): T[] {
  const items: T[] = []
  for (let i = 0; i < count; i++) items.push(read())
  return items
}
