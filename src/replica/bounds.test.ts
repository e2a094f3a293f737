import { afterEach, expect, test } from 'vitest'
import { type NodeId, systemClock } from '../base/index.ts'
import { type Entry, EntryKind, type LogIndex, type Term } from '../raft/index.ts'
import { memoryNetwork } from '../transport/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { Applier } from './applier.ts'
import { eventually, Fleet, membersOn, Recorder } from './fleet.support.ts'

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
  const disks = new Map<NodeId, MemoryDisk>()
  const members = membersOn([7001, 7002, 7003])
  for (const { nodeId } of members) {
    const delayWrite = (complete: () => void) => void (slow === nodeId ? held.push(complete) : queueMicrotask(complete))
    disks.set(nodeId, new MemoryDisk({ delayWrite }))
  }
  const uncommittedBytesMax = 64 * 1024
  fleet = new Fleet(memoryNetwork(), members, (nodeId) => ({ disk: disks.get(nodeId)!, directory: '/log' }), {
    uncommittedBytesMax,
  })
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

test('a state machine slower than the log holds up proposals before they fill the memory', () => {
  const applier = new Applier({
    clock: systemClock,
    later: () => {},
    lastApplied: 0 as LogIndex,
    onFatal: (error) => {
      throw error
    },
  })
  applier.start(new Recorder())
  const entry = (index: number): Entry => ({
    term: 1 as Term,
    index: index as LogIndex,
    kind: EntryKind.command,
    data: Buffer.alloc(1024 * 1024),
  })
  for (let index = 1; index <= 9; index++) applier.push([entry(index)])
  expect(applier.hasRoom).toBe(false)
})
