import type { Prng } from '../../base/index.ts'
import type { Place } from './place.ts'

/** One account that an operation changes, or (amount 0) reads. */
export interface Leg {
  readonly place: Place
  readonly account: number
  readonly amount: number
  /** A read that locks what it reads until the transaction's end. */
  readonly isLocked?: true
}

/**
 * What a callback does besides its work:
 *
 * - `fail`: it throws; `abort`: it calls `tx.abort()`; `dawdle`: it takes its time;
 * - `swallow`: a statement fails, and it goes on as if it had not; `unheard`: neither it nor anybody else hears the error;
 * - `unawaited`: it leaves a statement running.
 */
export type Mischief = 'none' | 'fail' | 'abort' | 'swallow' | 'unheard' | 'unawaited' | 'dawdle'

/** One thing that an application wants done once: money moved between accounts of several databases. */
export interface Operation {
  readonly id: string
  readonly legs: readonly Leg[]
  /** Whether the legs are worked on at the same time. */
  readonly parallel: boolean
  /** It reads every account there is, each with its lock: what it sees together never changes. */
  readonly isAudit?: true
}

/** Places of one operation, at most. */
const LEGS_MAX = 4

/** Draws an operation: usually over two or three databases, sometimes over one, sometimes with databases that are only read. */
export function drawOperation(random: Prng, id: string, places: readonly Place[]): Operation {
  const amount = random.between(1, 20)
  const legs = pickSome(random, places).map((place, index): Leg => {
    const account = random.below(place.accounts)
    if (index === 0) return { place, account, amount: -amount }
    return { place, account, amount: index === 1 ? amount : 0 }
  })
  const [first] = legs
  if (first !== undefined && (legs.length === 1 || random.chance(0.2))) {
    // Two accounts of one database: what deadlocks within it are made of.
    const account = random.below(first.place.accounts)
    if (legs.length === 1) legs.push({ ...first, account, amount })
    else if (account !== first.account) legs.push({ ...first, account, amount: -1 }, { ...first, amount: 1 })
  }
  // Reading alone: nothing to decide.
  if (random.chance(0.05)) return { id, legs: legs.map((leg) => ({ ...leg, amount: 0 })), parallel: false }
  // Most applications go through their databases in the same order; the others wait for each other in circles.
  const isOrderly = random.chance(0.85)
  if (isOrderly) legs.sort((a, b) => places.indexOf(a.place) - places.indexOf(b.place))
  return { id, legs: isOrderly ? legs : shuffle(random, legs), parallel: random.chance(0.2) }
}

/** All accounts of all places, in order: whoever goes another way waits for it, or it for them. */
export function auditOf(id: string, places: readonly Place[]): Operation {
  const legs = places.flatMap((place) =>
    Array.from({ length: place.accounts }, (_, account): Leg => ({ place, account, amount: 0, isLocked: true })),
  )
  return { id, legs, parallel: false, isAudit: true }
}

export function drawMischief(random: Prng): Mischief {
  if (random.chance(0.8)) return 'none'
  return random.pick(['fail', 'abort', 'swallow', 'unheard', 'unawaited', 'dawdle', 'dawdle'])
}

function pickSome(random: Prng, places: readonly Place[]): Place[] {
  const all = shuffle(random, [...places])
  const count = random.chance(0.08) ? 1 : random.between(2, Math.min(all.length, LEGS_MAX))
  return all.slice(0, count)
}

function shuffle<T>(random: Prng, items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const kept = items[i]!
    items[i] = items[j]!
    items[j] = kept
  }
  return items
}
