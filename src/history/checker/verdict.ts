import type { Scalar } from '../events.ts'
import type { Transaction } from '../transactions.ts'

/** What is wrong with single reads and appends, without any cycle. */
export type ReadAnomalyKind =
  /** A transaction contradicts itself: a read does not show what the same transaction read or appended before it. */
  | 'internal'
  /** A read shows an element that nobody appended. */
  | 'garbage-read'
  /** Aborted read: a read shows what a failed transaction appended. */
  | 'G1a'
  /** Intermediate read: a read ends with an element after which its transaction appended more to the key. */
  | 'G1b'
  /** One append took effect twice. */
  | 'duplicate-elements'
  /** Two reads of a key of which neither is the beginning of the other. */
  | 'incompatible-order'
  /** An append that was acknowledged is in no read, although one began after it. */
  | 'lost-append'

/**
 * A cycle of dependencies: no order of its transactions explains what they saw. Adya's names. G0: only writes (ww); G1c: and
 * reads of what was written (wr); G-single: and one read of what was overwritten later (rw), as with lost updates and read skew;
 * G2-item: several of these, as with write skew. `-realtime`: only together with the order in which transactions ended and began.
 */
export type CycleKind = 'G0' | 'G1c' | 'G-single' | 'G2-item'
export type CycleAnomalyKind = CycleKind | `${CycleKind}-realtime`

export type AnomalyKind = ReadAnomalyKind | CycleAnomalyKind

/** `link` is no dependency: it leads on from a helper node of the graph. */
export type DependencyKind = 'ww' | 'wr' | 'rw' | 'realtime'

/** One edge of a cycle: `from` comes before `to` in every order that explains the history. */
export interface Step {
  readonly from: Transaction
  readonly to: Transaction
  readonly kind: DependencyKind
  /** Why, in a sentence. */
  readonly because: string
}

export interface Anomaly {
  readonly kind: AnomalyKind
  /** What it is, in a sentence. */
  readonly what: string
  /** Who takes part, each once. */
  readonly transactions: readonly Transaction[]
  /** Of a cycle: from transaction to transaction and back to the first. Else empty. */
  readonly steps: readonly Step[]
  readonly key: Scalar | undefined
}

/** How much of a history there was to check. A verdict over nothing is worth nothing. */
export interface HistorySize {
  readonly ok: number
  readonly fail: number
  readonly info: number
  /** Of the `info`: those that surely happened, because somebody saw what they appended. */
  readonly infoObserved: number
  readonly keys: number
  /** Appends of transactions that are `ok`. */
  readonly appends: number
  /** Of these: those that no read shows. */
  readonly appendsUnobserved: number
  /** Reads of transactions that are `ok`. */
  readonly reads: number
}

export interface Verdict {
  /** Whether the history is strictly serializable. */
  readonly valid: boolean
  /** How many of each kind there are. Of cycles: parts of the graph that hold any, each counted by its worst. */
  readonly counts: Readonly<Partial<Record<AnomalyKind, number>>>
  /** The first of each kind, at most `EXPLAINED_MAX`. */
  readonly anomalies: readonly Anomaly[]
  readonly size: HistorySize
}

/** So many anomalies of each kind are explained. */
export const EXPLAINED_MAX = 5
