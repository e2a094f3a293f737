import {
  BRANCH_HEADER,
  type BranchId,
  type CallReport,
  type ClusterId,
  formatCallTicket,
  parseCallReport,
  REPORT_HEADER,
  type ReportedBranch,
  type Txid,
} from '../base/index.ts'
import type { BranchNumbers } from './branch-numbers.ts'
import { InvalidOptionsError, TooManyBranchesError, TransactionAbortedError, TransactionEndedError } from './errors.ts'

/** How one call takes part. */
export interface CallOptions {
  /**
   * The transaction may commit without this call: when it fails, or nobody hears what came of it, whatever it did is rolled
   * back, and the rest goes on. Default false: then such a call aborts the transaction, even if the callback goes on.
   */
  readonly optional?: boolean
  /** Branches that the called service and those that it calls may need, 1 to 64. Default: a quarter of what is left, at most 8. */
  readonly branches?: number
}

/** The headers of an answer, as `fetch`, `node:http`, axios, got and undici give them. */
export type AnswerHeaders =
  | { get(name: string): unknown }
  | Readonly<Record<string, string | readonly string[] | undefined>>

/** What the calls of a transaction need of it. */
export interface CallingTransaction {
  readonly txid: Txid
  readonly signal: AbortSignal
  readonly remainingMs: number
  /** False once it has ended or was doomed. */
  readonly isOpen: boolean
  cluster(): ClusterId | Promise<ClusterId>
  /** These take part. */
  accept(branches: readonly ReportedBranch[]): void
  doomWith(error: Error): void
}

interface OpenCall {
  readonly numbers: readonly BranchId[]
  readonly optional: boolean
}

/** Numbers of calls have seven digits in a ticket. */
const CALLS_MAX = 1_000_000

/**
 * The calls that a transaction makes to services which join it.
 *
 * Invariants:
 * 1. Each call has a number and branch numbers of its own; only its own report brings branches in, and only once.
 * 2. Unknown is not nothing: a call without a report, or that failed, dooms the transaction unless it is optional.
 * 3. A branch that no report named is never asked for its vote, so it can't commit.
 */
export class OutgoingCalls {
  readonly #tx: CallingTransaction
  readonly #numbers: BranchNumbers
  readonly #open = new Map<number, OpenCall>()
  #count = 0
  #anyFailed = false
  /** The call that doomed the transaction. */
  #doomedBy: number | undefined

  constructor(tx: CallingTransaction, numbers: BranchNumbers) {
    this.#tx = tx
    this.#numbers = numbers
  }

  /** Whether somebody whom no record names may have joined: only by asking do they hear of an abort. */
  get mayBeJoined(): boolean {
    return this.#open.size > 0 || this.#anyFailed
  }

  /** See `Transaction.headers`. */
  async headers(options: CallOptions = {}): Promise<Record<string, string>> {
    return (await this.#begin(options)).headers
  }

  /** See `Transaction.fetch`. */
  async fetch(input: string | URL | Request, init: RequestInit = {}, options: CallOptions = {}): Promise<Response> {
    if (init.redirect === 'follow') {
      throw new InvalidOptionsError(
        'redirect',
        '"manual" or "error": a transaction is not handed on to wherever an answer points',
        'follow',
      )
    }
    const { call, headers: own } = await this.#begin(options)
    const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined))
    for (const [name, value] of Object.entries(own)) headers.set(name, value)
    const given = init.signal ?? (input instanceof Request ? input.signal : undefined)
    const signal = this.#signalOf(call, given ?? undefined)
    const redirect = init.redirect ?? 'manual'
    let answer: Response
    try {
      answer = await fetch(input, { ...init, headers, signal, redirect })
    } catch (error) {
      this.#failed(call, 'got no answer', true, error)
      throw error
    }
    const report = this.#read(answer.headers)
    if (report?.call === call) this.#take(report, answer.status)
    else this.#failed(call, `was answered with status ${answer.status} and without a report`, true, undefined)
    return answer
  }

  /** See `Transaction.joined`. */
  joined(headers: AnswerHeaders): void {
    const report = this.#read(headers)
    if (report === undefined || !this.#open.has(report.call)) {
      const error = this.#aborted(
        `an answer has no ${REPORT_HEADER} header of a call that is open here`,
        true,
        undefined,
      )
      if ([...this.#open.values()].some(({ optional }) => !optional)) this.#tx.doomWith(error)
      throw error
    }
    this.#take(report, undefined)
  }

  /** Why the transaction may not commit: a call that brought no report. */
  unreported(): Error | undefined {
    for (const [call, { optional }] of this.#open) {
      if (optional) continue
      return this.#aborted(
        `nobody knows what came of call ${call}; await tx.fetch, and hand each answer's headers to tx.joined`,
        true,
        undefined,
      )
    }
    return undefined
  }

  async #begin({
    optional = false,
    branches,
  }: CallOptions): Promise<{ call: number; headers: Record<string, string> }> {
    if (branches !== undefined && !(Number.isInteger(branches) && branches >= 1 && branches <= 64)) {
      throw new InvalidOptionsError('branches', 'a whole number from 1 to 64', branches)
    }
    const cluster = await this.#tx.cluster()
    const { txid, remainingMs: timeoutMs } = this.#tx
    if (!this.#tx.isOpen) throw new TransactionEndedError(txid)
    const numbers = this.#count < CALLS_MAX ? this.#numbers.share(branches) : undefined
    if (numbers === undefined) throw this.#tooMany()
    const call = this.#count++
    this.#open.set(call, { numbers, optional })
    return { call, headers: { [BRANCH_HEADER]: formatCallTicket({ cluster, txid, call, numbers, timeoutMs }) } }
  }

  /** The transaction's end ends its calls; but what a failed call has to say can still be read. */
  #signalOf(call: number, given: AbortSignal | undefined): AbortSignal {
    const own = new AbortController()
    const { signal } = this.#tx
    const end = (): void => {
      if (this.#doomedBy !== call) own.abort(signal.reason)
    }
    signal.addEventListener('abort', end, { once: true })
    return given === undefined ? own.signal : AbortSignal.any([given, own.signal])
  }

  #read(headers: AnswerHeaders): CallReport | undefined {
    const given: unknown =
      typeof headers.get === 'function'
        ? headers.get(REPORT_HEADER)
        : (headers as Record<string, unknown>)[REPORT_HEADER]
    const value: unknown = Array.isArray(given) && given.length === 1 ? given[0] : given
    const report = typeof value === 'string' ? parseCallReport(value) : undefined
    // Anything else was kept by a cache, or mixed up on the way.
    return report?.txid === this.#tx.txid ? report : undefined
  }

  #take(report: CallReport, status: number | undefined): void {
    const open = this.#open.get(report.call)
    const used = new Set(report.branches.map(({ branch }) => branch))
    const isItsOwn = open !== undefined && used.size === report.branches.length && isSubset(used, open.numbers)
    if (!isItsOwn) return this.#failed(report.call, 'was answered with branches that are not its own', true, undefined)
    // An answer that comes after the callback has ended changes nothing any more.
    if (!this.#tx.isOpen && report.state === 'joined') return
    // What a failed one names is told of the abort; an optional one's finds out by asking.
    if (report.state === 'joined' || !open.optional) this.#tx.accept(report.branches)
    if (report.state === 'failed') {
      const passing = status === undefined || status >= 500
      return this.#failed(
        report.call,
        `failed${status === undefined ? '' : ` with status ${status}`}`,
        passing,
        undefined,
      )
    }
    this.#open.delete(report.call)
    this.#numbers.giveBack(open.numbers.filter((number) => !used.has(number)))
  }

  /** Its numbers are never used again: somebody may still hold branches of theirs. */
  #failed(call: number, what: string, retryable: boolean, cause: unknown): void {
    const open = this.#open.get(call)
    this.#open.delete(call)
    this.#anyFailed = true
    if (open?.optional === true) return
    this.#doomedBy ??= call
    this.#tx.doomWith(this.#aborted(`call ${call} ${what}`, retryable, cause))
  }

  #aborted(what: string, retryable: boolean, cause: unknown): TransactionAbortedError {
    return new TransactionAbortedError(what, { txid: this.#tx.txid, reason: 'callFailed', retryable, cause })
  }

  #tooMany(): TooManyBranchesError {
    const error = new TooManyBranchesError(
      'there are not enough branch numbers left for another call: a transaction has at most 64 branches; give calls fewer with { branches }, or make fewer at a time',
    )
    this.#tx.doomWith(error)
    return error
  }
}

function isSubset(some: ReadonlySet<BranchId>, all: readonly BranchId[]): boolean {
  return [...some].every((number) => all.includes(number))
}
