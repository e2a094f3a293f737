import { ByteReader, ByteWriter, CodecError, type Txid, txidFromBytes, txidToBytes } from '../../base/index.ts'
import type { KvValue } from '../constraints/index.ts'
import { decodeValue, encodeValue } from '../engine/values.ts'
import type { KvAnswer, KvOutcome, KvRequest, KvStatement } from './messages.ts'

/**
 * The payloads of kvCall and kvAnswer (docs/protocol.md). Numbers are big-endian, a text is a u16 length and UTF-8, a value is a
 * u32 length and its bytes as they are stored, and a `?` is preceded by a flag.
 *
 *     request  | kind u8 | fields |
 *       1 begin    ticket text            5 abort    txid 16
 *       2 work     txid 16, statement     6 settle   txid 16
 *       3 alone    txid 16, statement     7 explain  txid 16
 *       4 commit   txid 16                8 status
 *
 *     statement | kind u8 | fields |
 *       1 get      key text               4 delete         key text
 *       2 scan     from text?, to text?, prefix text?, limit u32?
 *       3 put      key text, value        5 add            key text, amount f64
 *                                         6 compareAndSet  key text, expected value?, value?
 *
 *     answer   | kind u8 | fields |
 *       1 done                            5 outcome  u8: 0 committed, 1 aborted, 2 unknown
 *       2 value    value?                 6 text     u32 length, UTF-8
 *       3 flag     u8                     7 refused  code text, message text, retryable u8
 *       4 page     count u32, then each | key text | value |, next text?
 */
const RequestKind = { begin: 1, work: 2, alone: 3, commit: 4, abort: 5, settle: 6, explain: 7, status: 8 } as const
const StatementKind = { get: 1, scan: 2, put: 3, delete: 4, add: 5, compareAndSet: 6 } as const
const AnswerKind = { done: 1, value: 2, flag: 3, page: 4, outcome: 5, text: 6, refused: 7 } as const
const OUTCOMES: readonly KvOutcome[] = ['committed', 'aborted', 'unknown']

/** Words for people: the tail of an endless one is cut, so that a refusal can always be sent. */
const MESSAGE_LENGTH_MAX = 4000

/** @throws KvInvalidError for a value that can't be, CodecError for a text that does not fit */
export function encodeRequest(request: KvRequest): Buffer {
  const writer = new ByteWriter()
  writer.u8(RequestKind[request.kind])
  if (request.kind === 'begin') writer.text(request.ticket)
  else if (request.kind !== 'status') writeTxid(writer, request.txid)
  if (request.kind === 'work' || request.kind === 'alone') writeStatement(writer, request.statement)
  return writer.finish()
}

/** @throws CodecError when it is not what `encodeRequest` writes */
export function decodeRequest(payload: Uint8Array): KvRequest {
  return whole(payload, (reader) => {
    const kind = wordOf(RequestKind, reader.u8(), 'request')
    switch (kind) {
      case 'begin':
        return { kind, ticket: reader.text() }
      case 'status':
        return { kind }
      case 'work':
      case 'alone':
        return { kind, txid: readTxid(reader), statement: readStatement(reader) }
      default:
        return { kind, txid: readTxid(reader) }
    }
  })
}

export function encodeAnswer(answer: KvAnswer): Buffer {
  const writer = new ByteWriter()
  writer.u8(AnswerKind[answer.kind])
  switch (answer.kind) {
    case 'done':
      break
    case 'value':
      writeOptional(writer, answer.value, writeValue)
      break
    case 'flag':
      writer.u8(answer.flag ? 1 : 0)
      break
    case 'page':
      writer.u32(answer.entries.length)
      for (const { key, value } of answer.entries) {
        writer.text(key)
        writeValue(writer, value)
      }
      writeOptional(writer, answer.next, writeText)
      break
    case 'outcome':
      writer.u8(OUTCOMES.indexOf(answer.outcome))
      break
    case 'text':
      writer.bytes(Buffer.from(answer.text))
      break
    default:
      writer.text(answer.code)
      writer.text(answer.message.slice(0, MESSAGE_LENGTH_MAX))
      writer.u8(answer.retryable ? 1 : 0)
  }
  return writer.finish()
}

/** @throws CodecError when it is not what `encodeAnswer` writes */
export function decodeAnswer(payload: Uint8Array): KvAnswer {
  return whole(payload, (reader): KvAnswer => {
    const kind = wordOf(AnswerKind, reader.u8(), 'answer')
    switch (kind) {
      case 'done':
        return { kind }
      case 'value':
        return { kind, value: readOptional(reader, readValue) }
      case 'flag':
        return { kind, flag: readFlag(reader) }
      case 'page': {
        const entries = []
        for (let left = reader.u32(); left > 0; left--) entries.push({ key: reader.text(), value: readValue(reader) })
        return { kind, entries, next: readOptional(reader, readText) }
      }
      case 'outcome': {
        const outcome = OUTCOMES[reader.u8()]
        if (outcome === undefined) throw new CodecError('an unknown outcome')
        return { kind, outcome }
      }
      case 'text':
        return { kind, text: reader.bytes().toString() }
      default:
        return { kind, code: reader.text(), message: reader.text(), retryable: readFlag(reader) }
    }
  })
}

function writeStatement(writer: ByteWriter, statement: KvStatement): void {
  writer.u8(StatementKind[statement.kind])
  if (statement.kind === 'scan') {
    for (const bound of [statement.from, statement.to, statement.prefix]) writeOptional(writer, bound, writeText)
    writeOptional(writer, statement.limit, (into, limit) => into.u32(limit))
    return
  }
  writer.text(statement.key)
  if (statement.kind === 'put') writeValue(writer, statement.value)
  if (statement.kind === 'add') writeNumber(writer, statement.amount)
  if (statement.kind !== 'compareAndSet') return
  writeOptional(writer, statement.expected, writeValue)
  writeOptional(writer, statement.value, writeValue)
}

function readStatement(reader: ByteReader): KvStatement {
  const kind = wordOf(StatementKind, reader.u8(), 'statement')
  switch (kind) {
    case 'scan': {
      const [from, to, prefix] = [0, 0, 0].map(() => readOptional(reader, readText))
      return { kind, from, to, prefix, limit: readOptional(reader, (source) => source.u32()) }
    }
    case 'put':
      return { kind, key: reader.text(), value: readValue(reader) }
    case 'add':
      return { kind, key: reader.text(), amount: readNumber(reader) }
    case 'compareAndSet': {
      const key = reader.text()
      return { kind, key, expected: readOptional(reader, readValue), value: readOptional(reader, readValue) }
    }
    default:
      return { kind, key: reader.text() }
  }
}

function whole<T>(payload: Uint8Array, read: (reader: ByteReader) => T): T {
  const reader = new ByteReader(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength))
  const result = read(reader)
  reader.finish()
  return result
}

function wordOf<Word extends string>(kinds: Readonly<Record<Word, number>>, number: number, what: string): Word {
  const found = Object.entries(kinds).find(([, value]) => value === number)
  if (found === undefined) throw new CodecError(`a ${what} of the unknown kind ${number}`)
  return found[0] as Word
}

function writeValue(writer: ByteWriter, value: KvValue): void {
  writer.bytes(encodeValue(value))
}

function readValue(reader: ByteReader): KvValue {
  const stored = reader.bytes()
  try {
    return decodeValue(stored)
  } catch (cause) {
    throw new CodecError('a value that is none', { cause })
  }
}

function writeNumber(writer: ByteWriter, value: number): void {
  const at = writer.reserve(8)
  writer.target.writeDoubleBE(value, at)
}

function readNumber(reader: ByteReader): number {
  return reader.buffer.readDoubleBE(reader.take(8))
}

function writeText(writer: ByteWriter, text: string): void {
  writer.text(text)
}

function readText(reader: ByteReader): string {
  return reader.text()
}

function writeOptional<T>(
  writer: ByteWriter,
  value: T | undefined,
  write: (writer: ByteWriter, value: T) => void,
): void {
  writer.u8(value === undefined ? 0 : 1)
  if (value !== undefined) write(writer, value)
}

function readOptional<T>(reader: ByteReader, read: (reader: ByteReader) => T): T | undefined {
  return readFlag(reader) ? read(reader) : undefined
}

function readFlag(reader: ByteReader): boolean {
  const flag = reader.u8()
  if (flag > 1) throw new CodecError(`a flag is 0 or 1, not ${flag}`)
  return flag === 1
}

function writeTxid(writer: ByteWriter, txid: Txid): void {
  const at = writer.reserve(16)
  txidToBytes(txid, writer.target, at)
}

function readTxid(reader: ByteReader): Txid {
  const at = reader.take(16)
  const bytes = reader.buffer
  // RFC 9562: version 7 in byte 6, variant 10 in byte 8.
  if (bytes[at + 6]! >> 4 !== 7 || bytes[at + 8]! >> 6 !== 2) throw new CodecError('a txid that is not a UUIDv7')
  return txidFromBytes(bytes, at)
}
