import { type Clock, type Timer, toError } from '../base/index.ts'
import type { Finding, Resource } from '../resources/index.ts'
import type { ServerLogger } from './server-logger.ts'

/** One small query a database: often enough that a mended setting is seen soon, and a new mistake too. */
const CHECK_EVERY_MS = 10_000

/** What checks need. */
export interface ResourceChecksParts {
  readonly resources: readonly Resource<unknown>[]
  readonly clock: Clock
  readonly logger: ServerLogger
}

/**
 * Looks again and again for what would make transactions fail on the configured databases (feature off, wrong version,
 * missing rights). The resolver alone would not notice: a server with `max_prepared_transactions = 0` lists nothing in doubt, happily.
 */
export class ResourceChecks {
  readonly #parts: ResourceChecksParts
  /** The words last said of each database: only what changes is logged. */
  readonly #said = new Map<string, string>()
  readonly #fatal = new Map<string, string>()
  readonly #busy = new Set<string>()
  #timer: Timer | undefined
  #closed = false

  constructor(parts: ResourceChecksParts) {
    this.#parts = parts
  }

  /** Checks now and then periodically. */
  start(): void {
    this.#timer = this.#parts.clock.every(CHECK_EVERY_MS, () => this.#checkAll())
    this.#checkAll()
  }

  close(): void {
    this.#closed = true
    if (this.#timer !== undefined) this.#parts.clock.cancel(this.#timer)
  }

  /** Why transactions over this database fail until somebody changes it; undefined as far as anybody knows. */
  fatalOf(name: string): string | undefined {
    return this.#fatal.get(name)
  }

  #checkAll(): void {
    for (const resource of this.#parts.resources) void this.#check(resource)
  }

  async #check(resource: Resource<unknown>): Promise<void> {
    const { name } = resource
    // A database that hangs holds one question, not a queue of them.
    if (this.#busy.has(name)) return
    this.#busy.add(name)
    try {
      this.#found(name, await resource.check())
    } catch (thrown) {
      this.#failed(name, toError(thrown))
    }
    this.#busy.delete(name)
  }

  #found(name: string, findings: readonly Finding[]): void {
    const fatal = findings.find(({ severity }) => severity === 'fatal')
    if (fatal === undefined) this.#fatal.delete(name)
    else this.#fatal.set(name, fatal.message)
    if (!this.#isNews(name, findings.map(({ message }) => message).join('\n'))) return
    for (const { severity, what, message } of findings) {
      this.#parts.logger[severity === 'fatal' ? 'error' : 'warn']({ resource: name, what }, `${name}: ${message}`)
    }
  }

  #failed(name: string, error: Error): void {
    const { message } = error
    if (this.#isNews(name, message))
      this.#parts.logger.warn({ resource: name, err: error }, `${name} could not be checked: ${message}`)
  }

  #isNews(name: string, words: string): boolean {
    if (this.#closed || (this.#said.get(name) ?? '') === words) return false
    this.#said.set(name, words)
    return true
  }
}
