import { afterEach, expect, test } from 'vitest'
import { type NodeId, parseNodeId } from '../base/index.ts'
import { eventually, Fleet, membersUpTo, type TestNode } from './fleet.support.ts'

// Releases of protocol 1.0 know no transfer, no forwarded reads, no changes of members and no snapshots. Nodes that
// speak it here are of today's release and hold themselves back; test/compat has what a real one left on disk.

let fleet: Fleet

afterEach(() => fleet.stopAll())

async function start(...minors: readonly number[]): Promise<TestNode> {
  fleet = new Fleet({ members: membersUpTo(minors.length) })
  for (const [at, protocolMinor] of minors.entries()) fleet.more.set(parseNodeId(at + 1), { protocolMinor })
  await fleet.start()
  const leader = await fleet.leader()
  await eventually('all are connected', () =>
    fleet.running.every(({ replica }) => replica.status().peers.every(({ connected }) => connected)),
  )
  return leader
}

/** Lets a certain node lead, by a plain election. */
async function lead(nodeId: NodeId): Promise<TestNode> {
  for (;;) {
    const leader = await fleet.leader()
    if (leader.nodeId === nodeId) return leader
    await fleet.stop(leader.nodeId)
    await fleet.leader()
    await fleet.start(leader.nodeId)
  }
}

test('a fleet in which some speak 1.0 decides as before, whoever leads', async () => {
  await start(0, 1, 1)
  for (const number of [1, 2]) {
    const leader = await lead(parseNodeId(number))
    leader.propose(`led by ${number}`)
    await eventually('applied', () =>
      fleet.running.every(({ recorder }) => recorder.applied.includes(`led by ${number}`)),
    )
  }
  expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
})

test('no members are changed while one of them speaks 1.0, and by one that does itself', async () => {
  await start(1, 0, 1)
  const add = { kind: 'add', nodeId: parseNodeId(4), host: '127.0.0.1', port: 7004 } as const
  const leader = await lead(parseNodeId(1))
  await expect(leader.replica.changeMembers(add)).rejects.toMatchObject({ code: 'MEMBERS_MIXED_VERSIONS', nodes: [2] })
  const old = await lead(parseNodeId(2))
  await expect(old.replica.changeMembers(add)).rejects.toMatchObject({ code: 'MEMBERS_MIXED_VERSIONS' })
})

test('the leadership goes to nobody who speaks 1.0: the other one takes it', async () => {
  await start(1, 0, 1)
  const leader = await lead(parseNodeId(1))
  await expect(leader.replica.transferLeadership(parseNodeId(2))).rejects.toMatchObject({
    code: 'TRANSFER_FAILED',
    reason: 'noTarget',
  })
  expect(await leader.replica.transferLeadership()).toBe(3)
  expect((await fleet.leader()).nodeId).toBe(3)
})

test('a leader that speaks 1.0 hands over to nobody, and goes on', async () => {
  await start(0, 1, 1)
  const old = await lead(parseNodeId(1))
  expect(await old.replica.handOver(1_000)).toBe(false)
  expect(old.recorder.leads).toBe(true)
})

test('a read that can not be forwarded to a leader of 1.0 is refused, and may be tried again', async () => {
  await start(0, 1, 1)
  const old = await lead(parseNodeId(1))
  for (const other of fleet.followers(old)) {
    await eventually('it knows the leader', () => other.replica.leader === old.nodeId)
    await expect(other.replica.readBarrier()).rejects.toMatchObject({ code: 'NOT_LEADER', retryable: true })
  }
  await old.replica.readBarrier()
})

test('once the last one is upgraded, members change', async () => {
  await start(1, 1, 0)
  await fleet.stop(parseNodeId(3))
  fleet.more.delete(parseNodeId(3))
  await fleet.start(3)
  const leader = await fleet.leader()
  await eventually('it is connected', () => leader.replica.status().peers.every(({ connected }) => connected))
  const view = await leader.replica.changeMembers({
    kind: 'add',
    nodeId: parseNodeId(4),
    host: '127.0.0.1',
    port: 7004,
  })
  expect(view.members.map(({ nodeId }) => nodeId)).toEqual([1, 2, 3, 4])
})
