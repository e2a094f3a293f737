import type { Txid } from '../../base/index.ts'
import { overlap, type Span } from './span.ts'

export type LockMode = 'shared' | 'exclusive'

/** A lock as it is written down with a prepared branch, and taken back from there. */
export interface HeldLock {
  readonly span: Span
  readonly mode: LockMode
}

/** How much is locked. */
export interface LockSize {
  readonly locks: number
  /** Of the spans' texts. */
  readonly bytes: number
}

/** A lock that is held, or waited for. */
export interface Request extends HeldLock {
  readonly id: number
  readonly owner: Txid
  /** Counts all requests: their order is this one's. */
  readonly order: number
  /** The requests before this one that conflict with it, and still wait. It never overtakes them. */
  readonly ahead: Set<Request>
  /** The requests that have this one ahead. */
  readonly behind: Set<Request>
  /** Whom it waits for: owners of conflicting locks, and of those ahead. */
  readonly blockers: Set<Txid>
}

/** A transaction that holds or wants locks. */
export interface Owner {
  /** Of the spans of `held`. */
  bytes: number
  readonly held: Set<Request>
  readonly waiting: Set<Request>
}

/** In the order in which they came. */
export function inOrder(a: Request, b: Request): number {
  return a.order - b.order
}

type Lock = HeldLock & { readonly owner: Txid }

/** Whether one of them keeps the other out. */
export function conflict(a: Lock, b: Lock): boolean {
  return a.owner !== b.owner && (a.mode === 'exclusive' || b.mode === 'exclusive') && overlap(a.span, b.span)
}
