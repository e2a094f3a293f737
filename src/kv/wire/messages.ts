import type { Txid } from '../../base/index.ts'
import type { KvValue } from '../constraints/index.ts'

/** What a transaction does with keys. */
export type KvStatement =
  | { readonly kind: 'get'; readonly key: string }
  | {
      readonly kind: 'scan'
      readonly from: string | undefined
      readonly to: string | undefined
      readonly prefix: string | undefined
      readonly limit: number | undefined
    }
  | { readonly kind: 'put'; readonly key: string; readonly value: KvValue }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'add'; readonly key: string; readonly amount: number }
  | {
      readonly kind: 'compareAndSet'
      readonly key: string
      readonly expected: KvValue | undefined
      readonly value: KvValue | undefined
    }

/** What an application asks of a key-value participant, on a connection of its own. */
export type KvRequest =
  /** Opens a branch. It belongs to this connection, and ends with it unless it has voted. `ticket`: see base/branch-ticket. */
  | { readonly kind: 'begin'; readonly ticket: string }
  /** A statement in a branch of this connection. */
  | { readonly kind: 'work'; readonly txid: Txid; readonly statement: KvStatement }
  /** A statement that is a transaction of its own. The txid is the caller's, so that it can ask what came of it. */
  | { readonly kind: 'alone'; readonly txid: Txid; readonly statement: KvStatement }
  /** One-phase commit of a branch of this connection, whose transaction has no other. */
  | { readonly kind: 'commit'; readonly txid: Txid }
  /** Rolls a branch of this connection back. */
  | { readonly kind: 'abort'; readonly txid: Txid }
  /**
   * What came of a transaction that was `alone` or committed in one phase, when that answer was lost. If it has not
   * committed, it never will from now on.
   */
  | { readonly kind: 'settle'; readonly txid: Txid }
  /** Why a branch voted abort. */
  | { readonly kind: 'explain'; readonly txid: Txid }
  /** For operators. */
  | { readonly kind: 'status' }

/**
 * Whether it may wait for a lock, or makes others wait. The other requests end transactions or only ask: they are what the
 * first ones wait for, so no number of those may keep them out.
 */
export function isWork({ kind }: KvRequest): boolean {
  return kind === 'begin' || kind === 'work' || kind === 'alone'
}

/** A refusal: nothing was done, and a branch that it was said to is rolled back. */
export interface KvRefusal {
  readonly kind: 'refused'
  /** A stable code, see docs/reference/errors.md. */
  readonly code: string
  readonly message: string
  readonly retryable: boolean
}

export interface KvEntry {
  readonly key: string
  readonly value: KvValue
}

/** What comes back, once for each request. */
export type KvAnswer =
  | { readonly kind: 'done' }
  /** Of get: undefined where there is nothing. Of add: the sum. */
  | { readonly kind: 'value'; readonly value: KvValue | undefined }
  /** Of compareAndSet. */
  | { readonly kind: 'flag'; readonly flag: boolean }
  | { readonly kind: 'page'; readonly entries: readonly KvEntry[]; readonly next: string | undefined }
  /** Of settle. `unknown`: it is in doubt here. */
  | { readonly kind: 'outcome'; readonly outcome: KvOutcome }
  /** Of status: JSON. */
  | { readonly kind: 'text'; readonly text: string }
  | KvRefusal

export type KvOutcome = 'committed' | 'aborted' | 'unknown'
