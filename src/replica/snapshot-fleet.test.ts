import { afterEach, expect, test } from 'vitest'
import { type NodeId, parseNodeId } from '../base/index.ts'
import type { MemoryDisk } from '../wal/index.ts'
import { eventually, Fleet, membersUpTo, type TestNode } from './fleet.support.ts'
import type { ReplicaTuning } from './options.ts'

let fleet: Fleet

/** Snapshots come every hundred entries, and little log stays behind them. */
const OFTEN: Partial<ReplicaTuning> = {
  segmentBytesMax: 16 * 1024,
  cacheBytesMax: 4096,
  snapshotEntries: 100,
  tailEntries: 20,
  tailBytes: 4096,
  snapshotBytes: 16 * 1024,
  snapshotChunkBytes: 2000,
  heartbeatMs: 20,
  electionTimeoutMs: 150,
}

afterEach(() => fleet?.stopAll())

async function startThree(tuning: Partial<ReplicaTuning> = {}): Promise<TestNode> {
  fleet = new Fleet({ tuning: { ...OFTEN, ...tuning } })
  await fleet.start()
  return fleet.leader()
}

let proposed = 0

/** Proposes `count` and waits until the leader has applied them. */
async function load(leader: TestNode, count: number, size = 100): Promise<void> {
  for (let left = count; left > 0; ) {
    const batch = Math.min(left, 50)
    const before = leader.recorder.applied.length
    for (let i = 0; i < batch; i++) leader.propose(`p${proposed++}`.padEnd(size, '.'))
    await eventually('the batch is applied', () => leader.recorder.applied.length >= before + batch)
    left -= batch
  }
}

function snapshotIndexOf(node: TestNode): number {
  return node.replica.status().snapshot?.index ?? 0
}

function baseOf(node: TestNode): number {
  return node.replica.status().raft.baseIndex
}

async function compacted(node: TestNode, through: number): Promise<void> {
  await eventually(`node ${node.nodeId} compacted to ${through}`, () => baseOf(node) >= through)
}

async function allEqual(): Promise<void> {
  const leader = await fleet.leader()
  leader.propose(`end ${proposed++}`)
  await eventually('all are equal', () =>
    fleet.running.every(({ recorder }) => recorder.applied.length >= leader.recorder.applied.length),
  )
  for (const { recorder } of fleet.running) {
    expect(recorder.applied).toEqual(leader.recorder.applied)
    expect(recorder.indexes).toEqual(leader.recorder.indexes)
    expect(new Set(recorder.indexes).size, 'each entry took effect once').toBe(recorder.indexes.length)
  }
  expect(fleet.running.flatMap(({ fatal }) => fatal)).toEqual([])
}

test('the log is cut behind snapshots, and a restart begins at the newest', async () => {
  const leader = await startThree()
  await load(leader, 1000)
  for (const node of fleet.running) await compacted(node, 850)
  const before = leader.replica.status()
  expect(before.bytesOnDisk).toBeLessThan(10 * 16 * 1024)
  expect(before.snapshot).toMatchObject({ index: expect.any(Number), bytes: expect.any(Number) })
  expect(before.raft.baseIndex).toBeLessThanOrEqual(before.snapshot!.index)
  const applied = [...leader.recorder.applied]
  for (const node of fleet.running) await fleet.crash(node.nodeId)
  await fleet.start()
  await allEqual()
  for (const { recorder } of fleet.running) {
    expect(recorder.restores).toBe(1)
    expect(recorder.applied.slice(0, applied.length)).toEqual(applied)
  }
})

/** Starts three nodes; one follower is down, and lacks entries that the leader has cut. */
async function startWithOneBehind(): Promise<{ readonly leader: TestNode; readonly away: TestNode }> {
  const leader = await startThree()
  await load(leader, 50)
  const away = fleet.followers(leader)[0]!
  await fleet.crash(away.nodeId)
  await load(leader, 500)
  await compacted(leader, 300)
  return { leader, away }
}

test('a follower that is too far behind gets a snapshot and goes on from there, while load goes on', async () => {
  const { leader, away } = await startWithOneBehind()
  await fleet.start(away.nodeId)
  await load(leader, 500)
  await allEqual()
  expect(fleet.nodes.get(away.nodeId)!.recorder.restores).toBeGreaterThan(0)
})

test('a follower within the tail gets entries, not a snapshot', async () => {
  const leader = await startThree({ tailEntries: 1000, tailBytes: 1024 * 1024 })
  await load(leader, 50)
  const away = fleet.followers(leader)[0]!
  await fleet.crash(away.nodeId)
  await load(leader, 500)
  await eventually('a snapshot was taken', () => snapshotIndexOf(leader) > 400)
  await fleet.start(away.nodeId)
  await allEqual()
  expect(fleet.nodes.get(away.nodeId)!.recorder.restores).toBe(0)
})

test('two followers at once get snapshots, and both catch up', async () => {
  fleet = new Fleet({ members: membersUpTo(5), tuning: OFTEN })
  await fleet.start()
  const leader = await fleet.leader()
  await load(leader, 50)
  const away = fleet.followers(leader).slice(0, 2)
  for (const node of away) await fleet.crash(node.nodeId)
  await load(leader, 500)
  await compacted(leader, 300)
  await fleet.start(...away.map(({ nodeId }) => nodeId))
  await load(leader, 300)
  await allEqual()
  for (const { nodeId } of away) expect(fleet.nodes.get(nodeId)!.recorder.restores).toBeGreaterThan(0)
})

test('a new node begins with a snapshot', async () => {
  const leader = await startThree()
  await load(leader, 500)
  await compacted(leader, 300)
  await fleet.join(4, 7004)
  const { host, port, nodeId } = fleet.joined[0]!
  await leader.replica.changeMembers({ kind: 'add', nodeId, host, port })
  await load(leader, 200)
  await allEqual()
  expect(fleet.nodes.get(nodeId)!.recorder.restores).toBeGreaterThan(0)
  expect(
    fleet.nodes
      .get(nodeId)!
      .replica.members()
      .members.map((member) => member.nodeId),
  ).toHaveLength(4)
})

/** Changes one byte in the middle of a file, as rot does. */
function rot(disk: MemoryDisk, path: string, at = 0.5): void {
  const content = disk.contentOf(path)
  content[Math.floor(content.length * at)]! ^= 0x10
  disk.overwrite(path, content)
}

async function snapshotPaths(disk: MemoryDisk): Promise<string[]> {
  const names = await disk.list('/log/snapshots')
  return names.filter((name) => name.endsWith('.snap')).map((name) => `/log/snapshots/${name}`)
}

async function rebuilt(nodeId: NodeId): Promise<void> {
  const leader = await fleet.leader()
  await eventually(`node ${nodeId} is a voter again`, () => {
    const { configuration } = leader.replica.status().raft
    return configuration.voters.includes(nodeId) && configuration.rebuilding.length === 0
  })
  await eventually('its doubt is over', () => !fleet.nodes.get(nodeId)!.replica.status().raft.doubtful)
}

test.each([
  [
    'a damaged snapshot',
    async (disk: MemoryDisk) => {
      for (const path of await snapshotPaths(disk)) rot(disk, path)
    },
  ],
  [
    'a lost snapshot',
    async (disk: MemoryDisk) => {
      for (const path of await snapshotPaths(disk)) disk.erase(path)
    },
  ],
  ['a damaged log', async (disk: MemoryDisk) => rot(disk, await firstSegment(disk), 0.3)],
  [
    'a damaged log and a damaged snapshot',
    async (disk: MemoryDisk) => {
      rot(disk, await firstSegment(disk), 0.3)
      for (const path of await snapshotPaths(disk)) rot(disk, path)
    },
  ],
])('a node with %s comes back in doubt, is made whole by the others, and counts again', async (_, damage) => {
  const leader = await startThree()
  await load(leader, 500)
  const victim = fleet.followers(leader)[0]!
  await compacted(victim, 300)
  await fleet.crash(victim.nodeId)
  await damage(fleet.diskOf(victim.nodeId))
  await load(leader, 50)
  await fleet.start(victim.nodeId)
  const back = fleet.nodes.get(victim.nodeId)!
  expect(back.replica.status().raft.doubtful).toBe(true)
  await load(leader, 200)
  await rebuilt(victim.nodeId)
  await allEqual()
  // And that is remembered.
  await fleet.crash(back.nodeId)
  await fleet.start(victim.nodeId)
  expect(fleet.nodes.get(victim.nodeId)!.replica.status().raft.doubtful).toBe(false)
  await allEqual()
})

async function firstSegment(disk: MemoryDisk): Promise<string> {
  const names = (await disk.list('/log')).filter((name) => name.endsWith('.wal')).sort()
  return `/log/${names[0]}`
}

test('a leader whose newest snapshot rots takes another one for the follower that needs it', async () => {
  const { leader, away } = await startWithOneBehind()
  for (const path of await snapshotPaths(fleet.diskOf(leader.nodeId))) rot(fleet.diskOf(leader.nodeId), path)
  await fleet.start(away.nodeId)
  await load(leader, 10)
  await allEqual()
  expect(fleet.nodes.get(away.nodeId)!.recorder.restores).toBeGreaterThan(0)
})

test('a snapshot goes on where it was when the follower starts again', async () => {
  const leader = await startThree({ snapshotChunkBytes: 1000 })
  await load(leader, 50)
  const away = fleet.followers(leader)[0]!
  await fleet.crash(away.nodeId)
  await load(leader, 1000, 400)
  await compacted(leader, 800)
  let received = 0
  for (let restart = 0; restart < 3; restart++) {
    // Its process dies, and its disk is slow: it stays in the midst of the snapshot.
    fleet.disks.set(
      away.nodeId,
      fleet.diskOf(away.nodeId).kill({ delayWrite: (complete) => void setTimeout(complete, 2) }),
    )
    await fleet.start(away.nodeId)
    expect(await receivedBytes(away.nodeId)).toBeGreaterThanOrEqual(received)
    const wanted = received + 20_000
    for (let bytes = 0; bytes < wanted; bytes = await receivedBytes(away.nodeId)) {
      expect(fleet.nodes.get(away.nodeId)!.recorder.restores, 'it is still in the midst').toBe(0)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    await fleet.stop(away.nodeId)
    received = await receivedBytes(away.nodeId)
  }
  expect(received).toBeGreaterThan(60_000)
  fleet.disks.set(away.nodeId, fleet.diskOf(away.nodeId).kill())
  await fleet.start(away.nodeId)
  await allEqual()
})

async function receivedBytes(nodeId: NodeId): Promise<number> {
  const disk = fleet.diskOf(nodeId)
  const draft = (await disk.list('/log/snapshots')).find((name) => name.endsWith('.draft'))
  return draft === undefined ? 0 : disk.contentOf(`/log/snapshots/${draft}`).length
}

/** The member that speaks a version without snapshots. */
const OLD = parseNodeId(3)

/** Starts these nodes of a fleet with an old member, and waits until each of them took a snapshot. */
async function startBesideOld(...numbers: number[]): Promise<void> {
  fleet = new Fleet({ tuning: OFTEN })
  fleet.more.set(OLD, { protocolMinor: 0 })
  await fleet.start(...numbers)
  await load(await fleet.leader(), 500)
  for (const node of fleet.running) await eventually('it took a snapshot', () => snapshotIndexOf(node) > 300)
}

/** The old member is upgraded, and then all logs are cut. */
async function upgradeOld(): Promise<void> {
  await fleet.stop(OLD)
  fleet.more.delete(OLD)
  await fleet.start(OLD)
  await load(await fleet.leader(), 300)
  for (const node of fleet.running) await compacted(node, 500)
}

test('as long as a member speaks a version without snapshots, no log is cut', async () => {
  await startBesideOld(1, 2, OLD)
  expect(fleet.running.map(baseOf)).toEqual([0, 0, 0])
  await upgradeOld()
  await allEqual()
})

test('a member that nobody met yet may speak that version: before the first cut everybody must be met', async () => {
  await startBesideOld(1, 2)
  expect(fleet.running.map(baseOf)).toEqual([0, 0])
  // It comes late, and finds all that it needs.
  await fleet.start(OLD)
  await allEqual()
  // From the first cut on nobody can speak that version, met or not.
  await upgradeOld()
  await fleet.stop(OLD)
  await fleet.stop(parseNodeId(2))
  await fleet.stop(parseNodeId(1))
  await fleet.start(1, 2)
  const before = fleet.running.map(baseOf)
  await load(await fleet.leader(), 300)
  for (const [at, node] of fleet.running.entries()) await compacted(node, (before[at] ?? 0) + 100)
})
