import { BRANCHES_MAX } from '../base/index.ts'
import type { BranchRecord } from '../txn/index.ts'
import { refusal } from './refusals.ts'
import type { Refusal } from './requests.ts'

/** The longest participant name and evidence that the log takes, in characters. */
const PARTICIPANT_CHARACTERS_MAX = 255
const EVIDENCE_CHARACTERS_MAX = 1_024

/** Why these branches can't be committed, or undefined when they can. Nothing was done so far. */
export function checkCommitBranches(branches: readonly BranchRecord[]): Refusal | undefined {
  if (branches.length === 0)
    return incomplete('a commit names no branch; a transaction without branches needs no coordinator')
  for (const { kind, vote, branch, participant } of branches) {
    if (kind === 'local' && vote === undefined) {
      return incomplete(
        `local branch ${branch} (${participant}) came without a vote, and only its client can give one; prepare it first`,
      )
    }
  }
  return checkAbortBranches(branches)
}

/** Why these branches can't be written down, or undefined when they can. */
export function checkAbortBranches(branches: readonly BranchRecord[]): Refusal | undefined {
  if (branches.length > BRANCHES_MAX) {
    return incomplete(`the request names ${branches.length} branches; a transaction has at most ${BRANCHES_MAX}`)
  }
  for (const [i, { branch, participant, evidence }] of branches.entries()) {
    if (!Number.isInteger(branch) || branch < 0 || branch >= BRANCHES_MAX) {
      return incomplete(`${branch} is not a branch id; branches are numbered from 0 to ${BRANCHES_MAX - 1}`)
    }
    for (let j = 0; j < i; j++) {
      if (branches[j]!.branch === branch) return incomplete(`branch ${branch} is named twice`)
    }
    if (participant.length > PARTICIPANT_CHARACTERS_MAX || (evidence?.length ?? 0) > EVIDENCE_CHARACTERS_MAX) {
      return incomplete(
        `branch ${branch} has a name over ${PARTICIPANT_CHARACTERS_MAX} or evidence over ${EVIDENCE_CHARACTERS_MAX} characters`,
      )
    }
  }
  return undefined
}

/** True when both lists name the same branches of the same participants, in any order. */
export function nameSameBranches(a: readonly BranchRecord[], b: readonly BranchRecord[]): boolean {
  if (a.length !== b.length) return false
  return a.every(({ branch, kind, participant }) =>
    b.some((other) => other.branch === branch && other.kind === kind && other.participant === participant),
  )
}

/** A participant's name short enough to be recorded as the cause of an abort. */
export function shortName(participant: string | undefined): string | undefined {
  return participant?.slice(0, PARTICIPANT_CHARACTERS_MAX)
}

function incomplete(what: string): Refusal {
  return refusal('TXN_VOTES_INCOMPLETE', undefined, `${what}. Nothing was done`)
}
