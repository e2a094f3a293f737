import { type Blocked, type BlockedSession, blocked, type LockedTable } from '../inspection.ts'

/** What identifies the thing that is locked: the columns of pg_locks before `virtualtransaction`, joined. */
export type LockTag = string

/** A lock that a prepared transaction holds. */
export interface HeldLock {
  /** Its xid, as pg_prepared_xacts shows it. */
  readonly xid: string
  readonly tag: LockTag
  readonly mode: string
  /** The table, when it is one of this database. */
  readonly table: string | undefined
}

/** A session that waits for a lock. */
export interface Waiter extends Omit<BlockedSession, 'behind'> {
  readonly tag: LockTag
  readonly mode: string
  /** What pg_blocking_pids says; 0 is a prepared transaction. */
  readonly blockers: readonly number[]
}

/** PostgreSQL's "Conflicting Lock Modes", the weakest first (documentation, chapter Explicit Locking). */
const MODES = [
  'AccessShareLock',
  'RowShareLock',
  'RowExclusiveLock',
  'ShareUpdateExclusiveLock',
  'ShareLock',
  'ShareRowExclusiveLock',
  'ExclusiveLock',
  'AccessExclusiveLock',
] as const

/** For each mode, in the order of MODES, the positions of the modes that it conflicts with. */
const CONFLICTS: readonly (readonly number[])[] = [
  [7],
  [6, 7],
  [4, 5, 6, 7],
  [3, 4, 5, 6, 7],
  [2, 3, 5, 6, 7],
  [2, 3, 4, 5, 6, 7],
  [1, 2, 3, 4, 5, 6, 7],
  [0, 1, 2, 3, 4, 5, 6, 7],
]

/** What each prepared transaction blocks, by xid. */
export function blockedBy(held: readonly HeldLock[], waiters: readonly Waiter[]): ReadonlyMap<string, Blocked> {
  const xids = new Set(held.map(({ xid }) => xid))
  return new Map(
    [...xids].map((xid) => {
      const own = held.filter((each) => each.xid === xid)
      return [xid, blocked(sessionsBehind(own, waiters), lockedTables(own))]
    }),
  )
}

/** Those that wait for one of these locks, and those that wait behind them. */
function sessionsBehind(held: readonly HeldLock[], waiters: readonly Waiter[]): readonly BlockedSession[] {
  const found = new Map<number, BlockedSession>()
  for (const waiter of waiters) {
    if (waiter.blockers.includes(0) && held.some((lock) => isInTheWay(lock, waiter)))
      found.set(waiter.id, toSession(waiter, undefined))
  }
  // A map keeps the order, and a loop over it reaches what is added meanwhile.
  for (const front of found.keys()) {
    for (const waiter of waiters) {
      if (!found.has(waiter.id) && waiter.blockers.includes(front)) found.set(waiter.id, toSession(waiter, front))
    }
  }
  return [...found.values()]
}

function isInTheWay(lock: HeldLock, waiter: Waiter): boolean {
  return lock.tag === waiter.tag && conflicts(lock.mode, waiter.mode)
}

function conflicts(held: string, wanted: string): boolean {
  const position = rank(wanted)
  // Modes of predicate locks (SIReadLock) are never waited for.
  return position >= 0 && (CONFLICTS[rank(held)]?.includes(position) ?? false)
}

function rank(mode: string): number {
  return (MODES as readonly string[]).indexOf(mode)
}

function toSession({ id, user, client, waitMs, waitsFor, statement }: Waiter, behind: number | undefined) {
  return { id, user, client, waitMs, waitsFor, behind, statement }
}

/** Each table once, with its strongest lock; the strongest first. */
function lockedTables(held: readonly HeldLock[]): readonly LockedTable[] {
  const strongest = new Map<string, string>()
  for (const { table, mode } of held) {
    if (table !== undefined && rank(mode) > rank(strongest.get(table) ?? '')) strongest.set(table, mode)
  }
  return [...strongest]
    .map(([name, mode]) => ({ name, mode }))
    .sort((a, b) => rank(b.mode) - rank(a.mode) || (a.name < b.name ? -1 : 1))
}
