import { setMaxListeners } from 'node:events'
import {
  assert,
  BRANCHES_MAX,
  type BranchId,
  type Clock,
  type ClusterId,
  ConcordatError,
  type ReportedBranch,
  type Txid,
  toError,
} from '../base/index.ts'
import type { Verdict } from '../coordinator/index.ts'
import type { KeyValueBranch, KeyValueStore } from '../kv/index.ts'
import { type Branch, detached, type Resource } from '../resources/index.ts'
import type { BranchRecord } from '../txn/index.ts'
import { BranchNumbers } from './branch-numbers.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import { Enlistment } from './enlistment.ts'
import {
  TooManyBranchesError,
  TransactionAbortedError,
  type TransactionAbortReason,
  TransactionEndedError,
} from './errors.ts'
import { type AnswerHeaders, type CallOptions, OutgoingCalls } from './outgoing-calls.ts'
import { type Service, ServiceBranch, serviceRecord } from './service.ts'
import { StoreEnlistment } from './store-enlistment.ts'
import type { Transaction } from './transaction.ts'

/** A branch of a running transaction, as somebody sees it who looks for waits. */
export interface WorkingBranch {
  readonly branchId: BranchId
  readonly participant: string
  /** The database's number of its session; empty in a key-value participant, which goes by txid. */
  readonly session: string
  /** Which statement is under way, from 1. */
  readonly underWay: number | undefined
  /** Itself. */
  readonly branch: Pick<Branch<unknown>, 'closeAtEnd' | 'underWay'>
}

/** Of an enlistment that got no number, and dooms its transaction. */
const NO_BRANCH = BRANCHES_MAX as BranchId

/** What a running transaction needs from its `Concordat`. */
export interface TransactionParts {
  readonly txid: Txid
  readonly timeoutMs: number
  /** The caller's. */
  readonly signal: AbortSignal | undefined
  readonly clock: Clock
  readonly deadlines: Deadlines
  /** The cluster's id if it is known already, else the way to learn it. */
  readonly clusterId: (timeoutMs: number, signal: AbortSignal) => ClusterId | Promise<ClusterId>
  /** Left out: all of them. */
  readonly numbers?: readonly BranchId[]
}

/**
 * A transaction while its callback runs and its votes are gathered.
 *
 * 1. Once doomed it can't commit; the first doom stays. A doom that the callback sees itself (a failed enlistment, `abort()`)
 *    leaves it the last word; one from outside (time, signal, close) ends the call at once.
 * 2. After `end()` no branch joins.
 * 3. After `decide()` nothing dooms it: the coordinators have been asked, and only they know.
 */
export class ActiveTransaction implements Transaction, Deadline {
  readonly txid: Txid
  readonly dueMs: number
  readonly enlistments: Enlistment[] = []
  /** Branches in other processes, whose votes the coordinators gather. */
  readonly services: BranchRecord[] = []
  /** Those of them that are in key-value participants, which this process works in. */
  readonly stores: StoreEnlistment[] = []
  readonly #numbers: BranchNumbers
  #calls: OutgoingCalls | undefined
  readonly #parts: TransactionParts
  readonly #byResource = new Map<Resource<unknown>, Enlistment>()
  readonly #controller = new AbortController()
  readonly #doomed: Promise<never>
  #rejectDoomed: (error: Error) => void = () => {}
  #doom: Error | undefined
  #ended = false
  #deciding = false
  #dying = false

  constructor(parts: TransactionParts) {
    this.#parts = parts
    this.txid = parts.txid
    this.#numbers = new BranchNumbers(parts.numbers)
    this.dueMs = parts.clock.monotonicMs() + parts.timeoutMs
    // Each call and branch under way listens, and their number is bounded: many listeners are no leak.
    setMaxListeners(0, this.#controller.signal)
    this.#doomed = new Promise<never>((_resolve, reject) => {
      this.#rejectDoomed = reject
    })
    // A doom that nobody waits for at that moment is seen later through `doom`.
    this.#doomed.catch(() => {})
    parts.deadlines.add(this)
    parts.signal?.addEventListener('abort', this.#cancelled, { once: true })
    if (parts.signal?.aborted === true) this.#cancelled()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Why it can only abort; undefined while it may commit. */
  get doom(): Error | undefined {
    return this.#doom
  }

  /** Milliseconds of its time that are left; not below 0. */
  get remainingMs(): number {
    return Math.max(0, this.dueMs - this.#parts.clock.monotonicMs())
  }

  enlist(service: Service): Promise<ServiceBranch>
  enlist(store: KeyValueStore): Promise<KeyValueBranch>
  enlist<Session>(resource: Resource<Session>): Promise<Session>
  enlist<Session>(
    resource: Resource<Session> | Service | KeyValueStore,
  ): Promise<Session | ServiceBranch | KeyValueBranch> {
    if (!this.isOpen) return refusedQuietly(new TransactionEndedError(this.txid))
    if (resource.kind === 'kv') return this.#enlistStore(resource)
    return resource.kind === 'service' ? this.#enlistService(resource) : this.#enlistResource(resource)
  }

  #enlistResource<Session>(resource: Resource<Session>): Promise<Session> {
    const enlistment = this.#byResource.get(resource) ?? this.#begin(resource)
    // The map's key is the resource itself, so the branch has its session type.
    const session = enlistment.opening.then((branch) => branch.session as Session)
    // A failure dooms the transaction and comes out there, also when nobody awaits this promise.
    session.catch(() => {})
    return session
  }

  fetch(input: string | URL | Request, init?: RequestInit, options?: CallOptions): Promise<Response> {
    return this.#calling().fetch(input, init, options)
  }

  headers(options?: CallOptions): Promise<Record<string, string>> {
    return this.#calling().headers(options)
  }

  joined(answer: AnswerHeaders): void {
    this.#calling().joined(answer)
  }

  abort(cause?: unknown): never {
    const error = this.#abortedError('requested', 'the application asked for it', false, cause)
    this.doomWith(error)
    throw this.#doom ?? error
  }

  /** Calls to services that join by themselves; undefined when there were none. */
  get calls(): OutgoingCalls | undefined {
    return this.#calls
  }

  /** Whether branches may still come in. */
  get isOpen(): boolean {
    return !this.#ended && this.#doom === undefined
  }

  /** Branches that a called service reported. */
  accept(branches: readonly ReportedBranch[]): void {
    for (const branch of branches) this.services.push({ ...branch, vote: undefined, evidence: undefined })
  }

  /** The cluster that decides it. */
  cluster(): ClusterId | Promise<ClusterId> {
    // A little less than its whole time: "no coordinator answers" says more than "the time was over".
    return detached(() => this.#parts.clusterId(this.remainingMs * 0.9, this.signal))
  }

  /** From now on it can only abort; the callback has the last word. */
  doomWith(error: Error): void {
    if (this.#doom !== undefined || this.#deciding) return
    this.#doom = error
    this.#controller.abort(error)
  }

  /** Dooms it, unless it is doomed or its decision was asked for already. */
  expire(): void {
    const what = `its time of ${this.#parts.timeoutMs} ms was over`
    this.#endNow(this.#abortedError('deadline', what, true, undefined))
  }

  /** What it does in branches of which it awaits the votes: while its callback runs, and while it rolls back. */
  *working(): Generator<WorkingBranch> {
    if (this.#deciding) return
    for (const { branchId, phase, resource, branch } of this.enlistments) {
      if (phase !== 'open' || branch === undefined) continue
      const { sessionId, underWay } = branch
      if (sessionId !== undefined) yield { branchId, participant: resource.name, session: sessionId, underWay, branch }
    }
    for (const { branchId, name, branch } of this.stores) {
      if (branch !== undefined) yield { branchId, participant: name, session: '', underWay: branch.underWay, branch }
    }
  }

  /** It can only abort any more, and nobody waits for what its statements answer. */
  get isDying(): boolean {
    return this.#dying
  }

  /** Dies in a deadlock, if the statement in which it is said to wait is still under way. @returns whether it does */
  condemned({ branch, statement, circle }: Verdict): boolean {
    if (this.#ended || this.#deciding || this.#doom !== undefined) return false
    const waiting = [...this.working()].find(({ branchId, underWay }) => branchId === branch && underWay === statement)
    if (waiting === undefined) return false
    const what = `it was the youngest in a deadlock over several databases (${circle})`
    this.#endNow(this.#abortedError('deadlock', what, true, undefined, waiting.participant))
    return true
  }

  /** `close()` waits no longer. */
  closed(): void {
    this.#endNow(this.#abortedError('closed', 'close() did not wait for it any longer', false, undefined))
  }

  /** What `work` comes to, unless time, signal or close end it before: then it rejects with the doom and `work` goes on unseen. */
  unlessEnded<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#doomed])
  }

  /** The callback is over: no branch joins any more. */
  end(): void {
    this.#ended = true
  }

  /** Whether the decision was asked for: what is to be done with the branches then follows from its answer. */
  get isDeciding(): boolean {
    return this.#deciding
  }

  /** From here on only the coordinators, or the one database, decide. @throws the doom when there is one */
  decide(): void {
    assert(this.#ended, 'a transaction is decided after its callback has ended')
    if (this.#doom !== undefined) throw this.#doom
    this.#deciding = true
    this.dispose()
  }

  /** Lets go of the timer and of the caller's signal. */
  dispose(): void {
    this.#parts.deadlines.remove(this)
    this.#parts.signal?.removeEventListener('abort', this.#cancelled)
  }

  readonly #cancelled = (): void => {
    const cause: unknown = this.#parts.signal?.reason
    this.#endNow(this.#abortedError('cancelled', "the caller's signal fired", false, cause))
  }

  #calling(): OutgoingCalls {
    this.#calls ??= new OutgoingCalls(this, this.#numbers)
    return this.#calls
  }

  #enlistService({ name }: Service): Promise<ServiceBranch> {
    const number = this.#numbers.take()
    const joining = number === undefined ? Promise.reject(tooMany()) : this.#joinService(name, number)
    joining.catch((error: unknown) => this.doomWith(toError(error)))
    return joining
  }

  async #joinService(name: string, branch: BranchId): Promise<ServiceBranch> {
    const record = serviceRecord(branch, name)
    this.services.push(record)
    const cluster = await this.cluster()
    if (!this.isOpen) throw new TransactionEndedError(this.txid)
    return new ServiceBranch(record, this.txid, cluster, () => this.remainingMs)
  }

  #enlistStore(store: KeyValueStore): Promise<KeyValueBranch> {
    // By name: a participant has one branch of a transaction, however many handles lead to it.
    const known = this.stores.find(({ name }) => name === store.name)
    if (known !== undefined) return known.opening
    const number = this.#numbers.take()
    const opening = number === undefined ? Promise.reject(tooMany()) : this.#beginIn(store, number)
    opening.catch((error: unknown) => this.doomWith(toError(error)))
    const enlistment = new StoreEnlistment(number ?? NO_BRANCH, store, opening)
    this.stores.push(enlistment)
    this.services.push(enlistment.record)
    return opening
  }

  async #beginIn(store: KeyValueStore, branch: BranchId): Promise<KeyValueBranch> {
    const cluster = await this.cluster()
    if (!this.isOpen) throw new TransactionEndedError(this.txid)
    const identity = { cluster, txid: this.txid, branch, timeoutMs: this.remainingMs }
    return detached(() => store.begin(identity, this.signal))
  }

  #begin(resource: Resource<unknown>): Enlistment {
    const number = this.#numbers.take()
    const opening = number === undefined ? Promise.reject(tooMany()) : this.#open(resource, number)
    opening.catch((error: unknown) => this.doomWith(this.#enlistFailed(resource, toError(error))))
    const enlistment = new Enlistment(number ?? NO_BRANCH, resource, opening)
    this.#byResource.set(resource, enlistment)
    this.enlistments.push(enlistment)
    return enlistment
  }

  async #open(resource: Resource<unknown>, branch: BranchId): Promise<Branch<unknown>> {
    // Nothing is awaited when the cluster is known: the branch begins within the call.
    const known = this.cluster()
    const cluster = typeof known === 'string' ? known : await known
    if (!this.isOpen) throw new TransactionEndedError(this.txid)
    // Connections that this may open outlive the transaction, and must not carry it on.
    return detached(() => resource.begin({ cluster, txid: this.txid, branch }, { signal: this.signal }))
  }

  /** An error of ours says all by itself; a driver's own needs to be told apart from the application's. */
  #enlistFailed(resource: Resource<unknown>, error: Error): Error {
    if (error instanceof ConcordatError) return error
    const what = `no branch could be opened in "${resource.name}" (${error.message})`
    return this.#abortedError('unreachable', what, true, error, resource.name)
  }

  #abortedError(
    reason: TransactionAbortReason,
    what: string,
    retryable: boolean,
    cause: unknown,
    participant?: string,
  ): TransactionAbortedError {
    return new TransactionAbortedError(what, { txid: this.txid, reason, participant, retryable, cause })
  }

  #endNow(error: Error): void {
    if (this.#deciding) return
    this.#dying = true
    this.doomWith(error)
    this.dispose()
    this.#rejectDoomed(this.#doom ?? error)
  }
}

/**
 * A rejection that does not end the process when nobody awaits it yet: a callback that starts several enlistments and
 * awaits them one by one is still awaiting the first when the time is over, which is nothing that it did wrong.
 */
function refusedQuietly(error: Error): Promise<never> {
  const refused = Promise.reject(error)
  refused.catch(() => {})
  return refused
}

function tooMany(): TooManyBranchesError {
  return new TooManyBranchesError(
    `a transaction has at most ${BRANCHES_MAX} branches; split the work, or enlist each database once`,
  )
}
