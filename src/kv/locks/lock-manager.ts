import { assert, type Txid } from '../../base/index.ts'
import { checkLocks } from './lock-invariants.ts'
import {
  conflict,
  type HeldLock,
  inOrder,
  type LockMode,
  type LockSize,
  type Owner,
  type Request,
} from './lock-request.ts'
import { covers, type Span, SpanIndex, spanBytes } from './span.ts'

/** What follows from an event. */
export type LockEffect =
  /** The owner of the request holds what it asked for. */
  | { readonly kind: 'granted'; readonly request: number; readonly owner: Txid }
  /** The request waits for `by`; told again when there is one more to wait for, with the new one only. */
  | { readonly kind: 'blocked'; readonly request: number; readonly owner: Txid; readonly by: readonly Txid[] }

/**
 * Strict two-phase locking: locks are taken one by one and released all at once, at the transaction's end.
 *
 * The queue is fair: a request waits for every conflicting lock of another owner, and for every conflicting request that
 * came before it. There is one exception, because without it the queue itself would make deadlocks: **nobody queues behind
 * those who wait for him**, directly or through others. So an upgrade goes ahead of all who wait for that key, and a
 * transaction that holds a key may read it again, whoever else wants to write it. They lose nothing by it: they wait for
 * that transaction's end anyway. So nobody starves. Two upgraders of one key do wait for each other: a true deadlock.
 *
 * Invariants, checked by `validate`:
 * 1. Of two locks of different owners that overlap, none is exclusive.
 * 2. Whoever waits has a reason: a conflicting lock of another owner, or a conflicting request ahead.
 * 3. `blockers` are exactly the owners that are those reasons.
 * 4. A request ahead came before.
 * 5. The sizes are those of the locks.
 *
 * Requests are numbered by the caller, who uses each number once.
 *
 * @example
 * locks.request(1, older, keySpan('a'), 'exclusive')   // → granted
 * locks.request(2, younger, keySpan('a'), 'shared')    // → blocked by older
 * locks.release(older)                                 // → granted: request 2
 */
export class LockManager {
  readonly #held = new SpanIndex<Request>()
  readonly #waiting = new SpanIndex<Request>()
  readonly #owners = new Map<Txid, Owner>()
  #requests = 0
  #locks = 0
  #bytes = 0

  /** Asks for a lock. The answer is one effect about this request; or several, when others now wait for it too. */
  request(id: number, owner: Txid, span: Span, mode: LockMode): LockEffect[] {
    if (this.#holds(owner, span, mode)) return [{ kind: 'granted', request: id, owner }]
    const request = this.#newRequest(id, owner, span, mode)
    for (const other of this.#waiting.overlapping(span)) {
      if (conflict(request, other) && !this.#waitsFor(other, owner)) request.ahead.add(other)
    }
    const holders = this.#conflictingHolders(request)
    if (request.ahead.size === 0 && holders.size === 0) return this.#grant(request)
    for (const other of request.ahead) {
      other.behind.add(request)
      holders.add(other.owner)
    }
    for (const blocker of holders) request.blockers.add(blocker)
    this.#waiting.add(request)
    this.#ownerOf(owner).waiting.add(request)
    return [{ kind: 'blocked', request: id, owner, by: [...request.blockers].sort() }]
  }

  /** The transaction has ended: its locks go, and its requests; those who waited for it go on, the longest waiting first. */
  release(txid: Txid): LockEffect[] {
    const owner = this.#owners.get(txid)
    if (owner === undefined) return []
    this.#owners.delete(txid)
    const freed = new Set<Request>()
    for (const request of owner.waiting) {
      this.#waiting.remove(request)
      for (const other of request.ahead) other.behind.delete(request)
      for (const other of request.behind) {
        other.ahead.delete(request)
        freed.add(other)
      }
    }
    this.#locks -= owner.held.size
    this.#bytes -= owner.bytes
    for (const lock of owner.held) {
      this.#held.remove(lock)
      for (const request of this.#waiting.overlapping(lock.span)) freed.add(request)
    }
    for (const request of freed) request.blockers.delete(txid)
    return this.#grantAll(freed)
  }

  /**
   * Takes a lock back that a prepared branch held before the restart. Nobody else may have asked for anything yet.
   * @returns the owner of a lock that is in the way: then what was written down cannot be true, and nothing was taken
   */
  restore(owner: Txid, { span, mode }: HeldLock): Txid | undefined {
    const lock = this.#newRequest(-1, owner, span, mode)
    assert(this.#waiting.overlapping(span).length === 0, 'locks are taken back before anything is admitted')
    const [holder] = this.#conflictingHolders(lock)
    if (holder !== undefined) return holder
    this.#grant(lock)
    return undefined
  }

  /** All locks of a transaction, in the order in which it got them. */
  locksOf(owner: Txid): HeldLock[] {
    return [...(this.#owners.get(owner)?.held ?? [])].map(({ span, mode }) => ({ span, mode }))
  }

  /** What a transaction has locked. */
  sizeOf(owner: Txid): LockSize {
    const { held, bytes } = this.#owners.get(owner) ?? NOTHING
    return { locks: held.size, bytes }
  }

  /** What all have locked. */
  get size(): LockSize {
    return { locks: this.#locks, bytes: this.#bytes }
  }

  /** The transactions that wait for this one, directly. */
  waitersFor(owner: Txid): Txid[] {
    const waiters = new Set<Txid>()
    const { held, waiting } = this.#owners.get(owner) ?? NOTHING
    for (const lock of held) {
      for (const request of this.#waiting.overlapping(lock.span)) {
        if (request.blockers.has(owner)) waiters.add(request.owner)
      }
    }
    for (const request of waiting) for (const other of request.behind) waiters.add(other.owner)
    return [...waiters].sort()
  }

  /** Transactions that hold or want a lock. */
  get owners(): number {
    return this.#owners.size
  }

  /** Checks every invariant, slowly: for tests. @throws InvariantError */
  validate(): void {
    checkLocks([...this.#owners.values()], this.size)
    for (const owner of this.#owners.keys()) {
      const all = [...this.#owners].filter(([, { waiting }]) =>
        [...waiting].some(({ blockers }) => blockers.has(owner)),
      )
      const waiters = all.map(([txid]) => txid).sort()
      assert(String(waiters) === String(this.waitersFor(owner)), 'who waits for it is found by what it holds and wants')
    }
  }

  #newRequest(id: number, owner: Txid, span: Span, mode: LockMode): Request {
    const order = this.#requests++
    return { id, owner, order, span, mode, ahead: new Set(), behind: new Set(), blockers: new Set() }
  }

  #holds(owner: Txid, span: Span, mode: LockMode): boolean {
    for (const lock of this.#held.overlapping(span)) {
      if (lock.owner !== owner || !covers(lock.span, span)) continue
      if (mode === 'shared' || lock.mode === 'exclusive') return true
    }
    return false
  }

  #conflictingHolders(request: Request): Set<Txid> {
    const holders = new Set<Txid>()
    for (const lock of this.#held.overlapping(request.span)) if (conflict(lock, request)) holders.add(lock.owner)
    return holders
  }

  /** Whether the request waits for `owner`, directly or through others. */
  #waitsFor(request: Request, owner: Txid): boolean {
    const seen = new Set(request.blockers)
    // A set is walked in the order of insertion, and includes what is added meanwhile.
    for (const blocker of seen) {
      if (blocker === owner) return true
      for (const { blockers } of this.#owners.get(blocker)?.waiting ?? []) for (const next of blockers) seen.add(next)
    }
    return false
  }

  /** Grants what can be granted now, in the order of the requests: one that is granted may stand in a later one's way. */
  #grantAll(candidates: Set<Request>): LockEffect[] {
    const effects: LockEffect[] = []
    for (const request of [...candidates].sort(inOrder)) {
      if (!this.#owners.get(request.owner)?.waiting.has(request)) continue
      if (request.ahead.size > 0 || this.#conflictingHolders(request).size > 0) continue
      this.#waiting.remove(request)
      this.#ownerOf(request.owner).waiting.delete(request)
      for (const other of request.behind) other.ahead.delete(request)
      request.behind.clear()
      effects.push(...this.#grant(request))
    }
    return effects
  }

  #grant(lock: Request): LockEffect[] {
    const effects: LockEffect[] = [{ kind: 'granted', request: lock.id, owner: lock.owner }]
    const owner = this.#ownerOf(lock.owner)
    // What the new lock makes superfluous is dropped: the shared lock after an upgrade, the keys after their range.
    for (const own of this.#held.overlapping(lock.span)) {
      if (own.owner !== lock.owner || !covers(lock.span, own.span)) continue
      if (lock.mode === 'shared' && own.mode === 'exclusive') continue
      this.#held.remove(own)
      owner.held.delete(own)
      this.#count(owner, own, -1)
    }
    this.#held.add(lock)
    owner.held.add(lock)
    this.#count(owner, lock, 1)
    // Those who were overtaken, and those whom it overtook: only now they wait for this owner.
    const late = this.#waiting.overlapping(lock.span).filter((other) => conflict(lock, other))
    for (const other of late.sort(inOrder)) {
      if (other.blockers.has(lock.owner)) continue
      other.blockers.add(lock.owner)
      effects.push({ kind: 'blocked', request: other.id, owner: other.owner, by: [lock.owner] })
    }
    return effects
  }

  #count(owner: Owner, { span }: HeldLock, sign: 1 | -1): void {
    const bytes = sign * spanBytes(span)
    owner.bytes += bytes
    this.#bytes += bytes
    this.#locks += sign
  }

  #ownerOf(txid: Txid): Owner {
    let owner = this.#owners.get(txid)
    if (owner === undefined) {
      owner = { bytes: 0, held: new Set(), waiting: new Set() }
      this.#owners.set(txid, owner)
    }
    return owner
  }
}

const NOTHING: Owner = { held: new Set(), waiting: new Set(), bytes: 0 }
