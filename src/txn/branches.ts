import { resourceOfJoined } from '../base/index.ts'
import { fold32, hashText, mix32 } from './hash.ts'
import type { BranchKind, BranchRecord } from './types.ts'

/** Every branch kind; its place is its number in log entries and in branch digests. Append only. */
export const BRANCH_KINDS = ['local', 'service', 'kv'] as const satisfies readonly BranchKind[]

/**
 * True when both lists name the same branches, in any order. What makes a branch is its number, kind and participant;
 * the vote and the evidence may still be missing in one list and known in the other.
 */
export function sameBranches(a: readonly BranchRecord[], b: readonly BranchRecord[]): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) {
    const one = a[i]!
    // A retry lists them in the same order, so the search is for strange callers only.
    const other = b[i]!.branch === one.branch ? b[i] : b.find(({ branch }) => branch === one.branch)
    if (other === undefined || other.kind !== one.kind || other.participant !== one.participant) return false
  }
  return true
}

/**
 * The recorded branches with what the decision adds. P4: a vote is a promise, so the vote that was recorded first stands;
 * else a late `readOnly` could take a prepared branch out of phase two and leak its locks (P7).
 */
export function withLaterVotes(
  recorded: readonly BranchRecord[],
  named: readonly BranchRecord[] | undefined,
): readonly BranchRecord[] {
  if (named === undefined) return recorded
  return recorded.map((branch) => {
    const later = named.find((other) => other.branch === branch.branch)
    if (later === undefined) return branch
    return { ...branch, vote: branch.vote ?? later.vote, evidence: branch.evidence ?? later.evidence }
  })
}

/**
 * Those to tell of an abort: every recorded branch and every named one that was not recorded. Both matter for P7:
 * telling a branch twice costs a message, forgetting one leaves its locks held. The recorded one stands for its number.
 */
export function unionOfBranches(
  recorded: readonly BranchRecord[],
  named: readonly BranchRecord[],
): readonly BranchRecord[] {
  const extra = named.filter(({ branch }) => recorded.every((other) => other.branch !== branch))
  return extra.length === 0 ? recorded : [...recorded, ...extra]
}

/**
 * The branches that take part in phase two. Mohan, Lindsay, Obermarck 1986 (R*), "read-only optimisation": a reader
 * has released its locks with its vote and does not care for the outcome.
 */
export function phaseTwoBranches(branches: readonly BranchRecord[]): readonly BranchRecord[] {
  for (const { vote } of branches) {
    if (vote === 'readOnly') return branches.filter((branch) => branch.vote !== 'readOnly')
  }
  return branches
}

/** True when no number occurs twice. */
export function branchesAreDistinct(branches: readonly Pick<BranchRecord, 'branch'>[]): boolean {
  let low = 0
  let high = 0
  for (const { branch } of branches) {
    const bit = 1 << (branch & 31)
    if (((branch < 32 ? low : high) & bit) !== 0) return false
    if (branch < 32) low |= bit
    else high |= bit
  }
  return true
}

/**
 * 32 bits that stand for the branches of a finished commit, equal for what `sameBranches` calls the same. It is all
 * that remains of them: a retry with other branches must not hear "committed" and then commit them. Two different
 * lists agree once in 2^32, and only for a caller that broke the rules by using a txid twice.
 */
export function branchesDigest(branches: readonly BranchRecord[]): number {
  let sum = mix32(branches.length)
  for (const { branch, kind, participant } of branches) {
    // A sum, because the order of the list does not count.
    sum = (sum + hashText(participant, fold32(branch, BRANCH_KINDS.indexOf(kind)))) | 0
  }
  return sum
}

/** The database that a branch is in, by its configured name; undefined when it is none that anybody but its participant can reach. */
export function databaseOf({ kind, participant }: Pick<BranchRecord, 'kind' | 'participant'>): string | undefined {
  if (kind === 'local') return participant
  return kind === 'service' ? resourceOfJoined(participant) : undefined
}
