import { expect, test } from 'vitest'
import { parseClusterId, parseNodeId, systemClock } from '../base/index.ts'
import { type LogIndex, simpleConfiguration, type Term } from '../raft/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import type { FrozenState } from './decision-log.ts'
import { CLUSTER } from './fleet.support.ts'
import { SnapshotStore, type StoredSnapshot } from './snapshot-store.ts'

const DIRECTORY = '/log/snapshots'
const CONFIGURATION = { configuration: simpleConfiguration([parseNodeId(1)]), context: Uint8Array.from([1]) }

function openStore(disk: MemoryDisk, clusterId = CLUSTER): Promise<SnapshotStore> {
  return SnapshotStore.open({ disk, directory: DIRECTORY, clusterId, clock: systemClock, later: setImmediate })
}

function stateOf(...pieces: Uint8Array[]): FrozenState {
  return { next: () => pieces.shift(), close: () => {} }
}

function take(
  store: SnapshotStore,
  index: number,
  state = stateOf(Buffer.from(`state ${index}`)),
): Promise<StoredSnapshot> {
  const position = { index: index as LogIndex, term: 2 as Term }
  const header = { clusterId: CLUSTER, position, configuration: CONFIGURATION, takenAtMs: 77 }
  return store.take(header, state, async () => {})
}

async function contentOf(store: SnapshotStore): Promise<Buffer> {
  const pieces: Buffer[] = []
  await store.read(store.newest!, (content) => pieces.push(Buffer.from(content)))
  return Buffer.concat(pieces)
}

async function names(disk: MemoryDisk): Promise<readonly string[]> {
  return [...(await disk.list(DIRECTORY))].sort()
}

test('a snapshot is durable once it is taken, and the newest is found again', async () => {
  const disk = new MemoryDisk()
  const store = await openStore(disk)
  expect(store.newest).toBeUndefined()
  await take(store, 10)
  await take(store, 9)
  const taken = await take(store, 100)
  expect(store.newest).toBe(taken)
  const after = await openStore(disk.crash(() => 0))
  expect(after.newest).toMatchObject({
    name: 'snapshot-100-2.snap',
    fileBytes: taken.fileBytes,
    snapshotId: taken.snapshotId,
    header: { position: { index: 100, term: 2 }, configuration: CONFIGURATION, takenAtMs: 77 },
  })
  expect((await contentOf(after)).toString()).toBe('state 100')
})

test('pieces of any size are read back as one content', async () => {
  const pieces = [0, 1, 65_535, 65_536, 65_537, 300_000, 2_000_000].map((size, at) => Buffer.alloc(size, at + 1))
  const store = await openStore(new MemoryDisk())
  await take(store, 5, stateOf(...pieces))
  expect((await contentOf(store)).equals(Buffer.concat(pieces))).toBe(true)
})

test('other work gets its turn while a large snapshot is written and read', async () => {
  const store = await openStore(new MemoryDisk())
  let turns = 0
  let busy = true
  const turn = (): void => {
    turns++
    if (busy) setImmediate(turn)
  }
  setImmediate(turn)
  await take(store, 5, stateOf(...Array.from({ length: 320 }, () => Buffer.alloc(64 * 1024))))
  const whileWritten = turns
  await contentOf(store)
  busy = false
  expect(whileWritten).toBeGreaterThanOrEqual(320 / 16)
  expect(turns - whileWritten).toBeGreaterThanOrEqual(320 / 16)
})

test('older snapshots go when they are pruned, but not while they are sent', async () => {
  const disk = new MemoryDisk()
  const store = await openStore(disk)
  const sent = await take(store, 10)
  await take(store, 20)
  store.retain(sent)
  store.retain(sent)
  await take(store, 30)
  await store.prune()
  expect(await names(disk)).toEqual(['snapshot-10-2.snap', 'snapshot-30-2.snap'])
  store.release(sent)
  await store.prune()
  expect(await names(disk)).toHaveLength(2)
  store.release(sent)
  await store.prune()
  expect(await names(disk)).toEqual(['snapshot-30-2.snap'])
})

test('a snapshot that can not be finished leaves nothing behind', async () => {
  const disk = new MemoryDisk()
  const store = await openStore(disk)
  await take(store, 10)
  const failing: FrozenState = {
    next: () => {
      throw new Error('no more')
    },
    close: () => {},
  }
  await expect(take(store, 20, failing)).rejects.toThrow('no more')
  expect(await names(disk)).toEqual(['snapshot-10-2.snap'])
  expect(store.newest?.header.position.index).toBe(10)
})

test('what a crash left of one that was being taken is thrown away at the start; other files are left alone', async () => {
  const disk = new MemoryDisk()
  await take(await openStore(disk), 10)
  disk.overwrite(`${DIRECTORY}/snapshot-20-2.snap.draft`, Buffer.from('half'))
  disk.overwrite(`${DIRECTORY}/snapshot-30-2-abc.snap.draft`, Buffer.from('half of a received one'))
  disk.overwrite(`${DIRECTORY}/notes.txt`, Buffer.from('of an operator'))
  await openStore(disk)
  expect(await names(disk)).toEqual(['notes.txt', 'snapshot-10-2.snap', 'snapshot-30-2-abc.snap.draft'])
})

test('SNAPSHOT_DAMAGED: the newest good one counts, and what is wrong with newer ones is told', async () => {
  const disk = new MemoryDisk()
  const store = await openStore(disk)
  for (const index of [10, 20, 30, 40]) await take(store, index)
  const harmed = disk.contentOf(`${DIRECTORY}/snapshot-30-2.snap`)
  harmed[harmed.length - 30]! ^= 1
  disk.overwrite(`${DIRECTORY}/snapshot-30-2.snap`, harmed)
  // Under another's name.
  disk.overwrite(`${DIRECTORY}/snapshot-40-2.snap`, disk.contentOf(`${DIRECTORY}/snapshot-10-2.snap`))
  const after = await openStore(disk)
  expect(after.newest?.header.position.index).toBe(20)
  expect(after.damaged.map(({ position }) => position.index)).toEqual([40, 30])
  expect(after.damaged.map(({ error }) => error.code)).toEqual(['SNAPSHOT_DAMAGED', 'SNAPSHOT_DAMAGED'])
  expect(after.damaged[0]!.error.message).toMatch(/covers entry 10 of term 2, which its name denies/)
})

test('SNAPSHOT_DAMAGED: a snapshot of another cluster does not count', async () => {
  const disk = new MemoryDisk()
  await take(await openStore(disk), 10)
  const other = await openStore(disk, parseClusterId('other'))
  expect(other.newest).toBeUndefined()
  expect(other.damaged[0]!.error.message).toMatch(/belongs to cluster trips/)
})

test('SNAPSHOT_VERSION: a snapshot of another major version is not taken for damage', async () => {
  const disk = new MemoryDisk()
  await take(await openStore(disk), 10)
  const content = disk.contentOf(`${DIRECTORY}/snapshot-10-2.snap`)
  content.writeUInt16BE(2, 8)
  disk.overwrite(`${DIRECTORY}/snapshot-10-2.snap`, content)
  await expect(openStore(disk)).rejects.toMatchObject({ code: 'SNAPSHOT_VERSION' })
})

test('rot that comes later is found when the snapshot is read', async () => {
  const disk = new MemoryDisk()
  const store = await openStore(disk)
  await take(store, 10, stateOf(Buffer.alloc(200_000, 1)))
  const content = disk.contentOf(`${DIRECTORY}/snapshot-10-2.snap`)
  content[150_000]! ^= 128
  disk.overwrite(`${DIRECTORY}/snapshot-10-2.snap`, content)
  await expect(contentOf(store)).rejects.toMatchObject({ code: 'SNAPSHOT_DAMAGED' })
})

test('a snapshot that is still being written is not pruned when a newer one comes into force meanwhile', async () => {
  const disk = new MemoryDisk()
  const store = await openStore(disk)
  const position = { index: 10 as LogIndex, term: 2 as Term }
  const header = { clusterId: CLUSTER, position, configuration: CONFIGURATION, takenAtMs: 77 }
  await store.take(header, stateOf(Buffer.from('state 10')), async () => {
    await take(store, 20)
    await store.prune()
  })
  expect(store.newest).toMatchObject({ name: 'snapshot-20-2.snap' })
  await store.prune()
  expect(await names(disk)).toEqual(['snapshot-20-2.snap'])
})
