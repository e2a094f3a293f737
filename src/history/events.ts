/** A key or an element. Elements of one key must differ, or nobody could tell which append a read saw. */
export type Scalar = number | string

/** One operation of a list-append transaction. */
export type Operation =
  | { readonly kind: 'append'; readonly key: Scalar; readonly value: Scalar }
  /** `list`: what the key held, oldest first; undefined when it is not known, as in an invocation. */
  | { readonly kind: 'read'; readonly key: Scalar; readonly list: readonly Scalar[] | undefined }

/**
 * How an operation stands. `ok`: it happened. `fail`: it surely did not, and never will. `info`: nobody knows; it may have
 * happened, or may happen later, or never.
 */
export type EventType = 'invoke' | 'ok' | 'fail' | 'info'

/** A client asked for a transaction, or heard of its end. The words are those of Jepsen. */
export interface ClientEvent {
  readonly kind: 'client'
  /** The place in the history, from 0. It alone orders events. */
  readonly index: number
  /** Since some moment before the history. */
  readonly timeNs: number
  /** A logical process: it has one transaction under way at most, and none ever after an `info`. */
  readonly process: number
  readonly type: EventType
  /** With what was read when `type` is `ok`. */
  readonly operations: readonly Operation[]
  /** Why it failed or is not known. */
  readonly error?: string | undefined
}

/** What was done to the system meanwhile, as Jepsen's nemesis does it. No checker needs it; people do. */
export interface FaultEvent {
  readonly kind: 'fault'
  readonly index: number
  readonly timeNs: number
  /** For example `kill`. */
  readonly f: string
  /** Whom it hit. */
  readonly value: string
}

export type HistoryEvent = ClientEvent | FaultEvent

/** In the order of `index`. */
export type History = readonly HistoryEvent[]

/** A history that says nothing: it contradicts itself, or is not of the form that it should have. It is neither right nor wrong. */
export class MalformedHistoryError extends Error {
  override readonly name = 'MalformedHistoryError'
}
