import { expect, test } from 'vitest'
import { blockedBy, type HeldLock, type Waiter } from './blocking.ts'

const lock = (xid: string, tag: string, mode: string, table?: string): HeldLock => ({ xid, tag, mode, table })
const waiter = (id: number, tag: string, mode: string, blockers: readonly number[]): Waiter => ({
  id,
  tag,
  mode,
  blockers,
  user: 'app',
  client: undefined,
  waitMs: 5,
  waitsFor: 'a lock',
  statement: undefined,
})
const sessionsOf = (held: readonly HeldLock[], waiters: readonly Waiter[], xid: string) =>
  blockedBy(held, waiters)
    .get(xid)
    ?.sessions.map(({ id, behind }) => (behind === undefined ? id : [id, behind]))

test('a session is blocked by the branch whose lock conflicts with the one that it wants, not by another on the same table', () => {
  const held = [lock('1', 'seats', 'AccessShareLock'), lock('2', 'seats', 'RowExclusiveLock')]
  const waiters = [waiter(10, 'seats', 'ShareLock', [0])]
  expect(sessionsOf(held, waiters, '1')).toEqual([])
  expect(sessionsOf(held, waiters, '2')).toEqual([10])
})

test('every lock conflicts with ACCESS EXCLUSIVE, so both branches are in its way', () => {
  const held = [lock('1', 'seats', 'AccessShareLock'), lock('2', 'seats', 'RowExclusiveLock')]
  const waiters = [waiter(10, 'seats', 'AccessExclusiveLock', [0, 0])]
  expect([sessionsOf(held, waiters, '1'), sessionsOf(held, waiters, '2')]).toEqual([[10], [10]])
})

test('whoever waits behind a blocked session is blocked too, at any distance, and once', () => {
  const held = [lock('1', 'xid/1', 'ExclusiveLock')]
  const waiters = [
    waiter(12, 'seat 1', 'ExclusiveLock', [11, 10]),
    waiter(11, 'seat 1', 'ExclusiveLock', [10]),
    waiter(10, 'xid/1', 'ShareLock', [0]),
    waiter(13, 'seat 9', 'ExclusiveLock', [99]),
  ]
  expect(sessionsOf(held, waiters, '1')).toEqual([10, [12, 10], [11, 10]])
})

test('a lock that nobody prepared holds is no business of ours', () => {
  const waiters = [waiter(10, 'xid/1', 'ShareLock', [55])]
  expect(sessionsOf([lock('1', 'xid/1', 'ExclusiveLock')], waiters, '1')).toEqual([])
})

test('a table is listed once, with its strongest lock, and what is no table not at all', () => {
  const held = [
    lock('1', 'a', 'AccessShareLock', 'public.prices'),
    lock('1', 'a', 'RowExclusiveLock', 'public.prices'),
    lock('1', 'b', 'AccessExclusiveLock', 'public.seats'),
    lock('1', 'xid/1', 'ExclusiveLock'),
  ]
  expect(blockedBy(held, []).get('1')).toMatchObject({
    tableCount: 2,
    tables: [
      { name: 'public.seats', mode: 'AccessExclusiveLock' },
      { name: 'public.prices', mode: 'RowExclusiveLock' },
    ],
  })
})

test('a long list is cut, and its count is whole', () => {
  const held = Array.from({ length: 50 }, (_, n) => lock('1', `${n}`, 'RowExclusiveLock', `t${n}`))
  const found = blockedBy(held, [])
  expect(found.get('1')?.tables).toHaveLength(20)
  expect(found.get('1')?.tableCount).toBe(50)
})
