import { type Clock, type ClusterId, Prng } from '../base/index.ts'
import type { InDoubtPort } from '../resources/index.ts'
import { databaseOf } from '../txn/index.ts'
import type { ResolverCoordinator } from './branch-settler.ts'
import { type Logger, silentLogger } from './logger.ts'
import { RESOLVER_DEFAULTS, type ResolverOptions } from './resolver-options.ts'
import type { ResolverStatus } from './resolver-status.ts'
import { ResourceWatch } from './resource-watch.ts'

export interface ResolverParts {
  readonly coordinator: ResolverCoordinator
  readonly clusterId: ClusterId
  /** The databases, by the names under which applications enlist them. The ports belong to the caller. */
  readonly resources: readonly { readonly name: string; readonly port: InDoubtPort }[]
  readonly clock: Clock
  /** Seeds the jitter of retries. */
  readonly seed: number
  readonly options?: Partial<ResolverOptions>
  readonly logger?: Logger
}

/** Undecided branches of this many transactions are looked at, at most, to find participants without a resource. */
const LOOKED_AT_MAX = 10_000

/**
 * Finds the prepared branches that nobody finishes and brings them to their transaction's outcome (P7): those of a dead
 * application, and those of a live one that lost its database. Works only while its coordinator leads.
 */
export class Resolver {
  readonly #parts: ResolverParts
  readonly #options: ResolverOptions
  readonly #watches: readonly ResourceWatch[]
  #unobserve: (() => void) | undefined

  constructor(parts: ResolverParts) {
    const { coordinator, clusterId, clock, logger = silentLogger } = parts
    this.#parts = parts
    this.#options = { ...RESOLVER_DEFAULTS, ...parts.options }
    const prng = new Prng(parts.seed)
    const shared = { coordinator, clusterId, clock, prng, options: this.#options, logger }
    this.#watches = parts.resources.map(({ name, port }) => new ResourceWatch({ ...shared, name, port }))
  }

  /** Works from now on whenever the coordinator leads. */
  start(): void {
    if (this.#unobserve !== undefined) return
    this.#unobserve = this.#parts.coordinator.observe({
      leading: () => this.#begin(),
      following: () => this.#end(),
      clientGone: () => this.scan(),
    })
    if (this.#parts.coordinator.isLeading) this.#begin()
  }

  /** Scans every resource now and once more after the grace time. */
  scan(): void {
    for (const watch of this.#watches) watch.alert()
  }

  status(): ResolverStatus {
    return {
      running: this.#unobserve !== undefined && this.#parts.coordinator.isLeading,
      resources: this.#watches.map((watch) => watch.status()),
      unconfigured: this.#unconfigured(),
    }
  }

  /** Scans no more. Calls to databases that are under way end by themselves. */
  async close(): Promise<void> {
    this.#unobserve?.()
    this.#unobserve = undefined
    this.#end()
  }

  #begin(): void {
    for (const watch of this.#watches) watch.start()
  }

  #end(): void {
    for (const watch of this.#watches) watch.stop()
  }

  #unconfigured(): ResolverStatus['unconfigured'] {
    const configured = new Set(this.#watches.map(({ name }) => name))
    const oldMs = this.#parts.clock.monotonicMs() - this.#options.graceMs
    const counts = new Map<string, number>()
    let looked = 0
    for (const { branches, sinceMs } of this.#parts.coordinator.undelivered()) {
      if (sinceMs > oldMs || looked++ >= LOOKED_AT_MAX) break
      for (const record of branches) {
        const database = databaseOf(record)
        if (database !== undefined && !configured.has(database)) counts.set(database, (counts.get(database) ?? 0) + 1)
      }
    }
    return [...counts].map(([participant, branchCount]) => ({ participant, branchCount }))
  }
}
