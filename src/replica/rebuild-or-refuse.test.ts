import { afterEach, expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import { EntryKind } from '../raft/index.ts'
import { type MemoryDisk, salvageLog } from '../wal/index.ts'
import { eventually, Fleet, membersUpTo, type TestNode } from './fleet.support.ts'
import { forceNewCluster } from './offline/force-new-cluster.ts'
import type { ReplicaTuning } from './options.ts'
import { decodeEntries, RecordType } from './records.ts'

// A damaged node is rebuilt by the others, if there are others. Its configuration file may know nothing of them, or of
// those that are gone: the log knows.

const LOG = '/data/log'
const SELF = parseNodeId(1)
const SEGMENT_BYTES = 16 * 1024
const TUNING: Partial<ReplicaTuning> = { segmentBytesMax: SEGMENT_BYTES, heartbeatMs: 20, electionTimeoutMs: 150 }
/** Snapshots come often, and little log stays behind them. */
const OFTEN: Partial<ReplicaTuning> = {
  ...TUNING,
  snapshotEntries: 100,
  snapshotBytes: 16 * 1024,
  tailEntries: 20,
  tailBytes: 4096,
}

let fleet: Fleet

afterEach(() => fleet.stopAll())

async function start(count: number, tuning: Partial<ReplicaTuning>): Promise<TestNode> {
  fleet = new Fleet({ members: membersUpTo(count), tuning, directory: LOG })
  await fleet.start()
  return await fleet.leader()
}

async function load(count: number): Promise<void> {
  const leader = await fleet.leader()
  for (let left = count; left > 0; left -= 50) {
    const before = leader.recorder.applied.length
    for (let at = 0; at < 50; at++) leader.propose(`p${before + at}`.padEnd(100, '.'))
    await eventually('it is applied', () => leader.recorder.applied.length === before + 50)
  }
}

/** The others are lost for good, and the node goes on alone; its configuration file still names them. */
async function forceAlone(): Promise<void> {
  await fleet.stopAll()
  await force()
  await fleet.start(SELF)
}

function force() {
  const disk = fleet.diskOf(SELF)
  return forceNewCluster({ disk, directory: LOG, endpoint: undefined, payloads: [], reason: 'it burnt' })
}

/** The others were removed, one after the other. */
async function shrinkToOne(): Promise<void> {
  if ((await fleet.leader()).nodeId !== SELF) await (await fleet.leader()).replica.transferLeadership(SELF)
  for (const nodeId of [2, 3].map(parseNodeId)) await fleet.changeMembers({ kind: 'remove', nodeId })
  for (const nodeId of [2, 3].map(parseNodeId)) await fleet.stop(nodeId)
}

function contents(): readonly (readonly [string, string])[] {
  const disk = fleet.diskOf(SELF)
  const kept = disk.paths.filter((path) => /\.(wal|snap)$/.test(path))
  return kept.map((path) => [path, disk.contentOf(path).toString('base64')])
}

/** Harms a file that ends so, the first or the last of them. */
function rot(suffix: string, which: 0 | -1, offset: number): void {
  const disk = fleet.diskOf(SELF)
  const files = disk.paths.filter((path) => path.startsWith(`${LOG}/`) && path.endsWith(suffix))
  // Files of nothing but zeros are spares.
  const used = files.filter(
    (path) =>
      !disk
        .contentOf(path)
        .subarray(4096)
        .every((byte) => byte === 0),
  )
  disk.rot(used.at(which)!, offset, 0x10)
}

test.each([
  { how: 'was forced to go on alone', become: forceAlone },
  { how: 'is left of a group that shrank', become: shrinkToOne },
])('a node that $how refuses to start with a damaged log, whatever its file says', async ({ become }) => {
  await start(3, TUNING)
  await load(200)
  await become()
  await load(200)
  await fleet.stopAll()
  for (const harm of [() => rot('.wal', -1, 4096 + 50), () => rot('.wal', 0, 6000), () => rot('.wal', 0, 10)]) {
    harm()
    const before = contents()
    await expect(fleet.start(SELF)).rejects.toMatchObject({ code: 'WAL_DAMAGED' })
    expect(contents()).toEqual(before)
  }
})

/** The position of the last record with a configuration; far away when there is none. */
async function lastConfigurationAt(disk: MemoryDisk): Promise<number> {
  let last = Number.POSITIVE_INFINITY
  await salvageLog(disk, LOG, ({ type, payload, position }) => {
    if (type !== RecordType.entries) return
    decodeEntries(payload, ({ kind }) => {
      if (kind === EntryKind.configuration) last = position
    })
  })
  return last
}

test.each([
  { how: 'was forced to go on alone', count: 3, become: forceAlone },
  { how: 'was alone from its beginning', count: 1, become: async () => {} },
])('wherever its log rots, but where it says so, a node that $how is never put in doubt', async ({ count, become }) => {
  await start(count, TUNING)
  await load(50)
  await become()
  await load(50)
  await fleet.stopAll()
  const whole = fleet.diskOf(SELF)
  const files = whole.paths.filter((path) => path.startsWith(`${LOG}/`) && path.endsWith('.wal'))
  const forcedAt = await lastConfigurationAt(whole)
  let refused = 0
  for (const [at, file] of files.entries()) {
    for (let offset = 4096; offset < SEGMENT_BYTES; offset += 300) {
      const distance = forcedAt - (at * SEGMENT_BYTES + offset)
      if (distance > -300 && distance < 100) continue
      // A crash of a quiet disk is a copy of it.
      const disk = whole.crash(() => 0)
      disk.rot(file, offset, 0x10)
      fleet.disks.set(SELF, disk)
      const code = await fleet.start(SELF).then(
        () => undefined,
        (error) => error.code,
      )
      if (code === undefined) expect(fleet.nodes.get(SELF)!.replica.status().raft.doubtful).toBe(false)
      else expect(code).toBe('WAL_DAMAGED')
      refused += code === undefined ? 0 : 1
      await fleet.stopAll()
    }
  }
  expect(refused).toBeGreaterThan(10)
})

test('a node on its own that refused to start can be forced to go on with what is left', async () => {
  await start(3, TUNING)
  await load(200)
  await forceAlone()
  await load(200)
  const { applied } = (await fleet.leader()).recorder
  await fleet.stopAll()
  rot('.wal', -1, 4096 + 50)
  await expect(fleet.start(SELF)).rejects.toMatchObject({ code: 'WAL_DAMAGED' })
  await force()
  await fleet.start(SELF)
  const again = await fleet.leader()
  expect(again.recorder.applied.length).toBeGreaterThan(200)
  expect(again.recorder.applied).toEqual(applied.slice(0, again.recorder.applied.length))
})

test('a node on its own refuses to start with a damaged snapshot that still says who the members are', async () => {
  await start(3, OFTEN)
  await load(200)
  await forceAlone()
  await load(400)
  const alone = await fleet.leader()
  await eventually('it compacted', () => alone.replica.status().raft.baseIndex > 400)
  await fleet.stopAll()
  rot('.snap', -1, 5000)
  const before = contents()
  await expect(fleet.start(SELF)).rejects.toMatchObject({ code: 'SNAPSHOT_DAMAGED' })
  rot('.wal', -1, 4096 + 50)
  await expect(fleet.start(SELF)).rejects.toMatchObject({ code: 'WAL_DAMAGED' })
  expect(contents().map(([path]) => path)).toEqual(before.map(([path]) => path))
})

test('the first node of a group that grew is rebuilt by the others, though its file names nobody else', async () => {
  await start(1, TUNING)
  await load(100)
  for (const number of [2, 3]) {
    await fleet.changeMembers({ kind: 'add', ...(await fleet.join(number, 7000 + number)) })
    await fleet.changeMembers({ kind: 'promote', nodeId: parseNodeId(number) })
  }
  await load(100)
  await fleet.stop(SELF)
  await load(50)
  // A second damage, before the others have done anything: what is in doubt has nothing to lose.
  for (const offset of [6000, 4096 + 60]) {
    rot('.wal', 0, offset)
    await fleet.start(SELF)
    expect(fleet.nodes.get(SELF)!.replica.status().raft.doubtful).toBe(true)
    if (offset === 6000) await fleet.stop(SELF)
  }
  await load(50)
  const back = fleet.nodes.get(SELF)!
  await eventually('it is whole', () => !back.replica.status().raft.doubtful)
  await fleet.applied(300)
  expect(back.recorder.applied).toEqual((await fleet.leader()).recorder.applied)
})
