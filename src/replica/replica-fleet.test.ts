import { afterEach, expect, test } from 'vitest'
import { type NodeId, parseClusterId, parseNodeId } from '../base/index.ts'
import { type Hello, PROTOCOL_MAJOR, PROTOCOL_MINOR } from '../transport/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { CLUSTER, eventually, Fleet, type FleetOptions, type TestNode } from './fleet.support.ts'

let fleet: Fleet

afterEach(() => fleet.stopAll())

async function startThree(options: FleetOptions = {}): Promise<TestNode> {
  fleet = new Fleet(options)
  await fleet.start()
  return fleet.leader()
}

function proposeMany(leader: TestNode, count: number, prefix: string, size = 0): string[] {
  const texts = Array.from({ length: count }, (_, at) => `${prefix}${at}`.padEnd(size, '.'))
  for (const text of texts) leader.propose(text)
  return texts
}

test('when the leader crashes another one leads and keeps everything that was applied', async () => {
  const first = await startThree()
  for (let round = 0; round < 10; round++) {
    proposeMany(first, 20, `r${round}-`)
    await eventually('the round is applied', () => first.recorder.applied.length === (round + 1) * 20)
  }
  // More is under way when the power goes: it may survive or not, but what was applied must.
  proposeMany(first, 20, 'late-')
  await fleet.crash(first.nodeId)
  const acknowledged = first.recorder.applied
  const second = await fleet.leader()
  expect(second.nodeId).not.toBe(first.nodeId)
  expect(second.recorder.applied.slice(0, acknowledged.length)).toEqual(acknowledged)
  await fleet.start(first.nodeId)
  second.propose('after')
  await eventually('all have it', () => fleet.running.every(({ recorder }) => recorder.applied.includes('after')))
  for (const { recorder } of fleet.running) expect(recorder.applied).toEqual(second.recorder.applied)
})

test("an old leader's tail that no majority has is overwritten", async () => {
  const old = await startThree()
  proposeMany(old, 5, 'kept-')
  await fleet.applied(5)
  const others = fleet.followers(old)
  for (const other of others) await fleet.crash(other.nodeId)
  const before = old.replica.status().raft.lastIndex
  proposeMany(old, 50, 'tail-')
  await eventually('the tail is durable', () => old.replica.identity().durableIndex === before + 50)
  await fleet.crash(old.nodeId)
  await fleet.start(...others.map(({ nodeId }) => nodeId))
  const leader = await fleet.leader()
  proposeMany(leader, 10, 'new-')
  await fleet.applied(15)
  await fleet.start(old.nodeId)
  await fleet.applied(15)
  for (const { recorder } of fleet.running)
    expect(recorder.applied.filter((text) => text.startsWith('tail-'))).toEqual([])
  // And it stays so after it is read from disk again.
  await fleet.crash(old.nodeId)
  await fleet.start(old.nodeId)
  await fleet.applied(15)
  expect(fleet.nodes.get(old.nodeId)!.recorder.applied).toEqual(leader.recorder.applied)
  expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
})

test('a follower that was away catches up with entries that its leader has only on disk', async () => {
  const leader = await startThree({ tuning: { cacheBytesMax: 4096, messageBytesMax: 8192 } })
  const away = fleet.followers(leader)[0]!
  await fleet.crash(away.nodeId)
  for (let round = 0; round < 10; round++) {
    proposeMany(leader, 200, `r${round}-`, 100)
    await eventually('applied', () => leader.recorder.applied.length === (round + 1) * 200)
  }
  await fleet.start(away.nodeId)
  await fleet.applied(2000)
  expect(fleet.nodes.get(away.nodeId)!.recorder.applied).toEqual(leader.recorder.applied)
})

test('a leader that lost its majority refuses read barriers and proposals, and says so', async () => {
  const leader = await startThree()
  const pending: Promise<void>[] = []
  for (const follower of fleet.followers(leader)) await fleet.crash(follower.nodeId)
  pending.push(leader.replica.readBarrier())
  await expect(pending[0]).rejects.toMatchObject({ code: 'NOT_LEADER', retryable: true })
  expect(leader.recorder.leads).toBe(false)
  expect(leader.replica.propose(Buffer.from('x'))).toMatchObject({ kind: 'refused', reason: 'notLeader' })
  expect(leader.recorder.followed.at(-1)).toBeUndefined()
})

test('followers hear who leads', async () => {
  const leader = await startThree()
  for (const { recorder } of fleet.followers(leader)) {
    await eventually('it was told', () => recorder.followed.at(-1) === leader.nodeId)
  }
  const { peers } = leader.replica.status()
  expect(peers.map(({ connected }) => connected)).toEqual([true, true])
})

test('NODE_STORE_CHANGED: a node with an empty directory under a known id is kept out, and ends', async () => {
  const leader = await startThree()
  const victim = fleet.followers(leader)[0]!
  const storeId = victim.replica.identity().storeId
  await fleet.crash(victim.nodeId)
  fleet.disks.set(victim.nodeId, new MemoryDisk())
  await fleet.start(victim.nodeId)
  const impostor = fleet.nodes.get(victim.nodeId)!
  await eventually('it ended', () => impostor.fatal.length > 0)
  expect(impostor.fatal).toEqual([expect.objectContaining({ code: 'NODE_STORE_CHANGED' })])
  expect(impostor.fatal[0]!.message).toContain(`node ${victim.nodeId} is known with another data directory (${storeId}`)
  expect(impostor.replica.acceptPeer(helloOf(leader))).toMatchObject({ code: 'SHUTTING_DOWN' })
  // The others go on.
  leader.propose('on')
  await eventually('applied', () => leader.recorder.applied.includes('on'))
})

test('NODE_STORE_CHANGED: the binding of an id to a directory outlives restarts', async () => {
  await startThree()
  await eventually('all are connected', () =>
    fleet.running.every(({ replica }) => replica.status().peers.every(({ connected }) => connected)),
  )
  const [one, two, three] = fleet.running as [TestNode, TestNode, TestNode]
  const hello = helloOf(three)
  await fleet.stopAll()
  await fleet.start(one.nodeId, two.nodeId)
  for (const { replica } of fleet.running) {
    expect(replica.acceptPeer(hello)).toBeUndefined()
    expect(replica.acceptPeer({ ...hello, node: { ...hello.node!, storeId: 'f'.repeat(32) } })).toMatchObject({
      code: 'NODE_STORE_CHANGED',
    })
  }
})

test('NODE_STORE_OLD: a copy of the directory from before is kept out, and ends', async () => {
  const leader = await startThree()
  const victim = fleet.followers(leader)[0]!
  proposeMany(leader, 10, 'early-')
  await fleet.applied(10)
  await fleet.crash(victim.nodeId)
  const copy = fleet.diskOf(victim.nodeId).crash(() => 0)
  await fleet.crash(victim.nodeId)
  await fleet.start(victim.nodeId)
  proposeMany(leader, 10, 'later-')
  await fleet.applied(20)
  const last = leader.replica.status().raft.commitIndex
  await eventually(
    'the leader noted it',
    () => !isWelcome(leader, { ...helloOf(victim).node!, durableIndex: last - 1 }),
  )
  await fleet.stop(victim.nodeId)
  fleet.disks.set(victim.nodeId, copy)
  await fleet.start(victim.nodeId)
  const old = fleet.nodes.get(victim.nodeId)!
  await eventually('it ended', () => old.fatal.length > 0)
  expect(old.fatal).toEqual([expect.objectContaining({ code: 'NODE_STORE_OLD' })])
  expect(old.recorder.applied).toEqual([])
})

test('a node may rightly come back without a tail that it acknowledged but that was never committed', async () => {
  let slow: NodeId | undefined
  const held: (() => void)[] = []
  const newDisk = (nodeId: NodeId) =>
    new MemoryDisk({
      delayWrite: (complete) => (slow === nodeId ? held.push(complete) : queueMicrotask(complete)),
    })
  const leader = await startThree({ newDisk })
  proposeMany(leader, 10, 'p')
  await fleet.applied(10)
  const [away, peer] = fleet.followers(leader) as [TestNode, TestNode]
  await fleet.crash(away.nodeId)
  // Now the leader's own disk stands still: what the one follower acknowledges is no majority.
  slow = leader.nodeId
  proposeMany(leader, 10, 'tail-')
  const { commitIndex } = leader.replica.status().raft
  await eventually('it was acknowledged', () =>
    leader.replica.status().raft.followers.some(({ matchIndex }) => matchIndex === commitIndex + 10),
  )
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(leader.replica.status().raft.commitIndex).toBe(commitIndex)
  const { storeId } = peer.replica.identity()
  expect(isWelcome(leader, { nodeId: peer.nodeId, storeId, durableIndex: commitIndex })).toBe(true)
  expect(isWelcome(leader, { nodeId: peer.nodeId, storeId, durableIndex: commitIndex - 1 })).toBe(false)
  slow = undefined
  for (const complete of held.splice(0)) complete()
})

test('a hello that is not from a member is refused, each with its code', async () => {
  const leader = await startThree()
  const peer = fleet.followers(leader)[0]!
  const hello = helloOf(peer)
  const own = leader.replica.identity()
  const codeOf = (changed: Partial<Hello>) => leader.replica.acceptPeer({ ...hello, ...changed })?.code
  expect(codeOf({})).toBeUndefined()
  expect(codeOf({ clusterId: parseClusterId('other') })).toBe('WRONG_CLUSTER')
  expect(codeOf({ node: { ...hello.node!, nodeId: parseNodeId(9) } })).toBe('NODE_NOT_MEMBER')
  expect(codeOf({ node: undefined })).toBe('NODE_NOT_MEMBER')
  expect(codeOf({ node: own }), 'this node dialled itself').toBe('NODE_NOT_MEMBER')
  expect(codeOf({ node: { ...own, storeId: 'e'.repeat(32) } }), 'a second directory for our id').toBe(
    'NODE_STORE_CHANGED',
  )
})

function helloOf({ replica }: TestNode): Hello {
  const version = { protocolMajor: PROTOCOL_MAJOR, protocolMinor: PROTOCOL_MINOR }
  return { kind: 'hello', ...version, role: 'peer', clusterId: CLUSTER, node: replica.identity(), name: 'test' }
}

/** As a run that was never seen before: one that is known is not measured again. */
function isWelcome(node: TestNode, { run: _, ...identity }: NonNullable<Hello['node']>): boolean {
  return node.replica.acceptPeer({ ...helloOf(node), node: identity }) === undefined
}
