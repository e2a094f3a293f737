import {
  type Clock,
  type ClusterId,
  ConcordatError,
  type Gid,
  makeGid,
  type Prng,
  type Timer,
  toError,
} from '../base/index.ts'
import { type InDoubtPort, type PreparedBranch, ResourceUnavailableError } from '../resources/index.ts'
import { type BranchRecord, databaseOf } from '../txn/index.ts'
import { forEachLimited, withinTime } from './bounded-work.ts'
import { BranchSettler, type ResolverCoordinator } from './branch-settler.ts'
import type { Undelivered } from './decision-delivery.ts'
import type { Logger } from './logger.ts'
import { RecentDoubts } from './recent-doubts.ts'
import { resendDelayMs } from './resend-delay.ts'
import type { ResolverOptions } from './resolver-options.ts'
import type { ResourceStatus } from './resolver-status.ts'

export interface ResourceWatchParts {
  readonly name: string
  readonly port: InDoubtPort
  readonly coordinator: ResolverCoordinator
  readonly clusterId: ClusterId
  readonly clock: Clock
  readonly prng: Prng
  readonly options: ResolverOptions
  readonly logger: Logger
}

/** Wanted scans are rounded up to this, so that a hundred lost connections want a few scans and not a hundred. */
const QUANTUM_MS = 100

/** Watches one resource for branches that nobody finishes. Resources know nothing of each other: one that is down delays nobody. */
export class ResourceWatch {
  readonly #parts: ResourceWatchParts
  readonly #settler: BranchSettler
  readonly #doubts = new RecentDoubts()
  /** For databases that keep no time (XA): when a branch was seen first. */
  #firstSeenMs = new Map<Gid, number>()
  #inDoubtCount = 0
  /** The age of the oldest branch, and when it was that old. */
  #oldest = { ageMs: 0, atMs: 0 }
  #error: { readonly message: string; readonly sinceMs: number } | undefined
  #lastScanMs: number | undefined
  #lastForgottenMs = Number.NEGATIVE_INFINITY
  #failures = 0
  #running = false
  /** When this leadership began. */
  #startedMs = 0
  #scanning = false
  #timer: Timer | undefined
  #dueMs = Number.POSITIVE_INFINITY
  /** When scans are wanted, besides the periodic one. */
  readonly #wanted = new Set<number>()

  constructor(parts: ResourceWatchParts) {
    this.#parts = parts
    const { name, port, coordinator, clusterId, clock, logger, options } = parts
    this.#settler = new BranchSettler({
      coordinator,
      clusterId,
      resource: name,
      port,
      logger,
      clock,
      options,
      bounded: (call) => this.#bounded(call),
    })
  }

  get name(): string {
    return this.#parts.name
  }

  /** Scans now, again when what it found has outlived its grace time, and then periodically. */
  start(): void {
    this.#running = true
    this.#startedMs = this.#parts.clock.monotonicMs()
    this.#failures = 0
    this.#settler.reset()
    this.alert()
  }

  /** Scans no more. A call that is under way is not interrupted: what it does is decided. */
  stop(): void {
    this.#running = false
    this.#wanted.clear()
    this.#disarm()
  }

  /** Something may have been left behind just now: scans at once (for databases that keep no time) and after the grace time. */
  alert(): void {
    if (!this.#running) return
    const nowMs = this.#parts.clock.monotonicMs()
    this.#want(nowMs)
    this.#want(nowMs + this.#parts.options.graceMs + QUANTUM_MS)
  }

  status(): ResourceStatus {
    const nowMs = this.#parts.clock.monotonicMs()
    const since = (ms: number | undefined) => (ms === undefined ? undefined : nowMs - ms)
    return {
      name: this.#parts.name,
      inDoubtCount: this.#inDoubtCount,
      oldestMs: this.#inDoubtCount === 0 ? undefined : this.#oldest.ageMs + nowMs - this.#oldest.atMs,
      error: this.#error?.message,
      errorAgeMs: since(this.#error?.sinceMs),
      scanAgeMs: since(this.#lastScanMs),
      settledCount: this.#doubts.count,
      recentDoubtMs: this.#doubts.recent(),
    }
  }

  #want(atMs: number): void {
    this.#wanted.add(Math.ceil(atMs / QUANTUM_MS) * QUANTUM_MS)
    // While the resource fails, its back-off rules.
    if (!this.#scanning && this.#failures === 0) this.#arm(Math.min(atMs, this.#dueMs))
  }

  #arm(atMs: number): void {
    const { clock } = this.#parts
    this.#disarm()
    this.#dueMs = atMs
    this.#timer = clock.after(Math.max(0, atMs - clock.monotonicMs()), () => void this.#run())
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#parts.clock.cancel(this.#timer)
    this.#timer = undefined
    this.#dueMs = Number.POSITIVE_INFINITY
  }

  async #run(): Promise<void> {
    this.#disarm()
    if (this.#scanning) return
    this.#scanning = true
    const startedMs = this.#parts.clock.monotonicMs()
    let more = false
    try {
      more = await this.#scan(startedMs)
      this.#recovered()
    } catch (thrown) {
      this.#failed(toError(thrown))
    }
    this.#scanning = false
    this.#lastScanMs = startedMs
    if (this.#running) this.#arm(this.#nextScanMs(startedMs, more))
  }

  #nextScanMs(startedMs: number, more: boolean): number {
    const { clock, options, prng } = this.#parts
    const nowMs = clock.monotonicMs()
    // What was wanted before this scan began has had it.
    for (const atMs of this.#wanted) if (atMs <= startedMs + QUANTUM_MS) this.#wanted.delete(atMs)
    if (this.#failures > 0) {
      const limits = { resendMinMs: options.retryMinMs, resendMaxMs: options.retryMaxMs }
      return nowMs + resendDelayMs(this.#failures - 1, prng, limits)
    }
    if (more) return nowMs + QUANTUM_MS
    return Math.min(nowMs + options.scanMs, ...this.#wanted)
  }

  /** True when there is more to do soon. */
  async #scan(startedMs: number): Promise<boolean> {
    const { port, clusterId, options } = this.#parts
    const listed = await this.#bounded(port.list(clusterId))
    const ages = this.#note(listed)
    const due = listed.filter(({ gid }) => ages.get(gid)! >= options.graceMs)
    const ended = this.#endedBranches(new Set(listed.map(({ gid }) => `${gid}`)), startedMs)
    const errors: Error[] = []
    const work = [
      ...due.map((branch) => () => this.#settlePrepared(branch, ages.get(branch.gid)!)),
      ...ended.map(
        ([transaction, record]) =>
          () =>
            this.#settler.settleEnded(transaction, record),
      ),
    ]
    await forEachLimited(work, options.concurrency, (task) => this.#attempt(task, errors))
    if (errors[0] !== undefined) throw errors[0]
    await this.#forgetEvidence()
    return ended.length >= options.endedBranchesMax
  }

  /** One branch's trouble does not keep the others waiting; a database that is away does. False: stop. */
  async #attempt(task: () => Promise<void>, errors: Error[]): Promise<boolean> {
    if (!this.#running) return false
    try {
      await task()
      return true
    } catch (thrown) {
      errors.push(toError(thrown))
      return !(thrown instanceof ResourceUnavailableError)
    }
  }

  async #settlePrepared(branch: PreparedBranch, ageMs: number): Promise<void> {
    const foundMs = this.#parts.clock.monotonicMs()
    // A commit request that waited for this leader may come only now, however long the election took: nobody presumes
    // an abort before its client had the grace time to reach us.
    const mayPresume = foundMs - this.#startedMs >= this.#parts.options.graceMs
    if (!(await this.#settler.settlePrepared(branch, mayPresume))) return
    this.#inDoubtCount--
    this.#doubts.add(ageMs + this.#parts.clock.monotonicMs() - foundMs)
  }

  /** The ages of the listed branches; and what status shows. */
  #note(listed: readonly PreparedBranch[]): Map<Gid, number> {
    const nowMs = this.#parts.clock.monotonicMs()
    const firstSeenMs = new Map<Gid, number>()
    const ages = new Map<Gid, number>()
    for (const { gid, ageMs } of listed) {
      const seenMs = this.#firstSeenMs.get(gid) ?? nowMs
      firstSeenMs.set(gid, seenMs)
      // A branch from the future says that the database's clock was set back: then ours counts.
      ages.set(gid, ageMs !== undefined && ageMs >= 0 ? ageMs : nowMs - seenMs)
    }
    this.#firstSeenMs = firstSeenMs
    this.#inDoubtCount = listed.length
    let oldestMs = 0
    for (const ageMs of ages.values()) oldestMs = Math.max(oldestMs, ageMs)
    this.#oldest = { ageMs: oldestMs, atMs: nowMs }
    return ages
  }

  /**
   * Branches of ours that are decided, were not acknowledged for the grace time, and are not prepared any more. They were
   * decided before the list was asked for, and prepared before that, so a list without them means that they have ended.
   */
  #endedBranches(listed: ReadonlySet<string>, listedMs: number): [Undelivered, BranchRecord][] {
    const { coordinator, clusterId, name, options } = this.#parts
    const found: [Undelivered, BranchRecord][] = []
    for (const transaction of coordinator.undelivered()) {
      // The oldest come first.
      if (transaction.sinceMs > listedMs - options.graceMs || found.length >= options.endedBranchesMax) break
      for (const record of transaction.branches) {
        if (databaseOf(record) !== name) continue
        if (!listed.has(makeGid(clusterId, transaction.txid, record.branch))) found.push([transaction, record])
      }
    }
    return found
  }

  async #forgetEvidence(): Promise<void> {
    const { clock, options, coordinator, port, clusterId } = this.#parts
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#lastForgottenMs < options.forgetEvidenceMs || !coordinator.isLeading) return
    this.#lastForgottenMs = nowMs
    const boundMs = coordinator.evidenceBoundMs()
    if (boundMs > 0) await this.#bounded(port.forgetEvidence(clusterId, boundMs))
  }

  #bounded<T>(call: Promise<T>): Promise<T> {
    const { clock, options, name } = this.#parts
    return withinTime(clock, options.callTimeoutMs, call, () => {
      return new ResourceUnavailableError(name, `it did not answer within ${options.callTimeoutMs} ms`)
    })
  }

  #recovered(): void {
    if (this.#error !== undefined) this.#parts.logger.info({ resource: this.#parts.name }, 'the resource answers again')
    this.#error = undefined
    this.#failures = 0
  }

  #failed(error: Error): void {
    const { name, logger, clock } = this.#parts
    this.#failures++
    const code = error instanceof ConcordatError ? error.code : undefined
    if (this.#error?.message !== error.message)
      logger.warn({ resource: name, code, err: error }, 'the resolver can not do its work here')
    this.#error = { message: error.message, sinceMs: this.#error?.sinceMs ?? clock.monotonicMs() }
  }
}
