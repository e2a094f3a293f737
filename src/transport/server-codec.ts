import type { ByteReader, ByteWriter } from '../base/index.ts'
import type { Knowledge } from '../txn/index.ts'
import {
  readBranchId,
  readFlag,
  readLeader,
  readLongText,
  readOptional,
  readText,
  readTxid,
  readWord,
  writeDurationMs,
  writeFlag,
  writeLeader,
  writeLongText,
  writeMessageText,
  writeOptional,
  writeText,
  writeTxid,
  writeWord,
} from './fields.ts'
import type { ServerMessage } from './messages.ts'

type Of<Kind extends ServerMessage['kind']> = Extract<ServerMessage, { kind: Kind }>

const KNOWLEDGE = ['committed', 'aborted', 'preparing', 'unknown', 'forgotten'] as const
const ABORT_REASONS = ['votedAbort', 'deadline', 'requested', 'presumed', 'unreachable'] as const
const DECISIONS = ['commit', 'abort'] as const

export function writeOutcome(writer: ByteWriter, message: Of<'outcome'>): void {
  writer.u53(message.requestId)
  writeTxid(writer, message.txid)
  const { outcome } = message
  writeWord(writer, KNOWLEDGE, outcome.kind)
  if (outcome.kind !== 'aborted') return
  writeWord(writer, ABORT_REASONS, outcome.reason)
  writeOptional(writer, outcome.participant, writeText)
}

export function readOutcome(reader: ByteReader): Of<'outcome'> {
  return { kind: 'outcome', requestId: reader.u53(), txid: readTxid(reader), outcome: readKnowledge(reader) }
}

function readKnowledge(reader: ByteReader): Knowledge {
  const kind = readWord(reader, KNOWLEDGE, 'outcome')
  if (kind !== 'aborted') return { kind }
  const reason = readWord(reader, ABORT_REASONS, 'abort reason')
  return { kind, reason, participant: readOptional(reader, readText) }
}

export function writeRefused(writer: ByteWriter, message: Of<'refused'>): void {
  writer.u53(message.requestId)
  writer.text(message.code)
  writeMessageText(writer, message.message)
  writeFlag(writer, message.retryable)
  writeOptional(writer, message.leader, writeLeader)
}

export function readRefused(reader: ByteReader): Of<'refused'> {
  return {
    kind: 'refused',
    requestId: reader.u53(),
    code: reader.text(),
    message: reader.text(),
    retryable: readFlag(reader),
    leader: readOptional(reader, readLeader),
  }
}

export function writeAdminResult(writer: ByteWriter, message: Of<'adminResult'>): void {
  writer.u53(message.requestId)
  writeLongText(writer, message.json)
}

export function readAdminResult(reader: ByteReader): Of<'adminResult'> {
  return { kind: 'adminResult', requestId: reader.u53(), json: readLongText(reader) }
}

export function writeLeaderChange(writer: ByteWriter, message: Of<'leader'>): void {
  writeOptional(writer, message.leader, writeLeader)
}

export function readLeaderChange(reader: ByteReader): Of<'leader'> {
  return { kind: 'leader', leader: readOptional(reader, readLeader) }
}

export function writePrepare(writer: ByteWriter, message: Of<'prepare'>): void {
  writeTxid(writer, message.txid)
  writer.u8(message.branch)
  writer.text(message.participant)
  writeDurationMs(writer, message.timeoutMs)
}

export function readPrepare(reader: ByteReader): Of<'prepare'> {
  return {
    kind: 'prepare',
    txid: readTxid(reader),
    branch: readBranchId(reader),
    participant: reader.text(),
    timeoutMs: reader.u53(),
  }
}

export function writeDecision(writer: ByteWriter, message: Of<'decision'>): void {
  writeTxid(writer, message.txid)
  writer.u8(message.branch)
  writeWord(writer, DECISIONS, message.decision)
}

export function readDecision(reader: ByteReader): Of<'decision'> {
  return {
    kind: 'decision',
    txid: readTxid(reader),
    branch: readBranchId(reader),
    decision: readWord(reader, DECISIONS, 'decision'),
  }
}
