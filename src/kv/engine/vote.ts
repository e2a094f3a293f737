import type { Txid } from '../../base/index.ts'
import type { RefusalReason } from './records.ts'
import type { Outcome } from './state.ts'

/** A branch's answer to PREPARE. */
export type KvVote =
  /** On disk, with its locks: it can always commit, and never aborts by itself. */
  | { readonly kind: 'commit' }
  /** It wrote nothing and needs no phase two. */
  | { readonly kind: 'readOnly' }
  | AbortVote

/** It was rolled back, and can never commit. */
export interface AbortVote {
  readonly kind: 'abort'
  readonly reason: AbortReason
  readonly message: string
}

export type AbortReason =
  | RefusalReason
  /** It had voted commit, and was told to abort since. */
  | 'aborted'
  /** It is older than the watermark. */
  | 'forgotten'
  /** Only the room that is reserved for decisions is left on the disk. */
  | 'diskFull'

/** What came of GLOBAL-COMMIT or GLOBAL-ABORT. */
export type KvSettled =
  /** On disk; repeats get the same answer. */
  | { readonly kind: 'done' }
  /** Not done, and this is not success: `known` is all that is known here. */
  | { readonly kind: 'refused'; readonly known: 'committed' | 'aborted' | 'forgotten' | 'nothing' }

const MESSAGES: Record<Exclude<AbortReason, 'poisoned'>, string> = {
  abortedBefore: 'its abort came before its PREPARE',
  notBelowZero: 'a value would be below zero',
  compareAndSet: 'a value was not as expected',
  unique: 'two keys would hold the same value',
  busy: 'a call in the branch was still under way: every promise must be awaited before the commit',
  tooLarge: 'it is larger than branchBytesMax: split the work',
  unknown: 'no such branch was begun here, or a restart ended it',
  aborted: 'it was aborted before',
  forgotten: 'it is so old that its outcome is no longer kept here',
  diskFull: 'only the room that is reserved for decisions is left on the disk',
}

/** A vote to abort, in words. */
export function abortVote(txid: Txid, reason: AbortReason, why?: string): AbortVote {
  const known = reason === 'poisoned' ? 'an error came up in the branch' : MESSAGES[reason]
  return { kind: 'abort', reason, message: `${txid} can't commit: ${why ?? known}` }
}

/** What a transaction that is over answers to PREPARE. */
export function voteAfter(txid: Txid, outcome: Outcome): KvVote {
  if (outcome.kind === 'committed') return { kind: 'commit' }
  return abortVote(txid, outcome.kind === 'refused' ? outcome.reason : outcome.kind)
}

/** What a transaction that is not in doubt answers to a decision that does not fit. */
export function refusedAfter(outcome: Outcome | undefined): KvSettled {
  if (outcome === undefined) return { kind: 'refused', known: 'nothing' }
  return { kind: 'refused', known: outcome.kind === 'refused' ? 'aborted' : outcome.kind }
}
