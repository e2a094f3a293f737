import { type Clock, type ClusterId, parseTxid, systemClock, type Txid, toError } from '../base/index.ts'
import type { CoordinatorPort } from '../coordinator/index.ts'
import { within } from '../resources/index.ts'
import { tcpNetwork } from '../transport/index.ts'
import { ActiveTransaction } from './active-transaction.ts'
import { Ambient, refuseNested } from './ambient.ts'
import { Background } from './background.ts'
import { Committer } from './committer.ts'
import { Deadlines } from './deadlines.ts'
import { DEFAULTS } from './defaults.ts'
import type { EmbeddedOptions } from './embedded.ts'
import {
  ConcordatClosedError,
  CoordinatorUnavailableError,
  InvalidOptionsError,
  RequestRefusedError,
} from './errors.ts'
import { InDoubtWatch } from './in-doubt-watch.ts'
import {
  type CommonOptions,
  type ConcordatOptions,
  checkCommon,
  checkFleet,
  checkTransaction,
  type Settings,
} from './options.ts'
import { RemoteCoordinators } from './remote-coordinators.ts'
import { Settler } from './settler.ts'
import type { Transaction, TransactionOptions } from './transaction.ts'
import { TxidSource } from './txid-source.ts'
import { WaitWatch } from './wait-watch.ts'

/**
 * What became of a transaction.
 *
 * - `unknown`: it is still being decided, or runs in this process, or its one database has no proof. Ask again.
 * - `forgotten`: it is so old that only this is left of it: if it was committed, every branch was told.
 */
export type TransactionOutcome = 'committed' | 'aborted' | 'unknown' | 'forgotten'

/** What the application does in a transaction. It gets the transaction and returns what the call shall return. */
export type TransactionCallback<T> = (tx: Transaction) => Promise<T> | T

/** The seams that the simulator and tests replace. */
export interface ConcordatSeams {
  readonly clock?: Clock
  /** From 0 to below 1: jitter only. */
  readonly random?: () => number
  readonly randomFill?: (bytes: Uint8Array) => void
}

/**
 * Runs transactions over many databases. Make one for the process and share it; it connects when the first transaction begins.
 *
 * @example
 * const concordat = new Concordat({ coordinators: ['10.0.0.1:7400', '10.0.0.2:7400', '10.0.0.3:7400'] })
 * const flights = postgres(pgPool, { name: 'flights' })
 * const hotels = mysql(mysqlPool, { name: 'hotels' })
 * await concordat.transaction(async () => {
 *   await flights.query('update seats set taken_by = $1 where id = $2', [who, seat])
 *   await hotels.query('insert into nights (guest, room) values (?, ?)', [who, room])
 * })
 */
export class Concordat {
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #port: CoordinatorPort
  readonly #deadlines: Deadlines
  readonly #background: Background
  readonly #settler: Settler
  readonly #inDoubt: InDoubtWatch
  readonly #committer: Committer
  readonly #txids: TxidSource
  readonly #running = new Map<Txid, ActiveTransaction>()
  readonly #waits: WaitWatch | undefined
  #whenIdle: (() => void)[] = []
  #clusterId: ClusterId | undefined
  #closing: Promise<void> | undefined

  /**
   * Over a fleet of coordinators. Nothing is sent yet.
   *
   * @throws InvalidOptionsError
   */
  constructor(options: ConcordatOptions)
  /** @internal Over any port; see `Concordat.over`. */
  constructor(options: CommonOptions, port: CoordinatorPort, seams?: ConcordatSeams)
  constructor(options: ConcordatOptions | CommonOptions, given?: CoordinatorPort, seams: ConcordatSeams = {}) {
    const { clock = systemClock, random = Math.random, randomFill } = seams
    const { settings, port, clusterId } = given === undefined ? overFleet(options) : overPort(options, given)
    this.#settings = settings
    this.#clock = clock
    this.#port = port
    this.#clusterId = clusterId
    const { logger, decisionTimeoutMs } = settings
    const deadlines = new Deadlines(clock)
    const background = new Background({ clock, random, logger })
    const settler = new Settler({ port, background, deadlines, logger })
    const known = (): ClusterId | undefined => this.#clusterId
    const inDoubt = new InDoubtWatch({ port, settler, background, clusterId: known })
    this.#deadlines = deadlines
    this.#background = background
    this.#settler = settler
    this.#inDoubt = inDoubt
    this.#committer = new Committer({ port, settler, inDoubt, deadlines, decisionTimeoutMs, clusterId: known })
    if (settings.deadlockDetection && port.waiting !== undefined) {
      this.#waits = new WaitWatch({ port, clock, running: this.#running })
    }
    this.#txids = new TxidSource(() => clock.wallMs(), randomFill)
  }

  /**
   * Over a coordinator port of your own, for example a scripted one in a test. `close()` closes it.
   *
   * @throws InvalidOptionsError
   */
  static over(port: CoordinatorPort, options: CommonOptions = {}, seams: ConcordatSeams = {}): Concordat {
    return new Concordat(options, port, seams)
  }

  /**
   * With a coordinator inside this process, for development and small services: the same log format and promises as a
   * fleet's, except that this machine's disk is the only one. It can't decide while the process is down.
   *
   * @throws InvalidOptionsError, WalLockedError when another process has `dataDir`, and what else its log refuses
   * @example
   * await using concordat = await Concordat.embedded({ dataDir: './decisions', resources: [flights, hotels] })
   */
  static async embedded(options: EmbeddedOptions): Promise<Concordat> {
    // Users of a fleet never load the log, the replica and the coordinator.
    const { openEmbedded } = await import('./embedded.ts')
    const port = await openEmbedded(options)
    const { dataDir: _dataDir, clusterId: _clusterId, resources: _resources, ...common } = options
    return new Concordat(common, port)
  }

  /**
   * Runs `callback` in a transaction over whatever it enlists, and returns what it returns once all of it is committed.
   * A throw aborts everything and comes out unchanged, after the branches were rolled back.
   *
   * Within the callback, and all that it calls and awaits, plain calls of a resource (`flights.query()`, or an ORM over
   * `flights.pool`) run in the transaction without being told; see docs/ambient.md.
   *
   * @throws TransactionAbortedError when it could not commit: nothing of it happened
   * @throws OutcomeUnknownError when nobody can say yet; ask `outcome(txid)`
   * @throws CoordinatorUnavailableError when no coordinator told the cluster's id in time: nothing happened
   * @throws NestedTransactionError within the callback of another one
   * @throws ConcordatClosedError after `close()`; InvalidOptionsError
   */
  transaction<T>(callback: TransactionCallback<T>): Promise<T>
  transaction<T>(options: TransactionOptions, callback: TransactionCallback<T>): Promise<T>
  async transaction<T>(
    first: TransactionOptions | TransactionCallback<T>,
    second?: TransactionCallback<T>,
  ): Promise<T> {
    const [options, callback] = typeof first === 'function' ? [{}, first] : [first, second]
    if (typeof callback !== 'function') throw new InvalidOptionsError('callback', 'a function', callback)
    refuseNested()
    const tx = this.#begin(options)
    const ambient = new Ambient(tx)
    try {
      return await this.#run(tx, ambient, callback)
    } finally {
      tx.dispose()
      this.#running.delete(tx.txid)
      if (this.#running.size === 0) for (const resolve of this.#whenIdle.splice(0)) resolve()
    }
  }

  /**
   * Asks what became of a transaction, for example after OutcomeUnknownError. A transaction that no coordinator knows becomes aborted,
   * durably, by this question (P5): so don't ask for one that still runs in another process.
   *
   * Don't ask for one that had a single database, except after an OutcomeUnknownError with a `participant`, and then ask the
   * same `Concordat`: such a transaction commits in that database alone, so to coordinators it is unknown, and they would
   * answer "aborted" although it may be committed.
   *
   * @throws CoordinatorUnavailableError when there was no answer within `timeoutMs` (default 10,000)
   * @throws MalformedIdError, RequestRefusedError, ConcordatClosedError, InvalidOptionsError
   */
  async outcome(txid: string, options: { readonly timeoutMs?: number } = {}): Promise<TransactionOutcome> {
    const id = parseTxid(txid)
    const { timeoutMs = DEFAULTS.outcomeTimeoutMs } = options
    checkCommon({ timeoutMs })
    if (this.#closing !== undefined) throw new ConcordatClosedError()
    if (this.#running.has(id)) return 'unknown'
    const proof = await this.#inDoubt.askLone(id)
    if (proof !== undefined) return proof === 'none' ? 'unknown' : proof
    return this.#inquire(id, timeoutMs)
  }

  /**
   * Takes no more transactions, lets those that run end, finishes their branches and closes all connections to coordinators. What does
   * not end within `closeTimeoutMs` is aborted; branches that can't be finished are left to the coordinators' resolver.
   * Your own pools stay open: close them afterwards.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #begin(options: TransactionOptions): ActiveTransaction {
    const { timeoutMs, signal } = checkTransaction(options, this.#settings)
    if (this.#closing !== undefined) throw new ConcordatClosedError()
    const tx = new ActiveTransaction({
      txid: this.#txids.next(),
      timeoutMs,
      signal,
      clock: this.#clock,
      deadlines: this.#deadlines,
      clusterId: (waitMs, given) => this.#clusterId ?? this.#askClusterId(waitMs, given),
    })
    this.#running.set(tx.txid, tx)
    this.#waits?.start()
    return tx
  }

  async #run<T>(tx: ActiveTransaction, ambient: Ambient, callback: TransactionCallback<T>): Promise<T> {
    try {
      if (tx.doom !== undefined) throw tx.doom
      const value = await tx.unlessEnded(within(ambient, () => callback(tx)))
      tx.end()
      ambient.end()
      await this.#committer.commit(tx)
      return value
    } catch (error) {
      tx.end()
      ambient.close()
      const settlement = this.#committer.settlement(tx)
      if (!tx.isDeciding && settlement !== undefined) await this.#settler.rollBack(settlement)
      throw error
    }
  }

  async #askClusterId(timeoutMs: number, signal: AbortSignal): Promise<ClusterId> {
    this.#clusterId = await this.#port.clusterId({ timeoutMs, signal })
    return this.#clusterId
  }

  async #inquire(txid: Txid, timeoutMs: number): Promise<TransactionOutcome> {
    const startMs = this.#clock.monotonicMs()
    const signal = new AbortController().signal
    const clusterId = this.#clusterId ?? (await this.#askClusterId(timeoutMs, signal))
    const leftMs = Math.max(1, timeoutMs - (this.#clock.monotonicMs() - startMs))
    const reply = await this.#port.inquire({ clusterId, txid, settle: true }, leftMs)
    if (reply.kind === 'outcome') {
      const { kind } = reply.outcome
      return kind === 'preparing' ? 'unknown' : kind
    }
    const cause = new RequestRefusedError(reply)
    if (!reply.retryable) throw cause
    throw new CoordinatorUnavailableError(
      `no coordinator could tell the outcome of ${txid} within ${timeoutMs} ms (${reply.message}); ask again`,
      { cause },
    )
  }

  async #close(): Promise<void> {
    const { closeTimeoutMs, logger } = this.#settings
    await this.#deadlines.within(this.#idle(), closeTimeoutMs, undefined)
    for (const tx of this.#running.values()) tx.closed()
    await this.#deadlines.within(this.#idle(), closeTimeoutMs, undefined)
    await this.#deadlines.within(this.#background.idle(), closeTimeoutMs, undefined)
    this.#background.stop()
    // Hand-overs of what was left take a moment; a database that hangs must not hold us.
    await this.#deadlines.within(this.#background.idle(), DEFAULTS.backoffMaxMs, undefined)
    const left = this.#background.size
    if (left > 0) logger.warn({ left }, 'closed with branches unfinished; the coordinators finish them')
    await this.#port
      .close()
      .catch((thrown) => logger.warn({ err: toError(thrown) }, 'the coordinator port did not close'))
  }

  #idle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#whenIdle.push(resolve))
  }
}

interface Basis {
  readonly settings: Settings
  readonly port: CoordinatorPort
  readonly clusterId: ClusterId | undefined
}

function overPort(options: CommonOptions, port: CoordinatorPort): Basis {
  return { settings: checkCommon(options), port, clusterId: undefined }
}

function overFleet(options: CommonOptions): Basis {
  const { settings, fleet } = checkFleet(options as ConcordatOptions)
  const { logger } = settings
  const port = new RemoteCoordinators({
    ...fleet,
    logger,
    network: tcpNetwork(),
    clock: systemClock,
    random: Math.random,
  })
  return { settings, port, clusterId: fleet.clusterId }
}
