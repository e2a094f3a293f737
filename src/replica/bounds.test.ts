import { afterEach, expect, test } from 'vitest'
import type { NodeId } from '../base/index.ts'
import { memoryNetwork } from '../transport/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { eventually, Fleet, membersOn, replicaOptions } from './fleet.support.ts'
import { Recorder } from './recorder.support.ts'
import { Replica } from './replica.ts'

let fleet: Fleet | undefined
let release: (() => void) | undefined

afterEach(async () => {
  release?.()
  release = undefined
  await fleet?.stopAll()
  fleet = undefined
})

test('a leader whose own disk stands still refuses proposals before they fill its memory', async () => {
  const held: (() => void)[] = []
  let slow: NodeId | undefined
  const newDisk = (nodeId: NodeId) =>
    new MemoryDisk({
      delayWrite: (complete) => (slow === nodeId ? held.push(complete) : queueMicrotask(complete)),
    })
  const uncommittedBytesMax = 64 * 1024
  fleet = new Fleet({ tuning: { uncommittedBytesMax }, newDisk })
  await fleet.start()
  const leader = await fleet.leader()
  slow = leader.nodeId
  // Whatever comes, the node must be able to close.
  release = () => {
    slow = undefined
    for (const complete of held.splice(0)) complete()
  }
  let accepted = 0
  const propose = () => {
    const result = leader.replica.propose(Buffer.alloc(1000, accepted))
    if (result.kind === 'accepted') accepted++
    return result
  }
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 30; i++) propose()
    await eventually('the others commit', () => leader.recorder.applied.length === accepted)
  }
  expect(propose()).toMatchObject({ kind: 'refused', reason: 'backPressure' })
  expect(accepted * 1000).toBeLessThanOrEqual(uncommittedBytesMax)
  // The disk goes on, and so do proposals.
  release()
  await eventually('there is room again', () => propose().kind === 'accepted')
})

test('a leader refuses proposals while much that is committed waits for its state machine', async () => {
  const members = membersOn([7001])
  const options = { network: memoryNetwork(), disk: new MemoryDisk(), directory: '/log', members }
  const recorder = new Recorder()
  // Each apply takes longer than a slice, so that others get their turn in between.
  recorder.onApply = () => {
    for (const end = performance.now() + 8; performance.now() < end; );
  }
  const tuning = { segmentBytesMax: 16 * 1024 * 1024 }
  const replica = await Replica.open(
    replicaOptions({ ...options, nodeId: members[0]!.nodeId }, (error) => expect.unreachable(error.message), tuning),
  )
  try {
    await replica.start(recorder)
    await eventually('it leads', () => recorder.leads)
    for (let i = 0; i < 10; i++) expect(replica.propose(Buffer.alloc(1024 * 1024)).kind).toBe('accepted')
    await eventually('all is committed, not applied', () => replica.status().raft.commitIndex === 11)
    expect(recorder.applied.length).toBeLessThan(10)
    expect(replica.propose(Buffer.from('x'))).toMatchObject({ kind: 'refused', reason: 'backPressure' })
    await eventually('there is room again', () => replica.propose(Buffer.from('y')).kind === 'accepted')
  } finally {
    await replica.close()
  }
})
