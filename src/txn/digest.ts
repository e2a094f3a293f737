import { BRANCH_KINDS } from './branches.ts'
import { Hasher, mix32 } from './hash.ts'
import type { Finding, LedgerState, NotedTransaction, OpenTransaction } from './state.ts'
import type { BranchRecord, Guard, Outcome, Settlement } from './types.ts'

/** What of a state is digested as it stands: everything but its open and its noted transactions, which are summed. */
export interface DigestedParts {
  readonly watermarkMs: number
  readonly guard: Guard | undefined
  readonly committedCount: number
  readonly abortedCount: number
  readonly heuristicCount: number
  readonly settlements: readonly Settlement[]
  readonly names: readonly string[]
  readonly finishedCount: number
  readonly finishedSums: { readonly low: number; readonly high: number }
}

/**
 * Sixteen hex digits, equal on replicas that applied the same records. Two replicas that differ at one applied index
 * have diverged, and no later record repairs that.
 *
 * Transactions are summed, not chained: a replica restored from a snapshot holds them in another map order. The table of
 * finished ones keeps its sum up to date, so the cost is that of the open ones.
 */
export function digestOf(state: LedgerState): string {
  const sums = new TransactionSums()
  for (const open of state.open.values()) sums.addOpen(open)
  for (const noted of state.noted.values()) sums.addNoted(noted)
  return digestOfParts(partsOf(state), sums)
}

/** The same, for a state whose transactions were summed one by one as they were written or read. */
export function digestOfParts(parts: DigestedParts, sums: TransactionSums): string {
  const hasher = new Hasher()
  for (const value of [parts.watermarkMs, parts.committedCount, parts.abortedCount, parts.heuristicCount]) {
    hasher.number(value)
  }
  if (parts.guard !== undefined) for (const value of [parts.guard.fromMs, parts.guard.beforeMs]) hasher.number(value)
  // Nothing of them where there are none: digests of fleets in which nobody settled by hand are those of older releases.
  for (const settlement of parts.settlements) hashSettlement(hasher, settlement)
  // Which names are kept decides what later aborts are remembered with, so they are state.
  for (const name of parts.names) hasher.text(name)
  hasher.word(parts.finishedCount)
  hasher.word(parts.finishedSums.low)
  hasher.word(parts.finishedSums.high)
  sums.open.addTo(hasher)
  sums.noted.addTo(hasher)
  return hasher.hex()
}

export function partsOf(state: LedgerState): DigestedParts {
  const { watermarkMs, guard, committedCount, abortedCount, heuristicCount, settlements, words, finished } = state
  return {
    watermarkMs,
    guard,
    committedCount,
    abortedCount,
    heuristicCount,
    settlements,
    names: words.names,
    finishedCount: finished.count,
    finishedSums: finished.sums(),
  }
}

/** The digest of a growing set of transactions. */
export class TransactionSums {
  readonly open = new SetSum()
  readonly noted = new SetSum()

  addOpen(open: OpenTransaction): void {
    const hasher = new Hasher()
    hashOpen(hasher, open)
    this.open.add(hasher)
  }

  addNoted(noted: NotedTransaction): void {
    const hasher = new Hasher()
    hashNoted(hasher, noted)
    this.noted.add(hasher)
  }
}

/** The sum of its members' hashes (mod 2^32, in two lanes), and their number: the order of adding does not count. */
class SetSum {
  #count = 0
  #low = 0
  #high = 0

  add(member: Hasher): void {
    this.#count++
    this.#low = (this.#low + mix32(member.low)) | 0
    this.#high = (this.#high + mix32(member.high)) | 0
  }

  addTo(hasher: Hasher): void {
    hasher.word(this.#count)
    hasher.word(this.#low)
    hasher.word(this.#high)
  }
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

function hashSettlement(hasher: Hasher, settlement: Settlement): void {
  const { txid, branch, action, found, standing, acknowledged, by, reason, evidence, atMs } = settlement
  hasher.text(txid)
  hasher.word(branch)
  hasher.text(action)
  hasher.optional(found)
  hasher.optional(standing)
  hasher.word(acknowledged ? 1 : 0)
  for (const text of [by, reason, evidence]) hasher.text(text)
  hasher.number(atMs)
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
