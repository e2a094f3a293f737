import { expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import type { NodeIdentity } from '../transport/index.ts'
import { PeerIdentities } from './peer-identities.ts'
import { decodePeer, encodePeer, type PeerRecord } from './records.ts'

const TWO = parseNodeId(2)
const STORE = 'aa'.repeat(16)
const identity = (durableIndex: number, storeId = STORE): NodeIdentity => ({ nodeId: TWO, storeId, durableIndex })

function known(...records: PeerRecord[]): PeerIdentities {
  return new PeerIdentities(new Map(records.map((record) => [record.nodeId, record])))
}

function bound(acknowledged = 0): PeerIdentities {
  return known({ nodeId: TWO, storeId: STORE, acknowledged })
}

test('the first contact binds an id to a directory, and is to be written at once', () => {
  const identities = known()
  expect(identities.check(identity(5), identities.floorOf(TWO))).toBeUndefined()
  expect(identities.isUrgent).toBe(true)
  expect(identities.takeUnsaved(0)).toEqual([{ nodeId: TWO, storeId: STORE, acknowledged: 0 }])
  expect(identities.isUrgent).toBe(false)
  expect(identities.check(identity(5, 'bb'.repeat(16)), 0)?.code).toBe('NODE_STORE_CHANGED')
})

test('a node that has all it acknowledged is welcome, one that has less is an old copy', () => {
  const identities = bound(10)
  const floor = identities.floorOf(TWO)
  expect(identities.check(identity(10), floor)).toBeUndefined()
  expect(identities.check(identity(11), floor)).toBeUndefined()
  const error = identities.check(identity(9), floor)
  expect(error?.code).toBe('NODE_STORE_OLD')
  expect(error?.message).toContain('ends at entry 9, but acknowledged entry 10 before')
})

test('an identity stated before an acknowledgement is not measured by it', () => {
  const identities = bound(10)
  const floor = identities.floorOf(TWO)
  identities.raise(TWO, 12)
  expect(identities.check(identity(10), floor)).toBeUndefined()
  expect(identities.check(identity(10), identities.floorOf(TWO))?.code).toBe('NODE_STORE_OLD')
})

test('a process that was found whole is not measured again: its hello may have waited while it acknowledged more', () => {
  const identities = bound(10)
  const inRun = (incarnation: number, durableIndex: number): NodeIdentity => ({
    ...identity(durableIndex),
    run: { incarnation, doubtful: false },
  })
  expect(identities.check(inRun(1, 10), identities.floorOf(TWO))).toBeUndefined()
  identities.raise(TWO, 20)
  expect(identities.check(inRun(1, 10), identities.floorOf(TWO))).toBeUndefined()
  expect(identities.check(inRun(2, 10), identities.floorOf(TWO))?.code).toBe('NODE_STORE_OLD')
  expect(identities.check(inRun(2, 20), identities.floorOf(TWO))).toBeUndefined()

  const fresh = known()
  expect(fresh.check(inRun(1, 0), fresh.floorOf(TWO))).toBeUndefined()
  fresh.raise(TWO, 20)
  expect(fresh.check(inRun(1, 0), fresh.floorOf(TWO))).toBeUndefined()
})

test('a raised bound is written along with other writes, every five seconds at most', () => {
  const identities = bound()
  identities.raise(TWO, 5)
  expect(identities.isUrgent).toBe(false)
  expect(identities.takeUnsaved(1000).map(({ acknowledged }) => acknowledged)).toEqual([5])
  identities.raise(TWO, 9)
  expect(identities.takeUnsaved(5999)).toEqual([])
  expect(identities.takeUnsaved(6000).map(({ acknowledged }) => acknowledged)).toEqual([9])
  expect(identities.takeUnsaved(20_000)).toEqual([])
})

test('a bound never sinks', () => {
  const identities = bound(10)
  identities.raise(TWO, 7)
  expect(identities.floorOf(TWO)).toBe(10)
})

test('a peer record reads back as it was written', () => {
  const record = { nodeId: TWO, storeId: STORE, acknowledged: 2 ** 40 }
  expect(decodePeer(encodePeer(record))).toEqual(record)
})
