import type { BranchId, Txid } from '../base/index.ts'
import { addFinding } from './heuristics.ts'
import { knowledgeOf } from './knowledge.ts'
import type { Finding, LedgerState } from './state.ts'
import type { Decision, LedgerCommand, Outcome, Settlement } from './types.ts'

// What operators did by hand. It never touches a decision (P2): it is a book beside the transactions, replicated because
// who forced a branch, why, and on what evidence must outlive the node that carried it out. A branch that was forced
// against the decision gets a finding as well (heuristics.ts), and that is what marks its transaction as mixed (P1).

/** So many are kept at least; beyond it the oldest that need nobody any more are forgotten. */
export const SETTLEMENTS_KEPT = 1_000

type Of<Kind extends LedgerCommand['kind']> = Extract<LedgerCommand, { kind: Kind }>

/** Writes the order down. A repeated order takes the place of the one that was not carried out. */
export function orderSettlement(state: LedgerState, command: Of<'settle'>): void {
  const { txid, branch, action, by, reason, evidence, atMs } = command
  const details = { action, by, reason, evidence, atMs }
  const order = { txid, branch, ...details, found: undefined, standing: 'ordered', acknowledged: false } as const
  const at = state.settlements.findIndex((each) => isOrder(each, txid, branch))
  if (at >= 0) state.settlements = state.settlements.with(at, order)
  else append(state, [order])
}

/**
 * Writes down how an ordered branch ended. Without an order nothing changes. An order that somebody acknowledged while it was
 * being carried out has an end all the same: who acknowledged it could not know how it would end.
 */
export function endSettlement(state: LedgerState, { txid, branch, found }: Of<'settled'>): void {
  const at = state.settlements.findLastIndex(
    (each) => each.standing === 'ordered' && each.txid === txid && each.branch === branch,
  )
  if (at < 0) return
  const standing = standingOf(found, decisionOf(state, txid))
  state.settlements = state.settlements.with(at, { ...state.settlements[at]!, found, standing })
  if (standing === 'undecided') state.undecidedSettlements++
  if (standing === 'against' || standing === 'unclear') addFinding(state, txid, { branch, found })
}

/**
 * An operator has seen what there is to see of a transaction: its findings are taken off the list, and the book says who
 * did it. What was acknowledged is not reported again (`isAnswered`).
 */
export function acknowledge(state: LedgerState, command: Of<'acknowledged'>): void {
  const { txid, by, reason, atMs } = command
  const seen = new Map<BranchId, Settlement['found']>()
  for (const { branch, found } of state.settlements.filter((each) => each.txid === txid && needsOperator(each)))
    seen.set(branch, found ?? 'none')
  for (const { branch, found } of takeFindings(state, txid)) seen.set(branch, found)
  if (seen.size === 0) return
  state.settlements = state.settlements.map((each) => (each.txid === txid ? { ...each, acknowledged: true } : each))
  const entry = {
    action: 'acknowledge',
    by,
    reason,
    evidence: '',
    atMs,
    standing: undefined,
    acknowledged: true,
  } as const
  append(
    state,
    [...seen].map(([branch, found]) => ({ txid, branch, ...entry, found })),
  )
}

/** A transaction that had no decision gets one: what was forced before stands by it, or against it. Gives the findings. */
export function compareSettlements(state: LedgerState, txid: Txid, outcome: Outcome): readonly Finding[] {
  // Nearly always: a decision must not cost a look through the book.
  if (state.undecidedSettlements === 0) return []
  const findings: Finding[] = []
  state.settlements = state.settlements.map((each) => {
    if (each.txid !== txid || each.standing !== 'undecided' || each.found === undefined) return each
    const standing = standingOf(each.found, outcome.kind === 'committed' ? 'commit' : 'abort')
    if (standing !== 'asDecided') findings.push({ branch: each.branch, found: each.found })
    return { ...each, standing }
  })
  state.undecidedSettlements = countUndecided(state.settlements)
  return findings
}

/** True when the settlement is to be shown until somebody acknowledges it. */
export function needsOperator({ standing, acknowledged }: Settlement): boolean {
  return !acknowledged && standing !== undefined && standing !== 'asDecided'
}

/**
 * Settlements that a decision may still come to: the one figure of the book that is kept beside it. Acknowledged ones
 * count as well, for who acknowledged them could not know that the decision would be against them.
 */
export function countUndecided(settlements: readonly Settlement[]): number {
  return settlements.filter(({ standing }) => standing === 'undecided').length
}

function isOrder(settlement: Settlement, txid: Txid, branch: BranchId): boolean {
  const { standing, acknowledged } = settlement
  return standing === 'ordered' && !acknowledged && settlement.txid === txid && settlement.branch === branch
}

/** Presumed abort: a branch without a trace ended as an abort does. */
function standingOf(found: NonNullable<Settlement['found']>, decision: Decision | undefined): Settlement['standing'] {
  if (decision === undefined) return 'undecided'
  if (decision === 'abort') return found === 'committed' ? 'against' : 'asDecided'
  if (found === 'none') return 'unclear'
  return found === 'committed' ? 'asDecided' : 'against'
}

function decisionOf(state: LedgerState, txid: Txid): Decision | undefined {
  const { kind } = knowledgeOf(state, txid)
  if (kind === 'committed') return 'commit'
  // A branch of a forgotten transaction that was still prepared belongs to an aborted one.
  return kind === 'aborted' || kind === 'forgotten' ? 'abort' : undefined
}

/** Takes a transaction's findings away; a finished one that was kept for them alone is kept no more. */
function takeFindings(state: LedgerState, txid: Txid): readonly Finding[] {
  const open = state.open.get(txid)
  const { findings } = open ?? state.noted.get(txid) ?? { findings: [] }
  if (findings.length === 0) return []
  state.heuristicCount--
  if (open === undefined) state.noted.delete(txid)
  else state.open.set(txid, { ...open, findings: [] })
  return findings
}

function append(state: LedgerState, entries: readonly Settlement[]): void {
  const settlements = [...state.settlements, ...entries]
  let excess = settlements.length - SETTLEMENTS_KEPT
  state.settlements = settlements.filter((each) => excess <= 0 || needsOperator(each) || excess-- <= 0)
  state.undecidedSettlements = countUndecided(state.settlements)
}
