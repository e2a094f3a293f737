import fc from 'fast-check'
import type { BranchId, Txid } from '../base/index.ts'
import { START_MS, txidOf } from './fixtures.test-support.ts'
import { BUCKET_SPAN_MS } from './outcome-table.ts'
import { ABORT_REASONS } from './outcome-word.ts'
import type { BranchRecord, LedgerCommand } from './types.ts'

/** Few, so that records collide; spread over some spans of the outcome table, so that watermarks cut between them. */
export const TXIDS: readonly Txid[] = Array.from({ length: 6 }, (_, n) => txidOf(n, n * (BUCKET_SPAN_MS / 2) + n))

const txid = fc.constantFrom(...TXIDS)
const branchId = fc.integer({ min: 0, max: 2 }).map((n) => n as BranchId)

const branch: fc.Arbitrary<BranchRecord> = fc.record({
  branch: branchId,
  kind: fc.constantFrom('local' as const, 'service' as const),
  participant: fc.constantFrom('flights', 'hotels'),
  vote: fc.constantFrom(undefined, 'commit' as const, 'readOnly' as const),
  evidence: fc.option(fc.string({ maxLength: 4 }), { nil: undefined }),
})

/** Mostly one of two lists, so that retries agree; else anything. */
const branches: fc.Arbitrary<BranchRecord[]> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(branch, branch).map(([a, b]) => [fixed(a, 0, 'flights'), fixed(b, 1, 'hotels')]) },
  { weight: 1, arbitrary: fc.uniqueArray(branch, { selector: (one) => one.branch, maxLength: 3 }) },
)

function fixed(random: BranchRecord, n: number, participant: string): BranchRecord {
  return { ...random, branch: n as BranchId, kind: 'local', participant }
}

/** Any command about the few txids. */
export const command: fc.Arbitrary<LedgerCommand> = fc.oneof(
  fc.record({ kind: fc.constant('prepared' as const), txid, timeoutMs: fc.nat(), branches }),
  fc.record({ kind: fc.constant('commit' as const), txid, branches: fc.option(branches, { nil: undefined }) }),
  fc.record({
    kind: fc.constant('aborted' as const),
    txid,
    reason: fc.constantFrom(...ABORT_REASONS),
    participant: fc.constantFrom(undefined, 'flights', 'hotels'),
    branches: fc.oneof(fc.constant([]), branches),
  }),
  fc.record({ kind: fc.constant('completed' as const), txids: fc.array(txid, { maxLength: 3 }) }),
  fc.record({
    kind: fc.constant('heuristic' as const),
    txid,
    branch: branchId,
    found: fc.constantFrom('committed' as const, 'aborted' as const, 'none' as const),
  }),
  fc.record({
    kind: fc.constant('watermark' as const),
    beforeMs: fc.nat({ max: 4 * BUCKET_SPAN_MS }).map((afterMs) => START_MS + afterMs),
  }),
  fc.record({
    kind: fc.constant('guard' as const),
    beforeMs: fc.oneof(
      fc.constant(0),
      fc.nat({ max: 4 * BUCKET_SPAN_MS }).map((afterMs) => START_MS + afterMs),
    ),
    reason: fc.constant('a test'),
  }),
  fc.record({
    kind: fc.constant('settle' as const),
    txid,
    branch: branchId,
    action: fc.constantFrom('commit' as const, 'abort' as const),
    by: fc.constantFrom('ann', 'bob'),
    reason: fc.constant('a test'),
    evidence: fc.string({ maxLength: 4 }),
    atMs: fc.nat(),
  }),
  fc.record({
    kind: fc.constant('settled' as const),
    txid,
    branch: branchId,
    found: fc.constantFrom('committed' as const, 'aborted' as const, 'none' as const),
  }),
  fc.record({
    kind: fc.constant('acknowledged' as const),
    txid,
    by: fc.constant('ann'),
    reason: fc.constant('seen'),
    atMs: fc.nat(),
  }),
)

/** Much about two branches of one transaction: what operators do before and after its decision, and its end. */
export const settlementLog: fc.Arbitrary<LedgerCommand[]> = fc.array(
  command.map((each): LedgerCommand => {
    const one = TXIDS[1]!
    if ('txids' in each) return { ...each, txids: [one] }
    if ('txid' in each && 'branch' in each) return { ...each, txid: one, branch: (each.branch % 2) as BranchId }
    return 'txid' in each ? { ...each, txid: one } : each
  }),
  { maxLength: 30, size: 'max' },
)

/** A log: what one fleet might ever have written, and much that no correct one would. */
export const log: fc.Arbitrary<LedgerCommand[]> = fc.array(command, { maxLength: 40, size: 'max' })
