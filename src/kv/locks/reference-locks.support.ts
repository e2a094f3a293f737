import type { Txid } from '../../base/index.ts'
import type { LockMode } from './lock-request.ts'

/** A lock request over a universe of a few keys, all of which it names. @internal */
export interface ReferenceRequest {
  readonly id: number
  readonly owner: Txid
  readonly keys: ReadonlySet<string>
  readonly mode: LockMode
  ahead: ReferenceRequest[]
}

/** The rules of the lock manager in the slowest and plainest way: lists, and sets of all keys. @internal */
export class ReferenceLocks {
  held: ReferenceRequest[] = []
  waiting: ReferenceRequest[] = []

  /** The requests that this one grants: itself or nothing. */
  request(id: number, owner: Txid, keys: ReadonlySet<string>, mode: LockMode): number[] {
    const request: ReferenceRequest = { id, owner, keys, mode, ahead: [] }
    const enough = ({ mode: held }: ReferenceRequest) => mode === 'shared' || held === 'exclusive'
    const own = this.held.filter((lock) => lock.owner === owner && enough(lock))
    if (own.some((lock) => [...keys].every((key) => lock.keys.has(key)))) return [id]
    request.ahead = this.waiting.filter((other) => conflicting(other, request) && !this.#waitsFor(other, owner, []))
    this.waiting.push(request)
    return this.#grant()
  }

  release(owner: Txid): number[] {
    this.held = this.held.filter((lock) => lock.owner !== owner)
    this.waiting = this.waiting.filter((request) => request.owner !== owner)
    return this.#grant()
  }

  blockersOf(request: ReferenceRequest): Set<Txid> {
    const reasons = [...this.held.filter((lock) => conflicting(lock, request)), ...this.#stillAhead(request)]
    return new Set(reasons.map(({ owner }) => owner))
  }

  #stillAhead(request: ReferenceRequest): ReferenceRequest[] {
    return request.ahead.filter((other) => this.waiting.includes(other))
  }

  #waitsFor(request: ReferenceRequest, owner: Txid, seen: readonly Txid[]): boolean {
    return [...this.blockersOf(request)].some((blocker) => {
      if (blocker === owner) return true
      if (seen.includes(blocker)) return false
      const waits = this.waiting.filter((other) => other.owner === blocker)
      return waits.some((other) => this.#waitsFor(other, owner, [...seen, blocker]))
    })
  }

  #grant(): number[] {
    const next = this.waiting.find((request) => this.blockersOf(request).size === 0)
    if (next === undefined) return []
    this.waiting = this.waiting.filter((request) => request !== next)
    this.held.push(next)
    return [next.id, ...this.#grant()]
  }
}

/** @internal */
export function conflicting(
  a: Pick<ReferenceRequest, 'owner' | 'keys' | 'mode'>,
  b: Pick<ReferenceRequest, 'owner' | 'keys' | 'mode'>,
): boolean {
  if (a.owner === b.owner || (a.mode === 'shared' && b.mode === 'shared')) return false
  return [...a.keys].some((key) => b.keys.has(key))
}
