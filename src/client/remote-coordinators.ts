import type { BranchId, ClusterId, Timer, Txid } from '../base/index.ts'
import type {
  AbortRequest,
  CommitRequest,
  CoordinatorPort,
  InquireRequest,
  Reply,
  Verdict,
} from '../coordinator/index.ts'
import type { Connection, TransactionWait, WaitingTransaction } from '../transport/index.ts'
import { AckBook } from './ack-book.ts'
import { type Deadline, Deadlines } from './deadlines.ts'
import { ConcordatClosedError, CoordinatorUnavailableError } from './errors.ts'
import { Fleet, type FleetEvents, type FleetOptions } from './fleet.ts'
import { RequestTable } from './request-table.ts'

/** How often waiting ACKs are tried again, and coordinators that are down dialled anew while somebody waits. */
const NURSE_MS = 500

/** Somebody who waits for the cluster's id. */
interface Waiter extends Deadline {
  readonly resolve: (clusterId: ClusterId) => void
  readonly reject: (error: Error) => void
}

/**
 * The coordinators over the network: follows the leader, keeps many requests in flight on one connection, and repeats each (same
 * txid) until it has an answer or its time is over. Connects when it is first used.
 */
export class RemoteCoordinators implements CoordinatorPort {
  readonly #options: FleetOptions
  readonly #deadlines: Deadlines
  readonly #fleet: Fleet
  readonly #requests: RequestTable
  readonly #acks: AckBook
  readonly #waiters = new Set<Waiter>()
  #clusterId: ClusterId | undefined
  #leader: Connection | undefined
  #onVerdict: (verdict: Verdict) => void = () => {}
  #nurse: Timer | undefined
  #isClosed = false

  /** @param onOrder what to do with PREPARE and decisions, for a participant */
  constructor(options: FleetOptions, onOrder: FleetEvents['onOrder'] = () => {}) {
    const { clock, random, schedule } = options
    this.#options = options
    this.#clusterId = options.clusterId
    this.#deadlines = new Deadlines(clock)
    this.#acks = new AckBook(clock, schedule)
    this.#fleet = new Fleet(options, {
      onCluster: (clusterId) => this.#met(clusterId),
      onLeader: (connection) => {
        this.#leader = connection
        this.#requests.switchTo(connection)
        this.#acks.switchTo(connection)
      },
      // The others name a new leader before it has applied its term's first entry, and until then it drops ACKs.
      onServing: (connection) => this.#acks.switchTo(connection),
      onReply: (message, connection) => this.#requests.onReply(message, connection),
      onOrder,
      onDeadlock: (verdict) => this.#onVerdict(verdict),
    })
    this.#requests = new RequestTable({
      clock,
      deadlines: this.#deadlines,
      random,
      describe: () => this.#fleet.describe(),
      onNotLeader: (refused, from) => this.#fleet.learn(refused.leader, from),
    })
  }

  /** Connects before the first request: a participant is spoken to. */
  connect(): void {
    this.#start()
  }

  /** @throws CoordinatorUnavailableError after `timeoutMs`; the reason of `signal`; ConcordatClosedError */
  clusterId(options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined }): Promise<ClusterId> {
    if (this.#clusterId !== undefined) return Promise.resolve(this.#clusterId)
    if (this.#isClosed) return Promise.reject(new ConcordatClosedError())
    if (options.signal?.aborted === true) return Promise.reject(options.signal.reason)
    this.#start()
    return this.#awaitCluster(options.timeoutMs, options.signal)
  }

  commit(request: CommitRequest): Promise<Reply> {
    const { clusterId, txid, timeoutMs, answerMs = timeoutMs, branches } = request
    this.#start()
    const requestId = this.#requests.nextId()
    return this.#requests.submit({ kind: 'commit', requestId, clusterId, txid, timeoutMs, branches }, answerMs)
  }

  abort(request: AbortRequest, timeoutMs: number): Promise<Reply> {
    const { clusterId, txid, participant, branches } = request
    this.#start()
    const requestId = this.#requests.nextId()
    return this.#requests.submit({ kind: 'abort', requestId, clusterId, txid, participant, branches }, timeoutMs)
  }

  inquire(request: InquireRequest, timeoutMs: number): Promise<Reply> {
    const { clusterId, txid, settle } = request
    this.#start()
    const requestId = this.#requests.nextId()
    return this.#requests.submit({ kind: 'inquire', requestId, clusterId, txid, settle }, timeoutMs)
  }

  ack(txid: Txid, branches: readonly BranchId[]): void {
    if (this.#isClosed) return
    this.#start()
    this.#acks.add(txid, branches)
  }

  /** To the leader of the moment; while there is none, to nobody: it is repeated soon. */
  waiting(transactions: readonly WaitingTransaction[], onVerdict: (verdict: Verdict) => void): void {
    this.#onVerdict = onVerdict
    this.#leader?.send({ kind: 'waiting', transactions })
  }

  /** The same of a key-value participant. */
  lockWaits(waits: readonly TransactionWait[]): void {
    this.#leader?.send({ kind: 'lockWaits', waits })
  }

  /** Ends what is under way (as pending, where it was sent) and closes every connection. Repeats are harmless. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#nurse !== undefined) this.#options.clock.cancel(this.#nurse)
    this.#requests.close()
    this.#acks.flush()
    for (const waiter of this.#waiters) this.#leave(waiter, new ConcordatClosedError())
    this.#fleet.close()
  }

  #start(): void {
    if (this.#nurse !== undefined || this.#isClosed) return
    this.#nurse = this.#options.clock.every(NURSE_MS, () => this.#tend())
    this.#fleet.start()
  }

  #tend(): void {
    if (this.#acks.isWaiting) this.#acks.flush()
    if (this.#requests.size > 0 || this.#waiters.size > 0 || this.#acks.isWaiting) this.#fleet.hurry()
  }

  #awaitCluster(timeoutMs: number, signal: AbortSignal | undefined): Promise<ClusterId> {
    return new Promise((resolve, reject) => {
      const cancel = (): void => this.#leave(waiter, signal?.reason)
      const done = (): void => signal?.removeEventListener('abort', cancel)
      const waiter: Waiter = {
        dueMs: this.#options.clock.monotonicMs() + timeoutMs,
        expire: () => this.#leave(waiter, this.#unavailable(timeoutMs)),
        resolve: (clusterId) => {
          done()
          resolve(clusterId)
        },
        reject: (error) => {
          done()
          reject(error)
        },
      }
      signal?.addEventListener('abort', cancel, { once: true })
      this.#waiters.add(waiter)
      this.#deadlines.add(waiter)
    })
  }

  #met(clusterId: ClusterId): void {
    this.#clusterId = clusterId
    for (const waiter of this.#waiters) {
      this.#deadlines.remove(waiter)
      waiter.resolve(clusterId)
    }
    this.#waiters.clear()
  }

  #leave(waiter: Waiter, error: Error): void {
    this.#waiters.delete(waiter)
    this.#deadlines.remove(waiter)
    waiter.reject(error)
  }

  #unavailable(timeoutMs: number): CoordinatorUnavailableError {
    const { lastError } = this.#fleet
    return new CoordinatorUnavailableError(
      `no coordinator answered within ${Math.round(timeoutMs)} ms (${this.#fleet.describe()}); check the addresses and that they run`,
      lastError === undefined ? undefined : { cause: lastError },
    )
  }
}
