import { BRANCH_KINDS } from './branches.ts'
import { Hasher, mix32 } from './hash.ts'
import type { Finding, LedgerState, NotedTransaction, OpenTransaction } from './state.ts'
import type { BranchRecord, Outcome } from './types.ts'

/**
 * Sixteen hex digits, equal on replicas that applied the same records. Two replicas that differ at one applied index
 * have diverged, and no later record repairs that.
 *
 * Transactions are summed, not chained: a replica restored from a snapshot holds them in another map order. The table of
 * finished ones keeps its sum up to date, so the cost is that of the open ones.
 */
export function digestOf(state: LedgerState): string {
  const hasher = new Hasher()
  for (const value of [state.watermarkMs, state.committedCount, state.abortedCount, state.heuristicCount]) {
    hasher.number(value)
  }
  // Which names are kept decides what later aborts are remembered with, so they are state.
  for (const name of state.words.names) hasher.text(name)
  const finished = state.finished.sums()
  hasher.word(state.finished.count)
  hasher.word(finished.low)
  hasher.word(finished.high)
  addSum(hasher, state.open.values(), hashOpen)
  addSum(hasher, state.noted.values(), hashNoted)
  return hasher.hex()
}

function addSum<T>(hasher: Hasher, items: Iterable<T>, hash: (hasher: Hasher, item: T) => void): void {
  let count = 0
  let low = 0
  let high = 0
  for (const item of items) {
    const one = new Hasher()
    hash(one, item)
    low = (low + mix32(one.low)) | 0
    high = (high + mix32(one.high)) | 0
    count++
  }
  hasher.word(count)
  hasher.word(low)
  hasher.word(high)
}

function hashOpen(hasher: Hasher, { txid, timeoutMs, outcome, branches, findings }: OpenTransaction): void {
  hasher.text(txid)
  hasher.number(timeoutMs)
  hashOutcome(hasher, outcome)
  hashBranches(hasher, branches)
  hashFindings(hasher, findings)
}

function hashNoted(hasher: Hasher, { txid, outcome, branches, branchDigest, findings }: NotedTransaction): void {
  hasher.text(txid)
  hashOutcome(hasher, outcome)
  hashBranches(hasher, branches)
  hasher.word(branchDigest)
  hashFindings(hasher, findings)
}

function hashOutcome(hasher: Hasher, outcome: Outcome | undefined): void {
  hasher.optional(outcome?.kind)
  if (outcome?.kind !== 'aborted') return
  hasher.text(outcome.reason)
  hasher.optional(outcome.participant)
}

function hashBranches(hasher: Hasher, branches: readonly BranchRecord[]): void {
  hasher.word(branches.length)
  for (const { branch, kind, participant, vote, evidence } of branches) {
    hasher.word(branch)
    hasher.word(BRANCH_KINDS.indexOf(kind))
    hasher.text(participant)
    hasher.optional(vote)
    hasher.optional(evidence)
  }
}

function hashFindings(hasher: Hasher, findings: readonly Finding[]): void {
  hasher.word(findings.length)
  for (const { branch, found } of findings) {
    hasher.word(branch)
    hasher.text(found)
  }
}
