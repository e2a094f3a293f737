import { ConcordatError, type Txid } from '../base/index.ts'
import type { Refusal, RefusalCode } from '../coordinator/index.ts'
import type { AbortReason } from '../txn/index.ts'

/** Why a transaction was aborted, as its caller sees it: the coordinators' reasons and those that only a client has. */
export type TransactionAbortReason =
  | AbortReason
  /** The caller's `signal` fired before the commit request. */
  | 'cancelled'
  /** The coordinators refused to decide it; `cause` says why. */
  | 'refused'
  /** No coordinator could be asked to decide, so nobody ever will: everything was rolled back. */
  | 'unavailable'
  /** The callback ended while a statement was still running: its work was not all done. Await every statement. */
  | 'notAwaited'
  /** It waited for others that waited for it, in different databases, and was the youngest of them. Run it again. */
  | 'deadlock'
  /** A call to a service that joins failed, or nobody knows what came of it. */
  | 'callFailed'
  /** `close()` would not wait any longer. */
  | 'closed'

/** What goes with an abort. */
export interface TransactionAbortedDetails {
  readonly txid: Txid
  readonly reason: TransactionAbortReason
  /** The resource that caused it, when one did. */
  readonly participant?: string | undefined
  /** Whether the same call may succeed when it is made again. */
  readonly retryable: boolean
  readonly cause?: unknown
}

/** Nothing of the transaction happened. `reason`, `participant` and `cause` say why; `retryable`, whether to run it again. */
export class TransactionAbortedError extends ConcordatError {
  readonly code = 'TXN_ABORTED'
  readonly txid: Txid
  readonly reason: TransactionAbortReason
  readonly participant: string | undefined
  override readonly retryable: boolean

  constructor(what: string, details: TransactionAbortedDetails) {
    const next = details.retryable ? 'it is safe to run it again' : 'running it again unchanged would not help'
    super(`transaction ${details.txid} was aborted and left nothing behind: ${what}; ${next}`, causeOf(details.cause))
    this.txid = details.txid
    this.reason = details.reason
    this.participant = details.participant
    this.retryable = details.retryable
  }
}

/**
 * Nobody can say yet whether the transaction was committed (P8). It is neither a success nor a failure: don't run it again
 * before `concordat.outcome(txid)` has said that it was aborted.
 */
export class OutcomeUnknownError extends ConcordatError {
  readonly code = 'TXN_OUTCOME_UNKNOWN'
  readonly txid: Txid
  /**
   * The one database that knows, when the transaction had a single branch and so no coordinator took part. Then only the
   * client that ran it can ask: to coordinators such a txid is unknown, and an unknown transaction is an aborted one.
   */
  readonly participant: string | undefined

  constructor(txid: Txid, what: string, options?: { readonly cause?: unknown; readonly participant?: string }) {
    super(
      `the outcome of transaction ${txid} is not known yet: ${what}; it may be committed or aborted, so ask outcome() with its txid before you run it again`,
      causeOf(options?.cause),
    )
    this.txid = txid
    this.participant = options?.participant
  }
}

/** No coordinator answered in time. Nothing was begun or decided by this call. */
export class CoordinatorUnavailableError extends ConcordatError {
  readonly code = 'COORDINATOR_UNAVAILABLE'
  override readonly retryable = true
}

/** A coordinator answered that it won't carry out the request. `refusal` is the reason's code. */
export class RequestRefusedError extends ConcordatError {
  readonly code = 'REQUEST_REFUSED'
  readonly refusal: RefusalCode
  override readonly retryable: boolean

  constructor(refusal: Refusal) {
    super(`the coordinators refused the request with ${refusal.code}: ${refusal.message}`)
    this.refusal = refusal.code
    this.retryable = refusal.retryable
  }
}

/** The transaction is over, or ending: it takes no more branches and statements. Usually a promise in the callback was not awaited. */
export class TransactionEndedError extends ConcordatError {
  readonly code = 'TXN_ENDED'
  readonly txid: Txid

  constructor(txid: Txid) {
    super(
      `transaction ${txid} has ended and takes no more work; use it only inside its callback, and await everything that belongs to it (what does not belong to it runs in outside())`,
    )
    this.txid = txid
  }
}

/**
 * `transaction()` was called within the callback of another one. It would be a transaction of its own, committed whatever
 * becomes of the one around it, and might wait for locks of that one for ever. Nothing was begun.
 */
export class NestedTransactionError extends ConcordatError {
  readonly code = 'TXN_NESTED'
  /** The transaction around the call. */
  readonly txid: Txid

  constructor(txid: Txid) {
    super(
      `transaction() was called within transaction ${txid}; work in that one instead (currentTransaction()), or begin one of its own with outside(() => concordat.transaction(…))`,
    )
    this.txid = txid
  }
}

/** The transaction would have more branches than one may have. It can only abort. */
export class TooManyBranchesError extends ConcordatError {
  readonly code = 'TXN_TOO_MANY_BRANCHES'
}

/** This `Concordat` was closed, or is closing, and begins nothing more. */
export class ConcordatClosedError extends ConcordatError {
  readonly code = 'CONCORDAT_CLOSED'

  constructor() {
    super('this Concordat is closed and begins nothing more; make a new one')
  }
}

/** An option has a wrong value. The message names the key and what was expected; nothing was done. */
export class InvalidOptionsError extends ConcordatError {
  readonly code = 'INVALID_OPTIONS'
  /** The option's name, for example `timeoutMs`. */
  readonly key: string

  constructor(key: string, expected: string, got: unknown) {
    super(`option ${key} must be ${expected}, but it is ${show(got)}`)
    this.key = key
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}

function causeOf(cause: unknown): ErrorOptions | undefined {
  return cause === undefined ? undefined : { cause }
}
