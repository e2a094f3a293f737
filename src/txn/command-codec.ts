import { ByteReader, type ByteWriter, CodecError, type Txid, unreachable } from '../base/index.ts'
import {
  ACTIONS,
  checkedNumber,
  FOUND,
  ORDERED,
  pick,
  readBranches,
  readFlag,
  readTxid,
  writeBranches,
  writeTxid,
  writeWhole,
} from './fields.ts'
import { ABORT_REASONS } from './outcome-word.ts'
import type { LedgerCommand } from './types.ts'

/**
 * One Raft entry carries the commands of one turn:
 *
 * ```
 * entry      u8 version = 1 | u32 count | command × count
 * command    u8 kind, then by kind:
 *   1 prepared            txid | u53 timeoutMs | branches
 *   2 commit              txid | branches
 *   3 commit as prepared  txid                                  (branches undefined)
 *   4 aborted             txid | u8 reason | u8 named? [text participant] | branches
 *   5 completed           u32 count | txid × count
 *   6 heuristic           txid | u8 branch | u8 found
 *   7 watermark           u53 beforeMs
 *   8 guard               u53 beforeMs | text reason              (since 0.2)
 *   9 settle              txid | u8 branch | u8 action | text by | text reason | text evidence | u53 atMs   (since 0.3)
 *  10 settled             txid | u8 branch | u8 found             (since 0.3)
 *  11 acknowledged        txid | text by | text reason | u53 atMs (since 0.3)
 * ```
 *
 * txid, branches and text are drawn in fields.ts.
 *
 * Recovery: none. The log's checksums guard the bytes, so an entry that does not decode was written by a newer version
 * or by a bug; the node must stop, because skipping it would make replicas differ.
 */
const VERSION = 1

const PREPARED = 1
const COMMIT = 2
const COMMIT_AS_PREPARED = 3
const ABORTED = 4
const COMPLETED = 5
const HEURISTIC = 6
const WATERMARK = 7
const GUARD = 8
const SETTLE = 9
const SETTLED = 10
const ACKNOWLEDGED = 11

/**
 * Appends the commands as one log entry's payload. Apply what decodeCommands gives back for these bytes, on the leader
 * too: a text with a lone surrogate reads back changed, and all replicas must see the same.
 *
 * @throws CodecError when a command cannot be written down: a number that is not whole, too many branches, one twice, a
 * text beyond 65535 bytes. The writer then holds half a command: throw it away.
 */
export function encodeCommands(commands: readonly LedgerCommand[], writer: ByteWriter): void {
  writer.u8(VERSION)
  writer.u32(commands.length)
  for (const command of commands) encodeCommand(command, writer)
}

/**
 * Reads what encodeCommands wrote. The commands share no memory with `buffer`.
 *
 * @throws CodecError and nothing else, whatever the bytes are
 */
export function decodeCommands(buffer: Uint8Array): LedgerCommand[] {
  const bytes = Buffer.isBuffer(buffer) ? buffer : Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength)
  const reader = new ByteReader(bytes)
  const version = reader.u8()
  if (version !== VERSION) {
    throw new CodecError(
      `a ledger entry of format version ${version}; this program reads version ${VERSION}. Run the newer version on this node`,
    )
  }
  const count = reader.u32()
  const commands: LedgerCommand[] = []
  // The count is not trusted for an allocation; a wrong one runs into the end.
  for (let i = 0; i < count; i++) commands.push(decodeCommand(reader))
  reader.finish()
  return commands
}

function encodeCommand(command: LedgerCommand, writer: ByteWriter): void {
  switch (command.kind) {
    case 'prepared':
      writer.u8(PREPARED)
      writeTxid(writer, command.txid)
      writeWhole(writer, command.timeoutMs)
      writeBranches(writer, command.branches)
      break
    case 'commit':
      writer.u8(command.branches === undefined ? COMMIT_AS_PREPARED : COMMIT)
      writeTxid(writer, command.txid)
      if (command.branches !== undefined) writeBranches(writer, command.branches)
      break
    case 'aborted':
      writer.u8(ABORTED)
      writeTxid(writer, command.txid)
      writer.u8(ABORT_REASONS.indexOf(command.reason))
      writer.u8(command.participant === undefined ? 0 : 1)
      if (command.participant !== undefined) writer.text(command.participant)
      writeBranches(writer, command.branches)
      break
    case 'completed':
      writer.u8(COMPLETED)
      writer.u32(command.txids.length)
      for (const txid of command.txids) writeTxid(writer, txid)
      break
    case 'heuristic':
      writer.u8(HEURISTIC)
      writeTxid(writer, command.txid)
      writer.u8(checkedNumber(command.branch))
      writer.u8(FOUND.indexOf(command.found))
      break
    case 'watermark':
      writer.u8(WATERMARK)
      writeWhole(writer, command.beforeMs)
      break
    case 'guard':
      writer.u8(GUARD)
      writeWhole(writer, command.beforeMs)
      writer.text(command.reason)
      break
    case 'settle':
      writer.u8(SETTLE)
      writeTxid(writer, command.txid)
      writer.u8(checkedNumber(command.branch))
      writer.u8(ACTIONS.indexOf(command.action))
      writer.text(command.by)
      writer.text(command.reason)
      writer.text(command.evidence)
      writeWhole(writer, command.atMs)
      break
    case 'settled':
      writer.u8(SETTLED)
      writeTxid(writer, command.txid)
      writer.u8(checkedNumber(command.branch))
      writer.u8(FOUND.indexOf(command.found))
      break
    case 'acknowledged':
      writer.u8(ACKNOWLEDGED)
      writeTxid(writer, command.txid)
      writer.text(command.by)
      writer.text(command.reason)
      writeWhole(writer, command.atMs)
      break
    default:
      unreachable(command)
  }
}

function decodeCommand(reader: ByteReader): LedgerCommand {
  const kind = reader.u8()
  switch (kind) {
    case PREPARED:
      return { kind: 'prepared', txid: readTxid(reader), timeoutMs: reader.u53(), branches: readBranches(reader) }
    case COMMIT:
      return { kind: 'commit', txid: readTxid(reader), branches: readBranches(reader) }
    case COMMIT_AS_PREPARED:
      return { kind: 'commit', txid: readTxid(reader), branches: undefined }
    case ABORTED:
      return {
        kind: 'aborted',
        txid: readTxid(reader),
        reason: pick(ABORT_REASONS, reader.u8(), 'abort reason'),
        participant: readFlag(reader) ? reader.text() : undefined,
        branches: readBranches(reader),
      }
    case COMPLETED:
      return { kind: 'completed', txids: readTxids(reader) }
    case HEURISTIC:
      return {
        kind: 'heuristic',
        txid: readTxid(reader),
        branch: checkedNumber(reader.u8()),
        found: pick(FOUND, reader.u8(), 'found outcome'),
      }
    case WATERMARK:
      return { kind: 'watermark', beforeMs: reader.u53() }
    case GUARD:
      return { kind: 'guard', beforeMs: reader.u53(), reason: reader.text() }
    case SETTLE:
      return {
        kind: 'settle',
        txid: readTxid(reader),
        branch: checkedNumber(reader.u8()),
        action: pick(ORDERED, reader.u8(), 'action'),
        by: reader.text(),
        reason: reader.text(),
        evidence: reader.text(),
        atMs: reader.u53(),
      }
    case SETTLED:
      return {
        kind: 'settled',
        txid: readTxid(reader),
        branch: checkedNumber(reader.u8()),
        found: pick(FOUND, reader.u8(), 'found outcome'),
      }
    case ACKNOWLEDGED:
      return {
        kind: 'acknowledged',
        txid: readTxid(reader),
        by: reader.text(),
        reason: reader.text(),
        atMs: reader.u53(),
      }
    default:
      throw new CodecError(`a ledger command of unknown kind ${kind}`)
  }
}

function readTxids(reader: ByteReader): Txid[] {
  const count = reader.u32()
  const txids: Txid[] = []
  for (let i = 0; i < count; i++) txids.push(readTxid(reader))
  return txids
}
