import type { Rule, Violation } from '../constraints/index.ts'
import { findViolation, uniqueChanges } from '../constraints/index.ts'
import type { KvBranch } from './branch.ts'
import type { Data } from './data.ts'
import { uniqueKey } from './keys.ts'
import type { Effect, RefusalReason } from './records.ts'

/** What a branch comes to at PREPARE. */
export type Judgement =
  | { readonly kind: 'commit'; readonly effects: readonly Effect[] }
  | { readonly kind: 'readOnly' }
  | { readonly kind: 'abort'; readonly reason: RefusalReason; readonly why: string | undefined }

/** Holds a branch, with all its locks, against the rules. */
export function judge(branch: KvBranch, rules: readonly Rule[], data: Data): Judgement {
  if (branch.poisonedBy !== undefined) return { kind: 'abort', reason: 'poisoned', why: branch.poisonedBy.message }
  if (branch.isBusy) return { kind: 'abort', reason: 'busy', why: undefined }
  const proposal = branch.proposal()
  const violation: Violation | undefined = findViolation(rules, proposal, (prefix, value) =>
    data.get(uniqueKey(prefix, value))?.toString('utf8'),
  )
  if (violation !== undefined) return { kind: 'abort', reason: violation.reason, why: violation.message }
  if (proposal.writes.length === 0) return { kind: 'readOnly' }
  const effects = new Map<string, Buffer | undefined>(branch.writes())
  // An index changes like any other key: with the transaction, and after a crash with it again.
  const { removed, added } = uniqueChanges(rules, proposal.writes)
  for (const { prefix, value } of removed) effects.set(uniqueKey(prefix, value), undefined)
  for (const { prefix, value, key } of added) effects.set(uniqueKey(prefix, value), Buffer.from(key, 'utf8'))
  return { kind: 'commit', effects: [...effects].map(([key, value]) => ({ key, value })) }
}
