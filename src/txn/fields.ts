import { BRANCHES_MAX, type BranchId, type ByteReader, type ByteWriter, CodecError, type Txid } from '../base/index.ts'
import { BRANCH_KINDS, branchesAreDistinct } from './branches.ts'
import { TxidKey, textOfWords } from './txid-key.ts'
import type { BranchRecord } from './types.ts'

// The fields that log entries (command-codec.ts) and snapshots (snapshot-format.ts) share:
//
//     txid       16 bytes, a UUIDv7
//     branches   u8 count | branch × count                        (no number twice)
//     branch     u8 number | u8 flags | text participant | [text evidence]
//     flags      bits 0-1 kind, bits 2-3 vote (0 none, 1 commit, 2 readOnly), bit 4 evidence follows, others 0
//     text       u16 bytes | UTF-8
//
// Each `read…` validates, and throws CodecError and nothing else.

/** What was found of a branch; the place is the number in log entries and snapshots. Append only. */
export const FOUND = ['committed', 'aborted', 'none'] as const

/** What an operator may order; the place is the number in log entries. */
export const ORDERED = ['commit', 'abort'] as const

/** What an operator may do; the place is the number in snapshots, and in log entries. Append only. */
export const ACTIONS = [...ORDERED, 'acknowledge'] as const

const TXID_BYTES = 16
const VOTES = [undefined, 'commit', 'readOnly'] as const satisfies readonly BranchRecord['vote'][]
const EVIDENCE_FLAG = 0x10
const FLAGS_KNOWN = 0x1f

const key = new TxidKey()

export function writeBranches(writer: ByteWriter, branches: readonly BranchRecord[]): void {
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

export function readBranches(reader: ByteReader): BranchRecord[] {
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

export function writeTxid(writer: ByteWriter, txid: Txid): void {
  key.read(txid)
  const at = writer.reserve(TXID_BYTES)
  writer.target.writeInt32BE(key.w0, at)
  writer.target.writeInt32BE(key.w1, at + 4)
  writer.target.writeInt32BE(key.w2, at + 8)
  writer.target.writeInt32BE(key.w3, at + 12)
}

export function readTxid(reader: ByteReader): Txid {
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

export function writeWhole(writer: ByteWriter, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new CodecError(`${value} is no whole number of milliseconds`)
  writer.u53(value)
}

export function checkedNumber(branch: number): BranchId {
  if (!Number.isInteger(branch) || branch < 0 || branch >= BRANCHES_MAX) {
    throw new CodecError(`branch number ${branch}; numbers go from 0 to ${BRANCHES_MAX - 1}`)
  }
  return branch as BranchId
}

export function readFlag(reader: ByteReader): boolean {
  const flag = reader.u8()
  if (flag > 1) throw new CodecError(`a flag of ${flag}; only 0 and 1 have a meaning`)
  return flag === 1
}

export function pick<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index]
  if (value === undefined) throw new CodecError(`${what} number ${index} is unknown`)
  return value
}

/** Apart from `pick`, because here undefined is a value: the vote that PREPARE must still ask for. */
function pickVote(index: number): BranchRecord['vote'] {
  if (index >= VOTES.length) throw new CodecError(`vote number ${index} is unknown`)
  return VOTES[index]
}
