import { assert } from '../../base/index.ts'
import { conflict, type LockSize, type Owner } from './lock-request.ts'
import { spanBytes } from './span.ts'

/** Checks the invariants of a LockManager, slowly: for tests. @throws InvariantError */
export function checkLocks(owners: readonly Owner[], size: LockSize): void {
  const held = owners.flatMap((owner) => [...owner.held])
  const waiting = owners.flatMap((owner) => [...owner.waiting])
  const bytes = held.reduce((sum, { span }) => sum + spanBytes(span), 0)
  assert(size.locks === held.length && size.bytes === bytes, 'the size is that of all locks')
  for (const [index, lock] of held.entries()) {
    for (const other of held.slice(index + 1)) assert(!conflict(lock, other), 'no two locks conflict')
  }
  for (const request of waiting) {
    const reasons = new Set(held.filter((lock) => conflict(lock, request)).map(({ owner }) => owner))
    for (const other of request.ahead) {
      assert(waiting.includes(other) && other.order < request.order, 'a request ahead came before, and waits')
      assert(conflict(other, request), 'only what conflicts is ahead')
      reasons.add(other.owner)
    }
    assert(reasons.size > 0, 'who waits has a reason')
    const same = reasons.size === request.blockers.size && [...reasons].every((owner) => request.blockers.has(owner))
    assert(same, 'the blockers are the reasons')
  }
}
