import type { Txid } from '../base/index.ts'
import type { KeyValueBranch, KeyValueStore } from '../kv/index.ts'
import type { Resource } from '../resources/index.ts'
import type { AnswerHeaders, CallOptions } from './outgoing-calls.ts'
import type { Service, ServiceBranch } from './service.ts'

/** What a callback gets: the transaction it runs in. Use it only until the callback has ended. */
export interface Transaction {
  /**
   * The transaction's id, known from the start: note it where a later `outcome(txid)` may need it. It tells something only
   * of transactions over several databases: one over a single database commits there alone, and coordinators never hear of it.
   */
  readonly txid: Txid

  /**
   * Fires when the transaction can't commit any more: its time is over, the caller's signal fired, `abort()` was called,
   * an enlistment failed or `close()` gave up waiting. Hand it to whatever else the callback waits for.
   */
  readonly signal: AbortSignal

  /**
   * Opens a branch in `resource` and returns your driver's own client inside it. The same resource gives the same client,
   * however often and concurrently it is enlisted. When an enlistment fails the whole transaction aborts, even if the
   * callback catches the error.
   *
   * @throws TransactionEndedError after the callback has ended or the transaction was doomed
   * @throws CoordinatorUnavailableError when the cluster's id is not known yet and no coordinator tells it in time
   * @throws TooManyBranchesError for the 65th branch
   * @throws ResourceUnavailableError when the database gives no session
   */
  enlist<Session>(resource: Resource<Session>): Promise<Session>

  /**
   * Enlists a service, which another process carries out: make the call with the branch's `headers()`. The coordinators ask
   * the service for its vote when the callback has ended.
   *
   * Each enlistment is a branch of its own: enlist once for each call. A call that fails, or of which nobody knows whether it
   * arrived, must fail the transaction: throw.
   *
   * @throws TransactionEndedError, CoordinatorUnavailableError, TooManyBranchesError
   */
  enlist(service: Service): Promise<ServiceBranch>

  /**
   * Opens a branch in a key-value participant: `kv()` of `concordat/kv`. The same participant gives the same branch. The
   * coordinators ask it for its vote when the callback has ended.
   *
   * @throws TransactionEndedError, CoordinatorUnavailableError, TooManyBranchesError; KvError when it is not reached or refuses
   */
  enlist(store: KeyValueStore): Promise<KeyValueBranch>

  /**
   * `fetch` of a service that joins the transaction (docs/joining.md): the call carries the header `concordat-tx`, and the
   * branches that its answer reports are committed or aborted with this transaction. Redirects are not followed: the answer
   * comes out as it is. A call that fails, that gets no answer, or whose answer brings no report aborts the transaction,
   * even if the callback goes on, unless it is `optional`.
   *
   * @param init as for `fetch`; the transaction's `signal` ends the call as well
   * @throws TransactionEndedError, CoordinatorUnavailableError, InvalidOptionsError; nothing was sent
   * @throws TooManyBranchesError when too few branch numbers are left; nothing was sent
   * @throws whatever `fetch` throws
   */
  fetch(input: string | URL | Request, init?: RequestInit, options?: CallOptions): Promise<Response>

  /**
   * Headers for one call that another client makes (axios, got, undici, …): `concordat-tx`. Take them anew for each call,
   * never follow a redirect with them, and hand the answer's headers to `joined()`: without that the transaction aborts.
   *
   * @throws as `fetch` does before it sends anything
   */
  headers(options?: CallOptions): Promise<Record<string, string>>

  /**
   * Takes the report out of the answer to a call with `headers()`.
   *
   * @throws TransactionAbortedError with reason `callFailed` when they hold no report of such a call
   */
  joined(answer: AnswerHeaders): void

  /**
   * Aborts the transaction and leaves the callback by throwing. Even if the callback catches that, nothing will be committed.
   *
   * @param cause becomes the error's `cause`
   * @throws TransactionAbortedError with reason `requested`, always
   */
  abort(cause?: unknown): never
}

/** How one transaction runs. */
export interface TransactionOptions {
  /** Its whole time, milliseconds, 1 to 86,400,000. When it is over before the commit request, it is aborted. Default 30,000. */
  readonly timeoutMs?: number
  /**
   * Aborts the transaction when it fires before the commit request is sent. Later it has no effect: the decision can't be
   * recalled, and the call ends with what was decided.
   */
  readonly signal?: AbortSignal | undefined
}
