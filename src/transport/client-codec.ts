import type { ByteReader, ByteWriter } from '../base/index.ts'
import {
  readBranches,
  readBranchId,
  readBranchIds,
  readClusterId,
  readFlag,
  readLongText,
  readOptional,
  readText,
  readTxid,
  readWord,
  writeBranches,
  writeBranchIds,
  writeDurationMs,
  writeFlag,
  writeLongText,
  writeOptional,
  writeText,
  writeTxid,
  writeWord,
} from './fields.ts'
import type { ClientMessage } from './messages.ts'

type Of<Kind extends ClientMessage['kind']> = Extract<ClientMessage, { kind: Kind }>

/** Every vote that travels by itself; the branch records of a commit have their own list, without `abort`. */
const VOTES = ['commit', 'abort', 'readOnly'] as const

export function writeCommit(writer: ByteWriter, message: Of<'commit'>): void {
  writer.u53(message.requestId)
  writer.text(message.clusterId)
  writeTxid(writer, message.txid)
  writeDurationMs(writer, message.timeoutMs)
  writeBranches(writer, message.branches)
}

export function readCommit(reader: ByteReader): Of<'commit'> {
  return {
    kind: 'commit',
    requestId: reader.u53(),
    clusterId: readClusterId(reader),
    txid: readTxid(reader),
    timeoutMs: reader.u53(),
    branches: readBranches(reader),
  }
}

export function writeAbort(writer: ByteWriter, message: Of<'abort'>): void {
  writer.u53(message.requestId)
  writer.text(message.clusterId)
  writeTxid(writer, message.txid)
  writeOptional(writer, message.participant, writeText)
  writeBranches(writer, message.branches)
}

export function readAbort(reader: ByteReader): Of<'abort'> {
  return {
    kind: 'abort',
    requestId: reader.u53(),
    clusterId: readClusterId(reader),
    txid: readTxid(reader),
    participant: readOptional(reader, readText),
    branches: readBranches(reader),
  }
}

export function writeAck(writer: ByteWriter, message: Of<'ack'>): void {
  writeTxid(writer, message.txid)
  writeBranchIds(writer, message.branches)
}

export function readAck(reader: ByteReader): Of<'ack'> {
  return { kind: 'ack', txid: readTxid(reader), branches: readBranchIds(reader) }
}

export function writeInquire(writer: ByteWriter, message: Of<'inquire'>): void {
  writer.u53(message.requestId)
  writer.text(message.clusterId)
  writeTxid(writer, message.txid)
  writeFlag(writer, message.settle)
}

export function readInquire(reader: ByteReader): Of<'inquire'> {
  return {
    kind: 'inquire',
    requestId: reader.u53(),
    clusterId: readClusterId(reader),
    txid: readTxid(reader),
    settle: readFlag(reader),
  }
}

export function writeAdmin(writer: ByteWriter, message: Of<'admin'>): void {
  writer.u53(message.requestId)
  writer.text(message.method)
  writeLongText(writer, message.json)
}

export function readAdmin(reader: ByteReader): Of<'admin'> {
  return { kind: 'admin', requestId: reader.u53(), method: reader.text(), json: readLongText(reader) }
}

export function writeVote(writer: ByteWriter, message: Of<'vote'>): void {
  writeTxid(writer, message.txid)
  writer.u8(message.branch)
  writeWord(writer, VOTES, message.vote)
  writeOptional(writer, message.evidence, writeText)
}

export function readVote(reader: ByteReader): Of<'vote'> {
  return {
    kind: 'vote',
    txid: readTxid(reader),
    branch: readBranchId(reader),
    vote: readWord(reader, VOTES, 'vote'),
    evidence: readOptional(reader, readText),
  }
}
