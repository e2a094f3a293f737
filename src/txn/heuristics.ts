import type { Txid } from '../base/index.ts'
import { isBehindWatermark } from './knowledge.ts'
import type { Finding, LedgerState, NotedTransaction } from './state.ts'
import type { Outcome } from './types.ts'

/**
 * Keeps what was found of a branch until an operator has seen it (X/Open XA §3.3, heuristic branch completion).
 *
 * A finding for a txid that is unknown and young is ignored: nobody can find a branch of a transaction without having
 * its outcome first, and having it writes a record. A forgotten one is kept without an outcome, because the operator
 * must hear of it all the same.
 */
export function addFinding(state: LedgerState, txid: Txid, finding: Finding): void {
  if (isAnswered(state, txid, finding)) return
  const open = state.open.get(txid)
  if (open !== undefined) {
    if (open.findings.length === 0) state.heuristicCount++
    state.open.set(txid, { ...open, findings: withFinding(open.findings, finding) })
    return
  }
  const noted = state.noted.get(txid) ?? noteOf(state, txid)
  if (noted === undefined) return
  if (noted.findings.length === 0) state.heuristicCount++
  state.noted.set(txid, { ...noted, findings: withFinding(noted.findings, finding) })
}

/**
 * P1: true when the outcomes that are known, the decision's and those that were found, are not all the same. `none`
 * says nothing either way.
 */
export function isMixed(outcome: Outcome | undefined, findings: readonly Finding[]): boolean {
  let committed = outcome?.kind === 'committed'
  let aborted = outcome?.kind === 'aborted'
  for (const { found } of findings) {
    committed ||= found === 'committed'
    aborted ||= found === 'aborted'
  }
  return committed && aborted
}

/**
 * True when an operator's book says more than the finding: somebody has acknowledged it, or the branch was ended by hand
 * as decided and no trace of that is left. A new leader looks for evidence anew, and would report the same again.
 */
function isAnswered({ settlements }: LedgerState, txid: Txid, { branch, found }: Finding): boolean {
  return settlements.some((each) => {
    if (each.txid !== txid || each.branch !== branch) return false
    if (each.action === 'acknowledge') return found === 'none' || each.found === found
    return found === 'none' && each.standing === 'asDecided'
  })
}

/** One finding a branch. A branch ends once, so the first definite finding stands; `none` gives way to a definite one. */
export function withFinding(findings: readonly Finding[], finding: Finding): readonly Finding[] {
  const at = findings.findIndex(({ branch }) => branch === finding.branch)
  if (at < 0) return [...findings, finding]
  return findings[at]!.found === 'none' ? findings.with(at, finding) : findings
}

/** What is left of a transaction that has finished, with no finding yet; undefined when it is unknown and young. */
function noteOf(state: LedgerState, txid: Txid): NotedTransaction | undefined {
  const entry = state.finished.get(txid)
  if (entry === undefined && !isBehindWatermark(state, txid)) return undefined
  return {
    txid,
    outcome: entry === undefined ? undefined : state.words.unpack(entry.word),
    branches: [],
    branchDigest: entry?.branchDigest ?? 0,
    findings: [],
  }
}
