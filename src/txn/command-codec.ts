import {
  BRANCHES_MAX,
  type BranchId,
  ByteReader,
  type ByteWriter,
  CodecError,
  type Txid,
  unreachable,
} from '../base/index.ts'
import { BRANCH_KINDS, branchesAreDistinct } from './branches.ts'
import { ABORT_REASONS } from './outcome-word.ts'
import { TxidKey, textOfWords } from './txid-key.ts'
import type { BranchRecord, LedgerCommand } from './types.ts'

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
 * txid       16 bytes, a UUIDv7
 * branches   u8 count | branch × count                          (no number twice)
 * branch     u8 number | u8 flags | text participant | [text evidence]
 * flags      bits 0-1 kind, bits 2-3 vote (0 none, 1 commit, 2 readOnly), bit 4 evidence follows, others 0
 * text       u16 bytes | UTF-8
 * ```
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

const TXID_BYTES = 16
const VOTES = [undefined, 'commit', 'readOnly'] as const satisfies readonly BranchRecord['vote'][]
const FOUND = ['committed', 'aborted', 'none'] as const
const EVIDENCE_FLAG = 0x10
const FLAGS_KNOWN = 0x1f

const key = new TxidKey()

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
    default:
      throw new CodecError(`a ledger command of unknown kind ${kind}`)
  }
}

function writeBranches(writer: ByteWriter, branches: readonly BranchRecord[]): void {
  if (branches.length > BRANCHES_MAX || !branchesAreDistinct(branches)) {
    throw new CodecError(`a transaction has at most ${BRANCHES_MAX} branches, each with a number of its own`)
  }
  writer.u8(branches.length)
  for (const { branch, kind, participant, vote, evidence } of branches) {
    const flags = BRANCH_KINDS.indexOf(kind) | (VOTES.indexOf(vote) << 2)
    writer.u8(checkedNumber(branch))
    writer.u8(evidence === undefined ? flags : flags | EVIDENCE_FLAG)
    writer.text(participant)
    if (evidence !== undefined) writer.text(evidence)
  }
}

function readBranches(reader: ByteReader): BranchRecord[] {
  const count = reader.u8()
  const branches: BranchRecord[] = []
  for (let i = 0; i < count; i++) branches.push(readBranch(reader))
  if (!branchesAreDistinct(branches)) throw new CodecError('a ledger command names a branch twice')
  return branches
}

function readBranch(reader: ByteReader): BranchRecord {
  const branch = checkedNumber(reader.u8())
  const flags = reader.u8()
  if ((flags & ~FLAGS_KNOWN) !== 0) throw new CodecError(`a branch with unknown flags ${flags}`)
  return {
    branch,
    kind: pick(BRANCH_KINDS, flags & 3, 'branch kind'),
    participant: reader.text(),
    vote: pickVote((flags >> 2) & 3),
    evidence: (flags & EVIDENCE_FLAG) === 0 ? undefined : reader.text(),
  }
}

function writeTxid(writer: ByteWriter, txid: Txid): void {
  key.read(txid)
  const at = writer.reserve(TXID_BYTES)
  writer.target.writeInt32BE(key.w0, at)
  writer.target.writeInt32BE(key.w1, at + 4)
  writer.target.writeInt32BE(key.w2, at + 8)
  writer.target.writeInt32BE(key.w3, at + 12)
}

function readTxid(reader: ByteReader): Txid {
  const at = reader.take(TXID_BYTES)
  const { buffer } = reader
  // RFC 9562 §4.1, §4.2: the version's and the variant's bits.
  if (buffer[at + 6]! >> 4 !== 7 || buffer[at + 8]! >> 6 !== 2) throw new CodecError('a txid that is no UUIDv7')
  return textOfWords(
    buffer.readInt32BE(at),
    buffer.readInt32BE(at + 4),
    buffer.readInt32BE(at + 8),
    buffer.readInt32BE(at + 12),
  )
}

function readTxids(reader: ByteReader): Txid[] {
  const count = reader.u32()
  const txids: Txid[] = []
  for (let i = 0; i < count; i++) txids.push(readTxid(reader))
  return txids
}

function writeWhole(writer: ByteWriter, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new CodecError(`${value} is no whole number of milliseconds`)
  writer.u53(value)
}

function checkedNumber(branch: number): BranchId {
  if (!Number.isInteger(branch) || branch < 0 || branch >= BRANCHES_MAX) {
    throw new CodecError(`branch number ${branch}; numbers go from 0 to ${BRANCHES_MAX - 1}`)
  }
  return branch as BranchId
}

function readFlag(reader: ByteReader): boolean {
  const flag = reader.u8()
  if (flag > 1) throw new CodecError(`a flag of ${flag}; only 0 and 1 have a meaning`)
  return flag === 1
}

function pick<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index]
  if (value === undefined) throw new CodecError(`${what} number ${index} is unknown`)
  return value
}

/** Apart from `pick`, because here undefined is a value: the vote that PREPARE must still ask for. */
function pickVote(index: number): BranchRecord['vote'] {
  if (index >= VOTES.length) throw new CodecError(`vote number ${index} is unknown`)
  return VOTES[index]
}
