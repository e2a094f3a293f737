import { afterEach, expect, test } from 'vitest'
import { parseNodeId } from '../../base/index.ts'
import type { MemoryDisk } from '../../wal/index.ts'
import { eventually, Fleet, type TestNode } from '../fleet.support.ts'
import type { ReplicaTuning } from '../options.ts'
import { crashEverywhere } from './crash-everywhere.support.ts'
import { type Forced, type ForceOptions, forceNewCluster } from './force-new-cluster.ts'
import { inspectDirectory } from './inspect.ts'

const DIRECTORY = '/data/log'
const SURVIVOR = parseNodeId(2)
const SMALL = 16 * 1024
const OFTEN: Partial<ReplicaTuning> = {
  segmentBytesMax: 16 * 1024,
  snapshotEntries: 100,
  snapshotBytes: 16 * 1024,
  tailEntries: 20,
  tailBytes: 4096,
}

let fleet: Fleet

afterEach(() => fleet?.stopAll())

async function startThree(tuning: Partial<ReplicaTuning> = {}): Promise<TestNode> {
  fleet = new Fleet({ tuning: { heartbeatMs: 20, electionTimeoutMs: 150, ...tuning }, directory: DIRECTORY })
  await fleet.start()
  return fleet.leader()
}

async function propose(leader: TestNode, texts: readonly string[]): Promise<void> {
  for (const text of texts) leader.propose(text)
  await fleet.applied(leader.recorder.applied.length + texts.length)
}

function texts(count: number, prefix = 'p'): string[] {
  return Array.from({ length: count }, (_, n) => `${prefix}${n}`.padEnd(100, '.'))
}

function force(over: Partial<ForceOptions> = {}): Promise<Forced> {
  return forceNewCluster({
    disk: fleet.diskOf(SURVIVOR),
    directory: DIRECTORY,
    endpoint: undefined,
    payloads: [],
    reason: 'two machines burnt',
    ...over,
  })
}

test('a look at a stopped node tells whose it is, how far it is and who its members are', async () => {
  const leader = await startThree()
  await propose(leader, texts(3))
  await fleet.stopAll()
  const report = await inspectDirectory(fleet.diskOf(SURVIVOR), DIRECTORY)
  expect(report).toMatchObject({
    clusterId: 'trips',
    nodeId: 2,
    doubtful: false,
    logDamage: undefined,
    lacks: undefined,
  })
  expect(report.members.nodeIds).toEqual([1, 2, 3])
  expect(report.last.index).toBeGreaterThanOrEqual(4)
  expect(report.committed).toBeLessThanOrEqual(report.last.index)
})

test('a node whose majority is lost leads alone with all that it had, and grows again by new nodes', async () => {
  const leader = await startThree()
  await propose(leader, texts(5))
  await fleet.stopAll()
  const { before, after } = await force({ payloads: [Buffer.from('guarded')] })
  expect(after.term).toBe(before.term + 1)
  expect(after.last).toEqual({ index: before.last.index + 3, term: after.term })
  expect(after.members.configuration).toMatchObject({ voters: [2], retired: [1, 3] })

  await fleet.start(2)
  const alone = await fleet.leader()
  expect(alone.recorder.applied).toEqual([...texts(5), 'guarded'])
  expect(alone.replica.members()).toMatchObject({ retired: [1, 3], forcedBecause: 'two machines burnt' })

  const joined = await fleet.join(4, 7004)
  await alone.replica.changeMembers({ kind: 'add', ...joined })
  await eventually('it has caught up', () => fleet.nodes.get(joined.nodeId)?.recorder.applied.length === 6)
  await fleet.changeMembers({ kind: 'promote', nodeId: joined.nodeId })
  alone.propose('together')
  await fleet.applied(7)
})

test('nodes that were given up are refused when they come back, and disturb nobody', async () => {
  const leader = await startThree()
  await propose(leader, texts(1))
  await fleet.stopAll()
  await force()
  await fleet.start(2)
  const alone = await fleet.leader()
  const { currentTerm } = alone.replica.status().raft
  await fleet.start(1)
  const old = fleet.nodes.get(parseNodeId(1))!
  await eventually('it knows that it was removed', () => old.replica.status().removed === true)
  expect(alone.recorder.leads).toBe(true)
  expect(alone.replica.status().raft.currentTerm).toBe(currentTerm)
})

test('entries at the end that nobody knew to be committed become committed', async () => {
  const leader = await startThree()
  await propose(leader, texts(2))
  for (const { nodeId } of fleet.followers(leader)) await fleet.stop(nodeId)
  leader.propose('alone')
  await eventually('it is on disk', () => leader.replica.identity().durableIndex >= 4)
  await fleet.stop(leader.nodeId)
  const disk = fleet.diskOf(leader.nodeId)
  const before = await inspectDirectory(disk, DIRECTORY)
  await force({ disk })
  await fleet.start(leader.nodeId)
  expect((await fleet.leader()).recorder.applied).toEqual([...texts(2), 'alone'])
  expect(before.committed).toBeLessThan(before.last.index)
})

test('the directory is copied as it was, before anything in it changes', async () => {
  const leader = await startThree(OFTEN)
  for (let round = 0; round < 5; round++) await propose(leader, texts(50, `${round}.`))
  await fleet.stopAll()
  const disk = fleet.diskOf(SURVIVOR)
  const worth = disk.paths.filter((path) => path.startsWith(`${DIRECTORY}/`) && /\.(wal|snap)$/.test(path))
  const before = worth.map((path) => [path, disk.contentOf(path)] as const)
  const { copy } = await force()
  expect(copy).toBe(`${DIRECTORY}.before-recovery-1`)
  expect(worth.some((path) => path.endsWith('.snap'))).toBe(true)
  for (const [path, content] of before) expect(disk.contentOf(path.replace(DIRECTORY, copy))).toEqual(content)
})

test('of a damaged log all that can be read before the damage is kept', async () => {
  const leader = await startThree({ segmentBytesMax: 64 * 1024 })
  for (let round = 0; round < 4; round++) await propose(leader, texts(50, `${round}.`))
  await fleet.stopAll()
  const disk = fleet.diskOf(SURVIVOR)
  disk.rot(`${DIRECTORY}/000000000001.wal`, 20_000, 0x10)
  const { before, after } = await force({ payloads: [Buffer.from('guarded')] })
  expect(before.logDamage?.code).toBe('WAL_DAMAGED')
  expect(after).toMatchObject({ logDamage: undefined, doubtful: false, last: { index: before.last.index + 3 } })
  await fleet.start(2)
  const { applied } = (await fleet.leader()).recorder
  expect(applied.at(-1)).toBe('guarded')
  expect(applied.length).toBeGreaterThan(20)
  expect(applied.length).toBeLessThan(200)
  expect(applied.slice(0, -1)).toEqual(leader.recorder.applied.slice(0, applied.length - 1))
})

test('a log that was compacted behind a snapshot which is lost can not be recovered, and stays as it is', async () => {
  const leader = await startThree(OFTEN)
  for (let round = 0; round < 5; round++) await propose(leader, texts(50, `${round}.`))
  await eventually('node 2 compacted', () => fleet.nodes.get(SURVIVOR)!.replica.status().raft.baseIndex > 0)
  await fleet.stopAll()
  const disk = fleet.diskOf(SURVIVOR)
  for (const path of disk.paths) if (path.endsWith('.snap')) disk.rot(path, 100, 0x01)
  const before = disk.paths
  await expect(force()).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' })
  expect(disk.paths.filter((path) => !path.includes('lock'))).toEqual(before.filter((path) => !path.includes('lock')))
})

test('a crash at any step leaves a directory that can be recovered again, with nothing lost', async () => {
  const leader = await startThree({ segmentBytesMax: SMALL })
  await propose(leader, texts(3))
  await fleet.stopAll()
  const begin = fleet.diskOf(SURVIVOR)
  const recover = (disk: MemoryDisk) => force({ disk, segmentBytesMax: SMALL })
  const recoverAgain = async (disk: MemoryDisk) => {
    const { after } = await recover(disk)
    expect(after.members.configuration).toMatchObject({ voters: [2], retired: [1, 3] })
    expect(after.last.index).toBeGreaterThanOrEqual(5)
  }
  const steps = await crashEverywhere(begin, recover, recoverAgain, { draw: () => 0 })
  expect(steps).toBeGreaterThan(20)
})

test('a forced node refuses those whom it left from its first moment, also when they live', async () => {
  const old = await startThree()
  await propose(old, texts(1))
  await fleet.stop(SURVIVOR)
  await force()
  // On a slow disk nothing that it writes now comes in time.
  const slow = { delayWrite: (complete: () => void) => void setTimeout(complete, 20) }
  fleet.disks.set(SURVIVOR, fleet.diskOf(SURVIVOR).kill(slow))
  await fleet.start(SURVIVOR)
  const forced = fleet.nodes.get(SURVIVOR)!
  for (const gone of fleet.running) {
    if (gone !== forced) await eventually('they stop', () => gone.replica.status().removed)
  }
  await eventually('it leads', () => forced.recorder.leads)
  expect(forced.fatal).toEqual([])
  expect(forced.replica.members()).toMatchObject({ retired: [1, 3] })
})
