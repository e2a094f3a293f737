import { assert, BRANCHES_MAX } from '../base/index.ts'
import { branchesAreDistinct, phaseTwoBranches } from './branches.ts'
import { isBehindWatermark } from './knowledge.ts'
import { BUCKET_SPAN_MS } from './outcome-table.ts'
import { countUndecided } from './settlements.ts'
import type { LedgerState, NotedTransaction, OpenTransaction } from './state.ts'
import type { BranchRecord } from './types.ts'

/**
 * Checks the numbered invariants of LedgerState. It visits everything, so it runs after each step in tests and in the
 * simulator, not in production.
 *
 * @throws InvariantError naming the first one that does not hold
 */
export function validateState(state: LedgerState): void {
  for (const open of state.open.values()) validateOpen(state, open)
  for (const noted of state.noted.values()) validateNoted(state, noted)
  validateCounts(state)
  validateSettlements(state)
  validateTable(state)
}

function validateOpen(state: LedgerState, open: OpenTransaction): void {
  assert(state.open.get(open.txid) === open, 'the map finds an open transaction under its txid')
  assert(state.finished.get(open.txid) === undefined, '1: an open transaction is not in the outcome table')
  assert(!state.noted.has(open.txid), '1: an open transaction is not noted as finished')
  if (open.outcome !== undefined) {
    assert(phaseTwoBranches(open.branches).length > 0, '3: a decided open transaction has a branch to tell')
  }
  validateBranches(open.branches)
  validateBranches(open.findings)
}

function validateNoted(state: LedgerState, noted: NotedTransaction): void {
  assert(noted.findings.length > 0, '7: a noted transaction has a finding')
  if (noted.outcome === undefined) {
    assert(isBehindWatermark(state, noted.txid), '7: a noted transaction without an outcome was forgotten')
  }
  const entry = state.finished.get(noted.txid)
  if (entry !== undefined) {
    assert(noted.outcome !== undefined, '7: a remembered outcome is noted too')
    assert(state.words.unpack(entry.word).kind === noted.outcome.kind, '7: the note and the table agree')
  }
  validateBranches(noted.branches)
  validateBranches(noted.findings)
}

function validateBranches(branches: readonly Pick<BranchRecord, 'branch'>[]): void {
  for (const { branch } of branches) {
    assert(Number.isInteger(branch) && branch >= 0 && branch < BRANCHES_MAX, '4: a branch number is below BRANCHES_MAX')
  }
  assert(branchesAreDistinct(branches), '4: no branch number occurs twice')
}

function validateCounts(state: LedgerState): void {
  let preparing = 0
  let heuristic = state.noted.size
  for (const { outcome, findings } of state.open.values()) {
    if (outcome === undefined) preparing++
    if (findings.length > 0) heuristic++
  }
  assert(state.preparingCount === preparing, '2: preparingCount counts the open ones without an outcome')
  assert(state.heuristicCount === heuristic, '8: heuristicCount counts the transactions with a finding')
  const decisions = state.committedCount + state.abortedCount
  const remembered = state.open.size - preparing + state.finished.count
  assert(decisions >= remembered, '9: every decided transaction was counted')
}

function validateSettlements({ settlements, undecidedSettlements }: LedgerState): void {
  const orders = settlements.filter(({ standing, acknowledged }) => standing === 'ordered' && !acknowledged)
  const branches = new Set(orders.map(({ txid, branch }) => `${txid}/${branch}`))
  assert(branches.size === orders.length, '11: no branch has two orders that wait')
  assert(undecidedSettlements === countUndecided(settlements), '11: what was forced without a decision is counted')
}

function validateTable(state: LedgerState): void {
  const { finished, watermarkMs } = state
  assert(Number.isSafeInteger(watermarkMs) && watermarkMs >= 0, '5: the watermark is a whole number')
  const { guard } = state
  assert(guard === undefined || guard.fromMs < guard.beforeMs, '10: a guard spans some time')
  const forgottenMs = finished.forgottenBeforeMs
  assert(forgottenMs <= watermarkMs, '5: nothing beyond the watermark is forgotten')
  assert(watermarkMs - forgottenMs < BUCKET_SPAN_MS, '5: every bucket wholly before the watermark is forgotten')
  let count = 0
  finished.visit(({ word }) => {
    count++
    // Asserts that the word has a meaning.
    state.words.unpack(word)
    return true
  })
  assert(count === finished.count, '6: the count is that of the entries')
  finished.validate()
}
