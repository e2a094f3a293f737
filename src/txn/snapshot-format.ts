import { BRANCHES_MAX, type ByteReader, type ByteWriter, CodecError } from '../base/index.ts'
import { branchesAreDistinct } from './branches.ts'
import {
  ACTIONS,
  checkedNumber,
  FOUND,
  pick,
  readBranches,
  readFlag,
  readTxid,
  writeBranches,
  writeTxid,
  writeWhole,
} from './fields.ts'
import { ABORT_REASONS, COMMITTED, NAME_UNITS_MAX, NAMES_MAX } from './outcome-word.ts'
import type { Finding, NotedTransaction, OpenTransaction } from './state.ts'
import type { Outcome, Settlement } from './types.ts'

/**
 * The ledger in a snapshot: blocks, in this order.
 *
 * ```
 * block      u8 type | u32 length | payload of so many bytes
 *
 *   1 head       once      u8 version = 1 | u53 watermarkMs | u53 committed | u53 aborted | guard: u53 fromMs | u53 beforeMs, 0 for none
 *   2 names      once      u16 count | text × count                       (participants, by the number in outcome words)
 *   3 finished   any       (u32 × 4 txid | u32 outcome word | u32 branch digest) × n, n from 1 to 2730
 *   4 open       each one  txid | u53 timeoutMs | outcome | branches | findings      (in the order of the log)
 *   5 noted      each one  txid | outcome | branches | u32 branch digest | findings
 *   7 settlement each one  txid | u8 branch | u8 action | u8 found, 3 for none yet | u8 standing, 0 for none | u8 acknowledged?
 *                          | text by | text reason | text evidence | u53 atMs     (since 0.3; in the order of the log)
 *   6 end        once      the digest of the ledger, 8 bytes
 *
 * outcome    u8: 0 none, 1 committed, 2 + n aborted for reason n, then u8 named? [text participant]
 * findings   u8 count | (u8 branch | u8 found) × count                     (no number twice)
 * ```
 *
 * txid, branches and text are drawn in fields.ts, the outcome word in outcome-word.ts.
 *
 * What can be derived is not written: how many prepare or wait for an operator, and what the watermark has forgotten.
 * Equal ledgers need not give equal bytes: the finished ones come in the order of a hash table, which depends on the
 * order in which they finished and on how often the table grew. The digest is what tells whether two are equal.
 *
 * Recovery: none. The reader computes the digest of what it read, so bytes that were changed, lost or exchanged are
 * refused as a whole; whoever stores a snapshot keeps the previous one until it has read this one.
 */
export const SNAPSHOT_VERSION = 1

export const BlockType = { head: 1, names: 2, finished: 3, open: 4, noted: 5, end: 6, settlement: 7 } as const
export type BlockType = (typeof BlockType)[keyof typeof BlockType]

/** type and length. */
export const BLOCK_HEAD_BYTES = 5
export const DIGEST_BYTES = 8
/** The words of a slot of the outcome table. */
export const ENTRY_BYTES = 24
/** In one block, which then fits in a piece. */
export const ENTRIES_MAX = 2730

const TEXT_BYTES_MAX = 2 + 0xffff
/** number, flags, participant and evidence. */
const BRANCH_BYTES_MAX = 2 + 2 * TEXT_BYTES_MAX
const OUTCOME_BYTES_MAX = 2 + TEXT_BYTES_MAX
const FINDINGS_BYTES_MAX = 1 + 2 * BRANCHES_MAX
/** A transaction with 64 branches, each with the longest texts: 8.2 MiB. */
const TRANSACTION_BYTES_MAX = 16 + 8 + OUTCOME_BYTES_MAX + 1 + BRANCHES_MAX * BRANCH_BYTES_MAX + FINDINGS_BYTES_MAX
const SETTLEMENT_BYTES_MAX = 16 + 5 + 3 * TEXT_BYTES_MAX + 8
/** UTF-8 needs three bytes at most for a unit of UTF-16. */
const NAME_BYTES_MAX = 2 + 3 * NAME_UNITS_MAX

/** The largest payload of each type, by its number: a longer one is refused before memory is taken for it. */
export const PAYLOAD_BYTES_MAX: readonly number[] = [
  0,
  1 + 5 * 8,
  2 + NAMES_MAX * NAME_BYTES_MAX,
  ENTRIES_MAX * ENTRY_BYTES,
  TRANSACTION_BYTES_MAX,
  TRANSACTION_BYTES_MAX,
  DIGEST_BYTES,
  SETTLEMENT_BYTES_MAX,
]

const NO_OUTCOME = 0
const COMMITTED_BYTE = 1
const ABORTED_BYTE = 2

export function writeOpen(writer: ByteWriter, open: OpenTransaction): void {
  writeTxid(writer, open.txid)
  writer.u53(open.timeoutMs)
  writeOutcome(writer, open.outcome)
  writeBranches(writer, open.branches)
  writeFindings(writer, open.findings)
}

export function readOpen(reader: ByteReader): OpenTransaction {
  return {
    txid: readTxid(reader),
    timeoutMs: reader.u53(),
    outcome: readOutcome(reader),
    branches: readBranches(reader),
    findings: readFindings(reader),
  }
}

export function writeNoted(writer: ByteWriter, noted: NotedTransaction): void {
  writeTxid(writer, noted.txid)
  writeOutcome(writer, noted.outcome)
  writeBranches(writer, noted.branches)
  writer.u32(noted.branchDigest >>> 0)
  writeFindings(writer, noted.findings)
}

export function readNoted(reader: ByteReader): NotedTransaction {
  return {
    txid: readTxid(reader),
    outcome: readOutcome(reader),
    branches: readBranches(reader),
    branchDigest: reader.u32() | 0,
    findings: readFindings(reader),
  }
}

/** The places are the numbers in snapshots. Append only. */
const FOUND_OR_NOT = [...FOUND, undefined] as const
const STANDINGS = [undefined, 'ordered', 'asDecided', 'against', 'undecided', 'unclear'] as const

export function writeSettlement(writer: ByteWriter, settlement: Settlement): void {
  const { txid, branch, action, found, standing, acknowledged, by, reason, evidence, atMs } = settlement
  writeTxid(writer, txid)
  writer.u8(branch)
  writer.u8(ACTIONS.indexOf(action))
  writer.u8(FOUND_OR_NOT.indexOf(found))
  writer.u8(STANDINGS.indexOf(standing))
  writer.u8(acknowledged ? 1 : 0)
  writer.text(by)
  writer.text(reason)
  writer.text(evidence)
  writeWhole(writer, atMs)
}

export function readSettlement(reader: ByteReader): Settlement {
  return {
    txid: readTxid(reader),
    branch: checkedNumber(reader.u8()),
    action: pick(ACTIONS, reader.u8(), 'action'),
    found: pickOptional(FOUND_OR_NOT, reader.u8(), 'found outcome'),
    standing: pickOptional(STANDINGS, reader.u8(), 'standing'),
    acknowledged: readFlag(reader),
    by: reader.text(),
    reason: reader.text(),
    evidence: reader.text(),
    atMs: reader.u53(),
  }
}

function pickOptional<T>(values: readonly T[], index: number, what: string): T {
  if (index >= values.length) throw new CodecError(`${what} number ${index} is unknown`)
  return values[index]!
}

function writeOutcome(writer: ByteWriter, outcome: Outcome | undefined): void {
  if (outcome?.kind !== 'aborted') {
    writer.u8(outcome === undefined ? NO_OUTCOME : COMMITTED_BYTE)
    return
  }
  writer.u8(ABORTED_BYTE + ABORT_REASONS.indexOf(outcome.reason))
  writer.u8(outcome.participant === undefined ? 0 : 1)
  if (outcome.participant !== undefined) writer.text(outcome.participant)
}

function readOutcome(reader: ByteReader): Outcome | undefined {
  const byte = reader.u8()
  if (byte === NO_OUTCOME) return undefined
  if (byte === COMMITTED_BYTE) return COMMITTED
  const reason = pick(ABORT_REASONS, byte - ABORTED_BYTE, 'abort reason')
  return { kind: 'aborted', reason, participant: readFlag(reader) ? reader.text() : undefined }
}

function writeFindings(writer: ByteWriter, findings: readonly Finding[]): void {
  writer.u8(findings.length)
  for (const { branch, found } of findings) {
    writer.u8(branch)
    writer.u8(FOUND.indexOf(found))
  }
}

function readFindings(reader: ByteReader): Finding[] {
  const count = reader.u8()
  const findings: Finding[] = []
  for (let i = 0; i < count; i++) {
    findings.push({ branch: checkedNumber(reader.u8()), found: pick(FOUND, reader.u8(), 'found outcome') })
  }
  if (!branchesAreDistinct(findings)) throw new CodecError('a branch has two findings')
  return findings
}
