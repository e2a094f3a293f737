import type { Txid } from './ids.ts'

/** A circle of transactions of which each waits for the next, and the last for the first. */
export interface Deadlock {
  readonly circle: readonly Txid[]
  /** Who should die: the youngest, who has most likely done least. */
  readonly victim: Txid
}

/**
 * Who waits for whom, over any number of lock tables: waits of several databases may be joined in one graph, since all
 * of them know transactions by txid. A circle is found when the wait that closes it is added.
 *
 * @example
 * graph.add('kv:1', a, [b])   // → undefined
 * graph.add('pg:7', b, [a])   // → { circle: [b, a], victim: the younger of the two }
 */
export class WaitForGraph {
  readonly #waits = new Map<Txid, Map<string, Set<Txid>>>()
  readonly #waiterOf = new Map<string, Txid>()

  /**
   * `waiter` waits for all of `blockers`, besides those that the same wait has already.
   *
   * @param wait names this wait, in whatever way its lock table likes
   * @returns a deadlock that includes the waiter. There may be more than one: when its victim is removed, ask `deadlockOf`
   */
  add(wait: string, waiter: Txid, blockers: readonly Txid[]): Deadlock | undefined {
    let waits = this.#waits.get(waiter)
    if (waits === undefined) {
      waits = new Map()
      this.#waits.set(waiter, waits)
    }
    const known = waits.get(wait) ?? new Set()
    for (const blocker of blockers) if (blocker !== waiter) known.add(blocker)
    waits.set(wait, known)
    this.#waiterOf.set(wait, waiter)
    return this.deadlockOf(waiter)
  }

  /** The wait is over: its lock was granted or given up. */
  end(wait: string): void {
    const waiter = this.#waiterOf.get(wait)
    if (waiter === undefined) return
    this.#waiterOf.delete(wait)
    const waits = this.#waits.get(waiter)
    waits?.delete(wait)
    if (waits?.size === 0) this.#waits.delete(waiter)
  }

  /** The transaction has ended: it waits no more, and nobody waits for it. */
  remove(txid: Txid): void {
    for (const wait of this.#waits.get(txid)?.keys() ?? []) this.#waiterOf.delete(wait)
    this.#waits.delete(txid)
    for (const waits of this.#waits.values()) for (const blockers of waits.values()) blockers.delete(txid)
  }

  /** Whom a transaction waits for, directly. */
  blockersOf(waiter: Txid): Txid[] {
    return [...new Set(this.#blockersOf(waiter))].sort()
  }

  /** A shortest circle that includes `txid`, if there is one. */
  deadlockOf(txid: Txid): Deadlock | undefined {
    const before = new Map<Txid, Txid>()
    const queue = [txid]
    for (const waiter of queue) {
      for (const blocker of this.#blockersOf(waiter)) {
        if (blocker === txid) return deadlock(pathTo(waiter, txid, before))
        if (before.has(blocker)) continue
        before.set(blocker, waiter)
        queue.push(blocker)
      }
    }
    return undefined
  }

  *#blockersOf(waiter: Txid): Generator<Txid> {
    for (const blockers of this.#waits.get(waiter)?.values() ?? []) yield* blockers
  }
}

/** The youngest of several: made last, by the time in its txid; of two made at once, the one with the greater txid. */
export function youngestOf(txids: readonly Txid[]): Txid {
  // A UUIDv7 in canonical form begins with the digits of its time (RFC 9562 §5.7), so the order of texts is that order.
  return [...txids].sort().at(-1)!
}

function pathTo(last: Txid, first: Txid, before: ReadonlyMap<Txid, Txid>): Txid[] {
  const path = [last]
  while (path[0] !== first) path.unshift(before.get(path[0]!)!)
  return path
}

function deadlock(circle: readonly Txid[]): Deadlock {
  return { circle, victim: youngestOf(circle) }
}
