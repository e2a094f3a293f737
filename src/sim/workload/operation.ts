import type { Prng } from '../../base/index.ts'
import type { BankDatabase } from './bank-database.ts'

/** One account that an operation changes, or (amount 0) reads. */
export interface Leg {
  readonly database: BankDatabase
  readonly account: number
  readonly amount: number
}

/**
 * What a callback does besides its work:
 *
 * - `fail`: it throws; `abort`: it calls `tx.abort()`; `swallow`: it catches a statement's error and goes on;
 * - `unawaited`: it leaves a statement running; `dawdle`: it takes its time.
 */
export type Mischief = 'none' | 'fail' | 'abort' | 'swallow' | 'unawaited' | 'dawdle'

/** One thing that an application wants done once: money moved between accounts of several databases. */
export interface Operation {
  readonly id: string
  readonly legs: readonly Leg[]
  /** Whether the legs are worked on at the same time. */
  readonly parallel: boolean
}

/** Draws an operation: usually over two or three databases, sometimes over one, sometimes with databases that are only read. */
export function drawOperation(random: Prng, id: string, databases: readonly BankDatabase[]): Operation {
  const involved = pickSome(random, databases)
  const amount = random.between(1, 20)
  const legs = involved.map((database, index): Leg => {
    const account = random.below(database.accounts)
    if (index === 0) return { database, account, amount: -amount }
    return { database, account, amount: index === 1 ? amount : 0 }
  })
  const [only] = legs
  if (legs.length === 1 && only !== undefined) {
    // Within one database: two accounts of it.
    const other = (only.account + 1) % only.database.accounts
    return { id, legs: [only, { ...only, account: other, amount }], parallel: false }
  }
  // Reading alone: nothing to decide.
  if (random.chance(0.05)) return { id, legs: legs.map((leg) => ({ ...leg, amount: 0 })), parallel: true }
  return { id, legs: shuffle(random, legs), parallel: random.chance(0.3) }
}

export function drawMischief(random: Prng): Mischief {
  if (random.chance(0.8)) return 'none'
  return random.pick(['fail', 'abort', 'swallow', 'unawaited', 'dawdle', 'dawdle'])
}

function pickSome(random: Prng, databases: readonly BankDatabase[]): BankDatabase[] {
  const all = shuffle(random, [...databases])
  const count = random.chance(0.08) ? 1 : random.between(2, all.length)
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
