import type { Txid } from '../base/index.ts'
import type { Decision, Knowledge } from '../txn/index.ts'
import { SettleAgainstDecisionError, SettleNoDecisionError, SettleTooEarlyError } from './settle-errors.ts'
import type { ForceStanding } from './settle-view.ts'

/** What is known of a transaction's decision. */
export interface KnownDecision {
  readonly txid: Txid
  readonly decision: Knowledge
  readonly guarded: boolean
}

/** What the operator says that is meant. */
export type Meant = 'asDecided' | 'againstDecision' | 'withoutDecision'

/** How ending a branch with `action` would stand to the decision. */
export function standingOf({ decision, guarded }: Omit<KnownDecision, 'txid'>, action: Decision): ForceStanding {
  if (guarded) return 'noDecision'
  if (decision.kind === 'preparing') return 'tooEarly'
  // Unknown and forgotten are aborted: the one is decided so first (P5), the other was.
  const decided: Decision = decision.kind === 'committed' ? 'commit' : 'abort'
  return decided === action ? 'asDecided' : 'against'
}

/** @throws SettleTooEarlyError, SettleAgainstDecisionError, SettleNoDecisionError for what was not said to be meant */
export function assertMeant(known: KnownDecision, action: Decision, meant: Meant): void {
  const { txid, decision } = known
  const standing = standingOf(known, action)
  if (standing === 'tooEarly')
    throw new SettleTooEarlyError(
      `votes for ${txid} are being gathered, so it is decided at its deadline at the latest; look again then. Nothing was done.`,
    )
  if (standing === 'against' && meant !== 'againstDecision')
    throw new SettleAgainstDecisionError(
      `${describeDecision(decision.kind)}, and to ${action} this branch would leave the transaction half done (mixed). If that is meant: --against-decision. Nothing was done.`,
    )
  if (standing === 'noDecision' && meant !== 'withoutDecision')
    throw new SettleNoDecisionError(
      `the decision on ${txid} may have been in a part of the log that was lost, so nobody can say what is right. If you know it from elsewhere: --without-decision. Nothing was done.`,
    )
}

function describeDecision(kind: Knowledge['kind']): string {
  if (kind === 'committed') return 'the transaction is committed'
  return kind === 'aborted' ? 'the transaction is aborted' : `the transaction is ${kind}, so it is an aborted one`
}
