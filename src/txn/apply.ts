import { assert, type Txid, unreachable } from '../base/index.ts'
import { branchesDigest, phaseTwoBranches, sameBranches, unionOfBranches, withLaterVotes } from './branches.ts'
import { applyGuard } from './guard.ts'
import { addFinding, withFinding } from './heuristics.ts'
import { isBehindWatermark, isGuarded, pastDecision } from './knowledge.ts'
import { COMMITTED } from './outcome-word.ts'
import { acknowledge, compareSettlements, endSettlement, orderSettlement } from './settlements.ts'
import type { LedgerState, OpenTransaction } from './state.ts'
import type { BranchRecord, LedgerCommand, LedgerEffect, Outcome, RefusalReason } from './types.ts'

type Of<Kind extends LedgerCommand['kind']> = Extract<LedgerCommand, { kind: Kind }>

/**
 * Applies one committed record. No clock, no randomness, no I/O: every replica replays to the same state, and a record
 * that a correct leader would not write changes nothing rather than stopping the fleet.
 *
 * Presumed abort after Mohan, Lindsay, Obermarck, "Transaction management in the R* distributed database management
 * system" (1986). As in Gray and Lamport, "Consensus on Transaction Commit" (2006), what makes the decision safe is
 * that it is one value in a replicated log: the first `commit` or `aborted` record of a txid wins on every replica (P2).
 *
 * | record      | unknown, young | behind the watermark | preparing            | committed          | aborted        |
 * |-------------|----------------|----------------------|----------------------|--------------------|----------------|
 * | `prepared`  | askVotes       | olderThanWatermark   | nothing¹             | alreadyDecided¹    | alreadyDecided |
 * | `commit`    | decided²       | olderThanWatermark   | decided¹             | alreadyDecided¹    | alreadyDecided |
 * | `aborted`   | decided        | olderThanWatermark   | decided              | alreadyDecided     | alreadyDecided |
 * | `completed` | nothing        | nothing              | nothing              | completed, once    | completed, once |
 * | `heuristic` | nothing        | kept, no outcome     | kept                 | kept               | kept           |
 *
 * `settle`, `settled` and `acknowledged` are an operator's: they never change an outcome (settlements.ts).
 *
 * ¹ with other branches: refused, otherBranches. ² without branches: refused, noBranches.
 * Guarded (guard.ts), while unknown or preparing: each of the first three is refused, guarded.
 * A decision that leaves nobody to tell is followed by `completed` in the same step.
 */
export function applyCommand(state: LedgerState, command: LedgerCommand, effects: LedgerEffect[]): void {
  switch (command.kind) {
    case 'prepared':
      applyPrepared(state, command, effects)
      break
    case 'commit':
      applyCommit(state, command, effects)
      break
    case 'aborted':
      applyAborted(state, command, effects)
      break
    case 'completed':
      applyCompleted(state, command, effects)
      break
    case 'heuristic':
      addFinding(state, command.txid, { branch: command.branch, found: command.found })
      break
    case 'watermark':
      applyWatermark(state, command.beforeMs)
      break
    case 'guard':
      applyGuard(state, command.beforeMs, effects)
      break
    case 'settle':
      orderSettlement(state, command)
      break
    case 'settled':
      endSettlement(state, command)
      break
    case 'acknowledged':
      acknowledge(state, command)
      break
    default:
      unreachable(command)
  }
}

function applyPrepared(state: LedgerState, command: Of<'prepared'>, effects: LedgerEffect[]): void {
  const { txid, timeoutMs, branches } = command
  if (isGuarded(state, txid)) return refuse(effects, txid, 'guarded')
  const open = state.open.get(txid)
  if (isPreparing(open)) {
    // The same again is a client's retry: the votes are being gathered already. With other branches it is another
    // transaction under a txid that is taken, and asking both sets would mix their votes.
    if (!sameBranches(open.branches, branches)) refuse(effects, txid, 'otherBranches')
    return
  }
  if (isAnswered(state, open, txid, branches, effects)) return
  state.open.set(txid, { txid, timeoutMs, branches, outcome: undefined, findings: [] })
  state.preparingCount++
  effects.push({ kind: 'askVotes', txid, timeoutMs, branches })
}

function applyCommit(state: LedgerState, command: Of<'commit'>, effects: LedgerEffect[]): void {
  const { txid, branches: named } = command
  if (isGuarded(state, txid)) return refuse(effects, txid, 'guarded')
  const open = state.open.get(txid)
  if (isPreparing(open)) {
    // Votes were asked of the recorded branches; a commit of others would count votes that nobody gave.
    const same = named === undefined || sameBranches(open.branches, named)
    if (same) decide(state, open, COMMITTED, withLaterVotes(open.branches, named), effects)
    else refuse(effects, txid, 'otherBranches')
    return
  }
  if (isAnswered(state, open, txid, named, effects)) return
  if (named === undefined) refuse(effects, txid, 'noBranches')
  else decide(state, newTransaction(txid), COMMITTED, named, effects)
}

function applyAborted(state: LedgerState, command: Of<'aborted'>, effects: LedgerEffect[]): void {
  const { txid, reason, participant, branches } = command
  if (isGuarded(state, txid)) return refuse(effects, txid, 'guarded')
  const open = state.open.get(txid)
  const outcome: Outcome = { kind: 'aborted', reason, participant }
  if (isPreparing(open)) {
    decide(state, open, outcome, unionOfBranches(open.branches, branches), effects)
    return
  }
  // Undefined: which branches an abort names is no reason to refuse it.
  if (isAnswered(state, open, txid, undefined, effects)) return
  // P5: also for a txid nobody knew. The tombstone is what forbids a commit that is still on its way.
  decide(state, newTransaction(txid), outcome, branches, effects)
}

function applyCompleted(state: LedgerState, command: Of<'completed'>, effects: LedgerEffect[]): void {
  for (const txid of command.txids) {
    const open = state.open.get(txid)
    // Unknown or finished: a leader that lost its place wrote it twice. Undecided: no correct leader writes it, and
    // leaving the transaction open is always safe, because its branches go on asking.
    if (open?.outcome === undefined) continue
    finish(state, open, open.outcome)
    effects.push({ kind: 'completed', txid })
  }
}

function applyWatermark(state: LedgerState, beforeMs: number): void {
  // It never goes back: what was forgotten cannot be known again.
  if (beforeMs <= state.watermarkMs) return
  state.watermarkMs = beforeMs
  state.finished.forgetBefore(beforeMs)
}

/** P2: the only place where a transaction gets its outcome. */
function decide(
  state: LedgerState,
  transaction: OpenTransaction,
  outcome: Outcome,
  branches: readonly BranchRecord[],
  effects: LedgerEffect[],
): void {
  assert(transaction.outcome === undefined, 'a transaction has at most one decision')
  const { txid, timeoutMs } = transaction
  // The map tells whether it was preparing or is new; new ones are not in it yet.
  if (state.open.has(txid)) state.preparingCount--
  if (outcome.kind === 'committed') state.committedCount++
  else state.abortedCount++

  const findings = compareSettlements(state, txid, outcome).reduce(withFinding, transaction.findings)
  if (transaction.findings.length === 0 && findings.length > 0) state.heuristicCount++
  const decided: OpenTransaction = { txid, timeoutMs, branches, outcome, findings }
  const toTell = phaseTwoBranches(branches)
  effects.push({ kind: 'decided', txid, outcome, branches: toTell })
  if (toTell.length > 0) {
    // In its old place of the map, if it has one: `pending` keeps the order of the log.
    state.open.set(txid, decided)
    return
  }
  finish(state, decided, outcome)
  effects.push({ kind: 'completed', txid })
}

/** From an object in the map to 24 bytes in the table; what an operator must see stays whole. */
function finish(state: LedgerState, transaction: OpenTransaction, outcome: Outcome): void {
  const { txid, branches, findings } = transaction
  state.open.delete(txid)
  // An aborted one is never compared: all branches that a later caller may name have to abort anyway.
  const branchDigest = outcome.kind === 'committed' ? branchesDigest(branches) : 0
  if (findings.length > 0) state.noted.set(txid, { txid, outcome, branches, branchDigest, findings })
  state.finished.add(txid, state.words.pack(outcome), branchDigest)
}

/**
 * Answers a record that comes too late: for a decided transaction, or for one that may have been forgotten.
 *
 * A caller with other branches must not hear "committed": it would go on and commit branches that the decision does not
 * cover. "Aborted" is true for whatever branches it has.
 */
function isAnswered(
  state: LedgerState,
  open: OpenTransaction | undefined,
  txid: Txid,
  named: readonly BranchRecord[] | undefined,
  effects: LedgerEffect[],
): boolean {
  const decision = open ?? pastDecision(state, txid)
  if (decision === undefined) {
    if (!isBehindWatermark(state, txid)) return false
    refuse(effects, txid, 'olderThanWatermark')
    return true
  }
  assert(decision.outcome !== undefined, 'an undecided transaction is dealt with before')
  if (decision.outcome.kind === 'committed' && named !== undefined && !covers(decision, named)) {
    refuse(effects, txid, 'otherBranches')
  } else {
    effects.push({ kind: 'alreadyDecided', txid, outcome: decision.outcome })
  }
  return true
}

function covers(
  decision: Pick<OpenTransaction, 'branches'> | { readonly branchDigest: number },
  named: readonly BranchRecord[],
): boolean {
  if ('branches' in decision) return sameBranches(decision.branches, named)
  return decision.branchDigest === branchesDigest(named)
}

function isPreparing(open: OpenTransaction | undefined): open is OpenTransaction {
  return open !== undefined && open.outcome === undefined
}

/** A decision without a `prepared` before it: every vote came with the request, or it is a tombstone. */
function newTransaction(txid: Txid): OpenTransaction {
  return { txid, timeoutMs: 0, branches: [], outcome: undefined, findings: [] }
}

function refuse(effects: LedgerEffect[], txid: Txid, reason: RefusalReason): void {
  effects.push({ kind: 'refused', txid, reason })
}
