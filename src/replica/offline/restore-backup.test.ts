import { afterEach, expect, test } from 'vitest'
import { parseNodeId } from '../../base/index.ts'
import { memoryNetwork } from '../../transport/index.ts'
import { type MemoryDisk, WalNotEmptyError } from '../../wal/index.ts'
import { Fleet, type TestNode } from '../fleet.support.ts'
import { BACKUP_FILE, backUp } from './back-up.support.ts'
import { BackupReading } from './backup-file.ts'
import { crashEverywhere } from './crash-everywhere.support.ts'
import { type RestoreOptions, restoreBackup } from './restore-backup.ts'

const NEW = parseNodeId(11)
const network = memoryNetwork()
let fleet: Fleet
let restored: Fleet | undefined

afterEach(async () => {
  await fleet?.stopAll()
  await restored?.stopAll()
  restored = undefined
})

async function startThree(): Promise<TestNode> {
  fleet = new Fleet({ network, tuning: { heartbeatMs: 20, electionTimeoutMs: 150 } })
  await fleet.start()
  const leader = await fleet.leader()
  for (let n = 0; n < 300; n++) leader.propose(`p${n}`.padEnd(500, '.'))
  await fleet.applied(300)
  return leader
}

function restore(disk: MemoryDisk, over: Partial<RestoreOptions> = {}) {
  return restoreBackup({
    disk,
    file: BACKUP_FILE,
    directory: '/data/log',
    nodeId: NEW,
    endpoint: { host: '127.0.0.1', port: 7011 },
    isOldFleetDestroyed: false,
    payloads: [Buffer.from('guarded')],
    reason: 'restored from monday',
    ...over,
  })
}

async function startRestored(disk: MemoryDisk, nodeId = NEW): Promise<TestNode> {
  const members = [{ nodeId, host: '127.0.0.1', port: 7011 }]
  restored = new Fleet({ network, members, newDisk: () => disk, directory: '/data/log' })
  await restored.start(nodeId)
  return restored.leader()
}

test('a backup from any member holds all that was committed before it, and a node restored from it leads alone with that', async () => {
  const leader = await startThree()
  const [follower] = fleet.followers(leader)
  const disk = await backUp(follower!)
  leader.propose('too late')
  await fleet.applied(301)
  const { backup, retired } = await restore(disk)
  expect(backup.clusterId).toBe('trips')
  expect(retired).toEqual([1, 2, 3])
  await fleet.stopAll()

  const node = await startRestored(disk)
  expect(node.recorder.applied).toEqual([...leader.recorder.applied.slice(0, 300), 'guarded'])
  expect(node.replica.members()).toMatchObject({ retired: [1, 2, 3], forcedBecause: 'restored from monday' })
  node.propose('a new life')
  await restored!.applied(302)
})

test('a node of the old fleet that meets the restored one is refused', async () => {
  const disk = await backUp(await startThree())
  await restore(disk)
  await fleet.stopAll()
  const node = await startRestored(disk)
  const hello = {
    kind: 'hello',
    role: 'peer',
    clusterId: 'trips',
    node: { nodeId: parseNodeId(2), storeId: 'ab'.repeat(16), durableIndex: 0 },
  } as unknown as Parameters<TestNode['replica']['acceptPeer']>[0]
  expect(node.replica.acceptPeer(hello)).toMatchObject({ kind: 'rejected', code: 'NODE_REMOVED' })
})

test('an id of the old fleet is used again only when that fleet is said to be destroyed', async () => {
  const disk = await backUp(await startThree())
  await fleet.stopAll()
  const nodeId = parseNodeId(2)
  await expect(restore(disk, { nodeId })).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' })
  expect(disk.paths.filter((path) => path.startsWith('/data/'))).toEqual([])
  expect((await restore(disk, { nodeId, isOldFleetDestroyed: true })).retired).toEqual([])
  expect((await startRestored(disk, nodeId)).recorder.applied).toHaveLength(301)
})

test('nothing is restored over a directory that holds anything', async () => {
  const disk = await backUp(await startThree())
  await restore(disk)
  await expect(restore(disk)).rejects.toThrow(WalNotEmptyError)
})

test('a backup with any bad byte is not restored', async () => {
  const disk = await backUp(await startThree())
  const { length } = disk.contentOf(BACKUP_FILE)
  for (const offset of [0, 20, 200, Math.floor(length / 2), length - 30, length - 1]) {
    disk.rot(BACKUP_FILE, offset, 0x04)
    await expect(restore(disk, { directory: `/data/${offset}` })).rejects.toMatchObject({
      code: expect.stringMatching(/^(BACKUP_DAMAGED|SNAPSHOT_VERSION)$/),
    })
    expect(disk.paths.filter((path) => path.startsWith(`/data/${offset}/`) && path.endsWith('.wal'))).toEqual([])
    disk.rot(BACKUP_FILE, offset, 0x04)
  }
  await restore(disk)
})

test('a crash amid a restore leaves no log that a node would start with, or all of it', async () => {
  const begin = await backUp(await startThree())
  await fleet.stopAll()
  const judge = async (disk: MemoryDisk, isDone: boolean) => {
    const hasLog = disk.paths.some((path) => path.endsWith('.wal'))
    if (hasLog) expect((await startRestored(disk)).recorder.applied).toHaveLength(301)
    await restored?.stopAll()
    restored = undefined
    expect(hasLog || !isDone).toBe(true)
  }
  await crashEverywhere(begin, restore, judge, { stride: 3, draw: () => 0 })
})

test('a reading tells the header first, then the state, in bounded pieces', async () => {
  const leader = await startThree()
  const disk = await backUp(leader)
  const reading = await BackupReading.open(disk, BACKUP_FILE)
  expect(reading.header.position.index).toBe(leader.replica.status().raft.lastApplied)
  const pieces: Uint8Array[] = []
  for (let piece = await reading.next(); piece !== undefined; piece = await reading.next()) pieces.push(piece)
  await reading.close()
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(64 * 1024)
  expect(JSON.parse(Buffer.concat(pieces).toString()).applied).toEqual(leader.recorder.applied)
})

test('a stream that is closed early lets go of the state', async () => {
  const leader = await startThree()
  const stream = await leader.replica.streamSnapshot()
  expect((await stream.next())?.length).toBeGreaterThan(0)
  await stream.close()
  await expect(stream.next()).rejects.toThrow('closed')
})
