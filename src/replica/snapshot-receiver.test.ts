import { crc32 } from 'node:zlib'
import { afterEach, expect, test } from 'vitest'
import { parseNodeId, systemClock } from '../base/index.ts'
import { EMPTY_CONFIGURATION, type InstallSnapshot, type LogIndex, type RaftEvent, type Term } from '../raft/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { CLUSTER, silentLogger } from './fleet.support.ts'
import { SnapshotReceiver } from './snapshot-receiver.ts'
import { SnapshotStore } from './snapshot-store.ts'

type Stored = Extract<RaftEvent, { kind: 'chunkStored' }>

const POSITION = { index: 40 as LogIndex, term: 2 as Term }

function openStore(disk: MemoryDisk): Promise<SnapshotStore> {
  return SnapshotStore.open({ disk, directory: '/s', clusterId: CLUSTER, clock: systemClock, later: queueMicrotask })
}

/** A snapshot as a leader has it: three chunks, about 150 KB. */
async function leaders(seed = 1, position = POSITION): Promise<{ file: Buffer; id: number }> {
  const disk = new MemoryDisk()
  const store = await openStore(disk)
  const pieces = Array.from({ length: 150 }, (_, at) => Buffer.alloc(1000, at + seed))
  const configuration = { configuration: EMPTY_CONFIGURATION, context: Buffer.alloc(0) }
  const header = { clusterId: CLUSTER, position, configuration, takenAtMs: 0 }
  const state = { next: () => pieces.shift(), close: () => {} }
  const { name, snapshotId } = await store.take(header, state, async () => {})
  return { file: disk.contentOf(store.pathOf(name)), id: snapshotId }
}

const LEADERS = await leaders()

/** One run of a receiving node. */
class Run {
  readonly store: SnapshotStore
  readonly #receiver: SnapshotReceiver
  readonly #answers: ((event: Stored) => void)[] = []

  private constructor(store: SnapshotStore) {
    this.store = store
    this.#receiver = new SnapshotReceiver({
      store,
      logger: silentLogger,
      flushed: async () => {},
      enqueue: (event) => this.#answers.shift()?.(event as Stored),
      onFatal: (error) => expect.unreachable(error.message),
    })
  }

  static async on(disk: MemoryDisk): Promise<Run> {
    return new Run(await openStore(disk))
  }

  /** Sends bytes `from`…`to`; resolves with the answer. */
  send(from: number, to: number, { file, id } = LEADERS, more: Partial<InstallSnapshot> = {}): Promise<Stored> {
    const data = Buffer.from(file.subarray(from, to))
    const answer = new Promise<Stored>((resolve) => this.#answers.push(resolve))
    this.#receiver.store({
      kind: 'installSnapshot',
      from: parseNodeId(1),
      to: parseNodeId(2),
      term: 7 as Term,
      snapshot: POSITION,
      snapshotId: id,
      totalBytes: file.length,
      offset: from,
      data,
      checksum: crc32(data),
      ...more,
    })
    return answer
  }

  ask(which = LEADERS): Promise<Stored> {
    return this.send(0, 0, which)
  }

  stop(): Promise<void> {
    return this.#receiver.stop()
  }
}

let run: Run | undefined

afterEach(async () => {
  await run?.stop()
  run = undefined
})

test('chunks in order are stored and acknowledged, and the last one makes the whole durable', async () => {
  const disk = new MemoryDisk()
  run = await Run.on(disk)
  const { file, id } = LEADERS
  expect(await run.ask()).toMatchObject({
    receivedBytes: 0,
    complete: false,
    snapshotId: id,
    snapshot: POSITION,
    term: 7,
  })
  for (let at = 0; at + 50_000 < file.length; at += 50_000) {
    expect(await run.send(at, at + 50_000)).toMatchObject({ receivedBytes: at + 50_000, complete: false })
  }
  const last = file.length - (file.length % 50_000)
  expect(await run.send(last, file.length)).toMatchObject({ receivedBytes: file.length, complete: true })
  const after = await openStore(disk.crash(() => 0))
  expect(after.newest).toMatchObject({ snapshotId: id, fileBytes: file.length })
})

test('what is lost, comes twice, or is harmed on its way is not stored, and the answer says where to go on', async () => {
  run = await Run.on(new MemoryDisk())
  await run.send(0, 1000)
  expect(await run.send(2000, 3000)).toMatchObject({ receivedBytes: 1000 })
  expect(await run.send(0, 1000)).toMatchObject({ receivedBytes: 1000 })
  expect(await run.send(1000, 2000, LEADERS, { checksum: 1 })).toMatchObject({ receivedBytes: 1000 })
  expect(await run.send(1000, 2000)).toMatchObject({ receivedBytes: 2000 })
})

test('after a restart it goes on behind the last part that is whole', async () => {
  const disk = new MemoryDisk()
  const first = await Run.on(disk)
  await first.send(0, 100_000)
  await first.stop()
  const killed = disk.kill()
  run = await Run.on(killed)
  const { receivedBytes } = await run.ask()
  // The header and the first chunk are whole, the second one is not.
  expect(receivedBytes).toBeGreaterThan(64 * 1024)
  expect(receivedBytes).toBeLessThan(100_000)
  expect(await run.send(receivedBytes, LEADERS.file.length)).toMatchObject({ complete: true })
})

test('what a crash harmed of the first part is not believed', async () => {
  const disk = new MemoryDisk()
  const first = await Run.on(disk)
  await first.send(0, 140_000)
  await first.stop()
  const name = (await disk.list('/s')).find((each) => each.endsWith('.draft'))
  const content = disk.contentOf(`/s/${name}`)
  content.fill(0, 70_000, 70_512)
  disk.overwrite(`/s/${name}`, content)
  run = await Run.on(disk.kill())
  const { receivedBytes } = await run.ask()
  expect(receivedBytes).toBeLessThan(70_000)
  expect(receivedBytes).toBeGreaterThan(0)
  expect(await run.send(receivedBytes, LEADERS.file.length)).toMatchObject({ complete: true })
})

test("another leader's snapshot of the same entry is another one, and begins anew", async () => {
  const other = await leaders(77)
  expect(other.id).not.toBe(LEADERS.id)
  run = await Run.on(new MemoryDisk())
  await run.send(0, 100_000)
  expect(await run.ask(other)).toMatchObject({ receivedBytes: 0, snapshotId: other.id })
  expect(await run.send(0, other.file.length, other)).toMatchObject({ complete: true })
})

test('a snapshot that a crash kept from being installed is complete at once', async () => {
  const disk = new MemoryDisk()
  const first = await Run.on(disk)
  await first.send(0, LEADERS.file.length)
  await first.stop()
  run = await Run.on(disk.crash(() => 0))
  expect(await run.ask()).toMatchObject({ receivedBytes: LEADERS.file.length, complete: true })
})

test('bytes that were harmed before they were sent are thrown away as a whole', async () => {
  const file = Buffer.from(LEADERS.file)
  file[90_000]! ^= 1
  const bad = { file, id: LEADERS.id }
  run = await Run.on(new MemoryDisk())
  expect(await run.send(0, 80_000, bad)).toMatchObject({ receivedBytes: 80_000 })
  expect(await run.send(80_000, file.length, bad)).toMatchObject({ receivedBytes: 0, complete: false })
  expect(await run.send(0, LEADERS.file.length)).toMatchObject({ complete: true })
})

test.each([
  ['is not the one that was announced', { id: LEADERS.id + 1 }, {}],
  ['covers another entry', {}, { snapshot: { ...POSITION, index: 41 as LogIndex } }],
])('a snapshot that %s is thrown away', async (_, which, more) => {
  run = await Run.on(new MemoryDisk())
  const wrong = { ...LEADERS, ...which }
  expect(await run.send(0, LEADERS.file.length, wrong, more)).toMatchObject({ receivedBytes: 0, complete: false })
})

test('without room nothing is answered, and nothing is left over', async () => {
  const disk = new MemoryDisk({ capacityBytes: 100_000 })
  run = await Run.on(disk)
  await run.send(0, 80_000)
  void run.send(80_000, LEADERS.file.length)
  await expect.poll(() => disk.list('/s')).toEqual([])
})
