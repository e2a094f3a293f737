import { expect, test } from 'vitest'
import { type NodeId, parseNodeId } from '../base/index.ts'
import { EMPTY_CONFIGURATION, simpleConfiguration } from '../raft/index.ts'
import { HandshakeRejectedError } from '../transport/index.ts'
import { StoreRefusals } from './store-refusals.ts'

const ids = (...numbers: number[]): NodeId[] => numbers.map(parseNodeId)
const [one, two, three] = ids(1, 2, 3) as [NodeId, NodeId, NodeId]
const changed = new HandshakeRejectedError('NODE_STORE_CHANGED', 'node 3 is known with another data directory')
const old = new HandshakeRejectedError('NODE_STORE_OLD', 'node 3 came with a log that ends too early')
const group = simpleConfiguration(ids(1, 2, 3))

test('an old copy is told by anybody', () => {
  expect(new StoreRefusals().refusedBy(one, old, group, [])).toMatchObject({ code: 'NODE_STORE_OLD', cause: old })
})

test('another directory than one peer knows is reason to stop only once the rest is no quorum', () => {
  const refusals = new StoreRefusals()
  expect(refusals.refusedBy(one, changed, group, [])).toBeUndefined()
  expect(refusals.refusedBy(one, changed, group, []), 'the same one again').toBeUndefined()
  expect(refusals.refusedBy(two, changed, group, [])).toMatchObject({ code: 'NODE_STORE_CHANGED' })
})

test('whoever takes us after all does not count any more', () => {
  const refusals = new StoreRefusals()
  refusals.refusedBy(one, changed, group, [])
  refusals.acceptedBy(one)
  expect(refusals.refusedBy(two, changed, group, [])).toBeUndefined()
})

test('both halves of a joint configuration must be able to decide with us', () => {
  const joint = { ...simpleConfiguration(ids(3, 4, 5)), votersOutgoing: ids(1, 2, 3) }
  const refusals = new StoreRefusals()
  expect(refusals.refusedBy(one, changed, joint, [])).toBeUndefined()
  expect(refusals.refusedBy(two, changed, joint, [])).toMatchObject({ code: 'NODE_STORE_CHANGED' })
})

test('in a group of two the other one is enough, and so is every contact of a node that waits to be added', () => {
  expect(new StoreRefusals().refusedBy(one, changed, simpleConfiguration([one, three]), [])).toBeDefined()
  const waiting = new StoreRefusals()
  expect(waiting.refusedBy(one, changed, EMPTY_CONFIGURATION, ids(1, 2, 4))).toBeUndefined()
  expect(waiting.refusedBy(two, changed, EMPTY_CONFIGURATION, ids(1, 2, 4))).toBeDefined()
})

test('a refusal for another reason says nothing of the directory', () => {
  const stopping = new HandshakeRejectedError('SHUTTING_DOWN', 'try again later')
  const alone = simpleConfiguration([one, three])
  expect(new StoreRefusals().refusedBy(one, stopping, alone, [])).toBeUndefined()
})
