import type { Timer, Txid } from '../../base/index.ts'
import type { TransactionWait, WaitingTransaction } from '../../transport/index.ts'
import { type Circle, circlesOf, describe, edgesOf, type Observation } from './circles.ts'
import { LockWaitDesk, type LockWaitDeskParts } from './lock-wait-desk.ts'
import { type Reported, WaitBook, type WaitSource } from './wait-book.ts'

/** What a detector has seen since it was made. */
export interface DeadlockStatus {
  /** Transactions that it told to die. */
  readonly found: number
  /** Transactions that applications say are waiting for a lock now. */
  readonly waiting: number
}

/** Between two looks, at least. MariaDB shows something new only to those who leave it alone for a tenth of a second. */
const LOOK_EVERY_MS = 150
/** The pause after a look is so many times as long as the look took: databases that are slow are not slowed further. */
const PAUSE_FACTOR = 4
/** A transaction that was told to die is taken for dead; after this long without its death it is looked at again. */
const DYING_MS = 2_000

const NOTHING: Observation = { databases: new Map(), stores: new Map() }

/**
 * Finds transactions that wait for each other in different places, and tells the youngest to die.
 *
 * It does nothing until applications say that transactions of theirs have waited for a while, in at least two places. Then it
 * asks those databases who waits for whom. A circle is believed when
 *
 * 1. two looks, one after the other, have both seen each of its waits, and
 * 2. after the second one every transaction in it has been reported again, as still in the same statement.
 *
 * Nothing of it is replicated, and it decides nothing: a transaction is aborted by its application, which waits with it.
 */
export class DeadlockDetector {
  readonly #parts: LockWaitDeskParts
  readonly #desk: LockWaitDesk
  readonly #book = new WaitBook()
  /** Who was told to die, and when. */
  readonly #condemned = new Map<Txid, number>()
  /** What the last look saw. */
  #seen = NOTHING
  /** The keys of the edges in it. */
  #edges: ReadonlySet<string> = new Set()
  /** Circles that the last two looks have seen, and the last report at that time. */
  #suspects: { readonly circles: readonly Circle[]; readonly report: number } = { circles: [], report: 0 }
  #timer: Timer | undefined
  #isLooking = false
  #lastLookMs = Number.NEGATIVE_INFINITY
  #pauseMs = LOOK_EVERY_MS
  #found = 0
  #isClosed = false

  constructor(parts: LockWaitDeskParts) {
    this.#parts = parts
    this.#desk = new LockWaitDesk(parts)
  }

  get status(): DeadlockStatus {
    return { found: this.#found, waiting: this.#reported().size }
  }

  /** An application says which of its transactions wait. */
  waiting(source: WaitSource, transactions: readonly WaitingTransaction[]): void {
    if (this.#isClosed) return
    this.#book.waiting(source, transactions, this.#nowMs())
    const reported = this.#reported()
    this.#judge(reported)
    this.#desk.endDying(reported.values(), this.#seen.databases)
    if (reported.size > 0) this.#lookSoon()
  }

  /** A key-value participant says who waits in it for whom. */
  lockWaits(source: object, participant: string, waits: readonly TransactionWait[]): void {
    if (!this.#isClosed) this.#book.store(source, participant, waits, this.#nowMs())
  }

  /** The connection of an application or a participant has ended. */
  leave(source: object): void {
    this.#book.leave(source)
  }

  close(): void {
    this.#isClosed = true
    if (this.#timer !== undefined) this.#parts.clock.cancel(this.#timer)
  }

  /** Every report asks for a look: where none comes any more, nobody waits. */
  #lookSoon(): void {
    if (this.#timer !== undefined || this.#isLooking) return
    const waitMs = Math.max(0, this.#lastLookMs + this.#pauseMs - this.#nowMs())
    this.#timer = this.#parts.clock.after(waitMs, () => {
      this.#timer = undefined
      void this.#look()
    })
  }

  async #look(): Promise<void> {
    const begunMs = this.#nowMs()
    const places = placesToAsk(this.#reported().values())
    const after = this.#suspects.report
    this.#isLooking = true
    const databases = places === undefined ? undefined : await this.#desk.ask(places)
    this.#isLooking = false
    if (this.#isClosed) return
    const nowMs = this.#nowMs()
    this.#lastLookMs = nowMs
    this.#pauseMs = Math.max(LOOK_EVERY_MS, PAUSE_FACTOR * (nowMs - begunMs))
    this.#compare(databases === undefined ? NOTHING : { databases, stores: this.#book.storeWaits(after, nowMs) })
    this.#desk.endDying(this.#reported().values(), this.#seen.databases)
  }

  #compare(seen: Observation): void {
    const nowMs = this.#nowMs()
    for (const [txid, atMs] of this.#condemned) if (nowMs - atMs > DYING_MS) this.#condemned.delete(txid)
    const reported = [...this.#reported().values()].map(({ transaction }) => transaction)
    const edges = edgesOf(reported, seen)
    // Who dies waits no more; but nobody waits through him for others either, so the edges are made with him.
    const dying = new Set(reported.flatMap(({ txid, isDying }) => (isDying || this.#condemned.has(txid) ? [txid] : [])))
    const twice = [...edges.values()].filter(({ key, waiter }) => this.#edges.has(key) && !dying.has(waiter))
    this.#suspects = { circles: circlesOf(twice), report: this.#book.reports }
    this.#edges = new Set(edges.keys())
    this.#seen = seen
  }

  /** Condemns the victims of circles that every transaction in them has confirmed since. */
  #judge(reported: ReadonlyMap<Txid, Reported>): void {
    const { circles, report } = this.#suspects
    if (circles.length === 0) return
    const isConfirmed = (circle: Circle): boolean =>
      circle.edges.every(({ waiter, branch, statement }) => {
        const said = reported.get(waiter)
        if (said === undefined || said.report <= report || said.transaction.isDying) return false
        return said.transaction.branches.some((each) => each.branch === branch && each.statement === statement)
      })
    const confirmed = circles.filter(isConfirmed)
    for (const circle of confirmed) this.#condemn(circle, reported)
    this.#suspects = { circles: circles.filter((circle) => !confirmed.includes(circle)), report }
  }

  #condemn(circle: Circle, reported: ReadonlyMap<Txid, Reported>): void {
    const { victim, edges } = circle
    const { branch, statement } = edges.find(({ waiter }) => waiter === victim)!
    const words = describe(circle)
    if (!reported.get(victim)!.source.condemn({ txid: victim, branch, statement, circle: words })) return
    this.#found += 1
    this.#condemned.set(victim, this.#nowMs())
    this.#parts.logger.info({ txid: victim, circle: words }, 'a deadlock over several databases was found')
  }

  #reported(): ReadonlyMap<Txid, Reported> {
    return this.#book.transactions(this.#nowMs())
  }

  #nowMs(): number {
    return this.#parts.clock.monotonicMs()
  }
}

/** Each participant with the sessions to ask for; undefined when there can't be a circle that no database sees by itself. */
function placesToAsk(reported: Iterable<Reported>): ReadonlyMap<string, readonly string[]> | undefined {
  const places = new Map<string, string[]>()
  let isAnyDying = false
  for (const { transaction } of reported) {
    isAnyDying ||= transaction.isDying
    for (const { participant, session, statement } of transaction.branches) {
      if (statement === 0) continue
      const sessions = places.get(participant)
      if (sessions === undefined) places.set(participant, [session])
      else sessions.push(session)
    }
  }
  return places.size > 1 || isAnyDying ? places : undefined
}
