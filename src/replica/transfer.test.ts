import { afterEach, expect, test } from 'vitest'
import { type NodeId, parseNodeId } from '../base/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { eventually, Fleet, membersUpTo, type TestNode } from './fleet.support.ts'

/** Whose disk takes writes and does not complete them. */
let stalled: NodeId | undefined
let held: (() => void)[] = []
let fleet: Fleet

afterEach(async () => {
  resume()
  await fleet.stopAll()
})

async function start(count = 3): Promise<TestNode> {
  const newDisk = (nodeId: NodeId) =>
    new MemoryDisk({
      delayWrite: (complete) => (stalled === nodeId ? held.push(complete) : queueMicrotask(complete)),
    })
  fleet = new Fleet({ members: membersUpTo(count), newDisk })
  await fleet.start()
  return await fleet.leader()
}

function resume(): void {
  stalled = undefined
  const waiting = held
  held = []
  for (const complete of waiting) complete()
}

test('the leadership goes to the node that is named, in the very next term', async () => {
  const leader = await start()
  const heir = fleet.followers(leader)[1]!
  const { currentTerm } = leader.replica.status().raft
  expect(await leader.replica.transferLeadership(heir.nodeId)).toBe(heir.nodeId)
  await eventually('it serves', () => heir.recorder.leads)
  expect(heir.replica.status().raft).toMatchObject({ role: 'leader', currentTerm: currentTerm + 1 })
  expect(leader.recorder.leads).toBe(false)
  heir.propose('on')
  await fleet.applied(1)
})

test('a leader that is about to stop hands over to whoever is furthest, and loses no entry that it took', async () => {
  let leader = await start()
  const texts: string[] = []
  for (let round = 0; round < 3; round++) {
    for (let at = 0; at < 50; at++) {
      const text = `r${round}-${at}`
      texts.push(text)
      leader.propose(text)
    }
    const { currentTerm } = leader.replica.status().raft
    expect(await leader.replica.handOver(10_000)).toBe(true)
    await fleet.stop(leader.nodeId)
    const next = await fleet.leader()
    expect(next.replica.status().raft.currentTerm, 'nobody had to campaign twice').toBe(currentTerm + 1)
    await fleet.start(leader.nodeId)
    leader = next
  }
  await fleet.applied(texts.length)
  for (const { recorder } of fleet.running) expect(recorder.applied).toEqual(texts)
})

test('while the leadership is handed over proposals wait, and if nobody takes it they are not lost', async () => {
  const leader = await start()
  const [heir] = fleet.followers(leader) as [TestNode]
  // The heir is alive, but what it acknowledges is held up: it never has the whole log.
  stalled = heir.nodeId
  leader.propose('before')
  await eventually('the heir lacks it', () =>
    leader.replica
      .status()
      .raft.followers.some(
        ({ nodeId, matchIndex }) => nodeId === heir.nodeId && matchIndex < leader.replica.status().raft.lastIndex,
      ),
  )
  const failed = leader.replica.transferLeadership(heir.nodeId)
  leader.propose('accepted in the same turn')
  await eventually('it began', () => leader.replica.status().raft.transferTarget !== undefined)
  expect(leader.replica.propose(Buffer.from('x'))).toMatchObject({ kind: 'refused', reason: 'backPressure' })
  await expect(failed).rejects.toMatchObject({ code: 'TRANSFER_FAILED', reason: 'timeout', retryable: true })
  leader.propose('after')
  await eventually('nothing was lost', () => leader.recorder.applied.includes('after'))
  expect(leader.recorder.applied).toEqual(['before', 'accepted in the same turn', 'after'])
})

test('nobody can take over from a node that is alone, or that does not lead', async () => {
  const leader = await start(1)
  await expect(leader.replica.transferLeadership()).rejects.toMatchObject({
    code: 'TRANSFER_FAILED',
    reason: 'noTarget',
  })
  expect(await leader.replica.handOver(1_000)).toBe(false)
  expect(leader.recorder.leads).toBe(true)
  await fleet.stopAll()
  const second = await start()
  const other = fleet.followers(second)[0]!
  await expect(other.replica.transferLeadership()).rejects.toMatchObject({ code: 'NOT_LEADER' })
  expect(await other.replica.handOver(1_000), 'there is nothing to hand over').toBe(true)
})

test('a leader whose disk stands still hands over, and what it could not write is decided without it', async () => {
  const leader = await start()
  leader.propose('early')
  await fleet.applied(1)
  stalled = leader.nodeId
  leader.propose('late')
  const heir = await eventually('another leads', () => fleet.followers(leader).find(({ recorder }) => recorder.leads))
  expect(leader.recorder.leads).toBe(false)
  expect(heir.recorder.applied).toEqual(['early', 'late'])
  heir.propose('new')
  await eventually('applied', () => fleet.followers(leader).every(({ recorder }) => recorder.applied.length === 3))
  resume()
  await fleet.applied(3)
  expect(leader.recorder.applied).toEqual(['early', 'late', 'new'])
  expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
})

test('an id that is no member can take nothing over', async () => {
  const leader = await start()
  await expect(leader.replica.transferLeadership(parseNodeId(77))).rejects.toMatchObject({ reason: 'noTarget' })
  expect(leader.recorder.leads).toBe(true)
})
