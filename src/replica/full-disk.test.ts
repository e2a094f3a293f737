import { afterEach, expect, test } from 'vitest'
import type { NodeId } from '../base/index.ts'
import type { AppendEntries, RaftMessage } from '../raft/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { eventually, Fleet, type TestNode } from './fleet.support.ts'

const SEGMENT_BYTES = 32 * 1024

/** Each node's disk and how large it is. */
const capacities = new Map<NodeId, { capacityBytes: number }>()
/** What the nodes sent. */
const sent: RaftMessage[] = []
let fleet: Fleet

afterEach(async () => {
  await fleet.stopAll()
  capacities.clear()
})

async function startThree(cacheBytesMax = 1024 * 1024): Promise<TestNode> {
  const newDisk = (nodeId: NodeId) => {
    const options = { capacityBytes: Number.POSITIVE_INFINITY }
    capacities.set(nodeId, options)
    return new MemoryDisk(options)
  }
  fleet = new Fleet({ tuning: { segmentBytesMax: SEGMENT_BYTES, cacheBytesMax }, newDisk })
  sent.length = 0
  const tap = { opened() {}, stepped() {}, sent: (message: RaftMessage) => void sent.push(message) }
  for (const { nodeId } of fleet.members) fleet.more.set(nodeId, { tap })
  await fleet.start()
  return await fleet.leader()
}

/** Nothing more fits on this node's disk than what its log has taken already. */
function fill(node: TestNode): void {
  capacities.get(node.nodeId)!.capacityBytes = node.replica.status().bytesOnDisk
}

function makeRoom(node: TestNode): void {
  capacities.get(node.nodeId)!.capacityBytes = Number.POSITIVE_INFINITY
}

/** Proposes at whoever leads, until so many entries are applied there. */
async function propose(count: number): Promise<TestNode> {
  for (let proposed = 0; proposed < count; ) {
    const leader = await fleet.leader()
    const payload = Buffer.alloc(1_000, `${proposed} `)
    if (leader.replica.propose(payload, { reserve: true }).kind === 'accepted') proposed++
    await new Promise((resolve) => setImmediate(resolve))
  }
  const leader = await fleet.leader()
  await eventually('applied', () => leader.recorder.applied.length >= count)
  return leader
}

test('a follower whose disk is full stays up, and goes on when there is room again', async () => {
  const leader = await startThree()
  const full = fleet.followers(leader)[0]!
  fill(full)
  await propose((20 * SEGMENT_BYTES) / 1_000)
  expect(full.fatal).toEqual([])
  const { raft, spaceLow } = full.replica.status()
  expect(spaceLow).toBe(true)
  expect(raft.lastIndex).toBeLessThan(leader.replica.status().raft.commitIndex)
  expect(raft.leader, 'it still hears the leader').toBe(leader.nodeId)
  makeRoom(full)
  await fleet.applied(leader.recorder.applied.length)
  expect(full.recorder.applied).toEqual(leader.recorder.applied)
})

test('a follower whose disk is full is offered one entry a heartbeat, read from disk, and no more', async () => {
  const leader = await startThree(0)
  const full = fleet.followers(leader)[0]!
  fill(full)
  await propose((20 * SEGMENT_BYTES) / 1_000)
  const toFull = () => sent.filter((message) => message.kind === 'appendEntries' && message.to === full.nodeId)
  const appends = (from: number) => toFull().slice(from) as AppendEntries[]
  const noted = toFull().length
  // What was under way is over, and the leader knows.
  await eventually('ten messages', () => toFull().length >= noted + 10)
  const before = toFull().length
  await eventually('twenty more', () => toFull().length >= before + 20)
  const offers = appends(before).filter(({ entries }) => entries.length > 0)
  const heartbeats = appends(before).length - offers.length
  expect(offers.length).toBeGreaterThan(0)
  expect(offers.length).toBeLessThanOrEqual(heartbeats + 1)
  expect(offers.every(({ entries }) => entries.length === 1)).toBe(true)
  makeRoom(full)
  await fleet.applied(leader.recorder.applied.length)
  expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
})

test('a follower with a full disk still votes; whoever is elected serves once there is room', async () => {
  const leader = await startThree()
  const [full, other] = fleet.followers(leader) as [TestNode, TestNode]
  fill(full)
  await propose((20 * SEGMENT_BYTES) / 1_000)
  await fleet.stop(leader.nodeId)
  // The full one lacks entries, so it can't be elected itself; and what it can't write it does not acknowledge.
  await eventually('the other one is elected', () => other.replica.status().raft.role === 'leader')
  expect(full.replica.status().raft.votedFor).toBe(other.nodeId)
  expect(other.recorder.leads).toBe(false)
  expect(full.fatal).toEqual([])
  makeRoom(full)
  expect(await fleet.leader()).toBe(other)
})

test('a leader whose reserve is used up lets a node lead that has room, and decisions go on', async () => {
  const leader = await startThree()
  fill(leader)
  const count = (20 * SEGMENT_BYTES) / 1_000
  const last = await propose(count)
  expect(last.nodeId).not.toBe(leader.nodeId)
  expect(leader.fatal).toEqual([])
  makeRoom(leader)
  await fleet.applied(count)
})

test('when every disk is full nothing is decided and nobody ends; with room again it all goes on', async () => {
  const leader = await startThree()
  for (const node of fleet.running) fill(node)
  let refused = 0
  for (let round = 0; refused < 50; round++) {
    if (leader.replica.propose(Buffer.alloc(1_000), { reserve: true }).kind === 'refused') refused++
    await new Promise((resolve) => setTimeout(resolve, 1))
    expect(round).toBeLessThan(2_000)
  }
  expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
  for (const node of fleet.running) makeRoom(node)
  const before = leader.recorder.applied.length
  const next = await eventually('somebody takes it', () =>
    fleet.running.find(({ replica }) => replica.propose(Buffer.from('on')).kind === 'accepted'),
  )
  await eventually('applied', () => next.recorder.applied.length > before)
  await fleet.applied(next.recorder.applied.length)
})
