import { type Clock, type Txid, toError } from '../../base/index.ts'
import type { LockWait, LockWaitPort } from '../../resources/index.ts'
import type { Logger } from '../logger.ts'
import type { Reported } from './wait-book.ts'

/** What a desk needs. */
export interface LockWaitDeskParts {
  /** The databases that can be asked, by the names under which applications enlist them. */
  readonly resources: readonly { readonly name: string; readonly lockWaits?: LockWaitPort | undefined }[]
  readonly clock: Clock
  readonly logger: Logger
}

/** A database that could not be asked is left alone for so long, milliseconds. */
const BLIND_MS = 5_000
/** Names that nobody can look into, and of which the log speaks once. */
const NAMED_MAX = 100

/** Asks databases who waits for whom, and has them end statements. What fails is told to the log, and nobody waits for it. */
export class LockWaitDesk {
  readonly #parts: LockWaitDeskParts
  readonly #ports: ReadonlyMap<string, LockWaitPort>
  readonly #blindUntilMs = new Map<string, number>()
  readonly #unknown = new Set<string>()
  /** Waits whose end was asked for. */
  readonly #cancelled = new Set<string>()

  constructor(parts: LockWaitDeskParts) {
    this.#parts = parts
    this.#ports = new Map(
      parts.resources.flatMap(({ name, lockWaits }) => (lockWaits === undefined ? [] : [[name, lockWaits] as const])),
    )
  }

  /** The waits in each of these databases, as far as they can be asked. @param places the sessions to ask for, by name */
  async ask(places: ReadonlyMap<string, readonly string[]>): Promise<ReadonlyMap<string, readonly LockWait[]>> {
    const found = await Promise.all(
      [...places].map(async ([name, sessions]) => [name, await this.#askOne(name, sessions)] as const),
    )
    return new Map(found.flatMap(([name, waits]) => (waits === undefined ? [] : [[name, waits] as const])))
  }

  /** Ends the statements in which dying transactions wait: no database sees by itself that nobody waits with them. */
  endDying(reported: Iterable<Reported>, seen: ReadonlyMap<string, readonly LockWait[]>): void {
    let isAnyDying = false
    for (const { transaction } of reported) {
      if (!transaction.isDying) continue
      isAnyDying = true
      for (const { participant, session, statement } of transaction.branches) {
        const wait = seen.get(participant)?.find((each) => each.session === session)
        if (statement > 0 && wait !== undefined) this.#endOnce(transaction.txid, participant, wait)
      }
    }
    if (!isAnyDying) this.#cancelled.clear()
  }

  async #askOne(name: string, sessions: readonly string[]): Promise<readonly LockWait[] | undefined> {
    const port = this.#ports.get(name)
    const known = sessions.filter((session) => session !== '')
    if (port === undefined && known.length > 0) this.#sayUnknown(name)
    const nowMs = this.#parts.clock.monotonicMs()
    if (port === undefined || known.length === 0 || (this.#blindUntilMs.get(name) ?? 0) > nowMs) return undefined
    try {
      return await port.list(known)
    } catch (thrown) {
      this.#blindUntilMs.set(name, this.#parts.clock.monotonicMs() + BLIND_MS)
      this.#parts.logger.warn(
        { resource: name, err: toError(thrown) },
        'the database does not say who waits for whom, so deadlocks over it are not found now; see docs/deadlocks.md',
      )
      return undefined
    }
  }

  #endOnce(txid: Txid, name: string, wait: LockWait): void {
    const port = this.#ports.get(name)
    const key = `${txid} ${name} ${wait.wait}`
    if (port === undefined || this.#cancelled.has(key)) return
    this.#cancelled.add(key)
    port.cancel(wait).catch((thrown) => {
      this.#parts.logger.warn(
        { resource: name, txid, err: toError(thrown) },
        'the statement of a transaction that died in a deadlock could not be ended; its locks stay until it ends by itself; see docs/deadlocks.md',
      )
    })
  }

  #sayUnknown(name: string): void {
    if (this.#unknown.has(name) || this.#unknown.size >= NAMED_MAX) return
    this.#unknown.add(name)
    this.#parts.logger.warn(
      { resource: name },
      'transactions wait in a database that is not among the resources of this coordinator, so deadlocks over it are not found',
    )
  }
}
