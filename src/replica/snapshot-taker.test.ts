import { afterEach, expect, test } from 'vitest'
import { parseNodeId, systemClock } from '../base/index.ts'
import { type Entry, EntryKind, type LogIndex, type Term, type WriteId } from '../raft/index.ts'
import { MemoryDisk, type MemoryDiskOptions } from '../wal/index.ts'
import { Applier } from './applier.ts'
import { CLUSTER, eventually, silentLogger } from './fleet.support.ts'
import { MemberList } from './member-list.ts'
import { RaftStorage } from './raft-storage.ts'
import { Recorder } from './recorder.support.ts'
import { SnapshotTaker } from './snapshot-taker.ts'

const MEMBERS = MemberList.bootstrap([{ nodeId: parseNodeId(1), host: '127.0.0.1', port: 1 }])
const SNAPSHOTS = '/log/snapshots'

/** A node that applies, stores, and takes snapshots every ten entries. */
class Node {
  readonly disk: MemoryDisk
  readonly recorder = new Recorder()
  readonly fatal: Error[] = []
  readonly retries: (() => void)[] = []
  readonly taken: number[] = []
  storage!: RaftStorage
  applier!: Applier
  taker!: SnapshotTaker
  #lastIndex = 0

  private constructor(disk: MemoryDisk) {
    this.disk = disk
  }

  static async on(disk: MemoryDisk, tuning = { snapshotEntries: 10, snapshotBytes: 1e9 }): Promise<Node> {
    const node = new Node(disk)
    const identity = { clusterId: CLUSTER, nodeId: parseNodeId(1) }
    const common = { clock: systemClock, segmentBytesMax: 64 * 1024, later: setImmediate }
    node.storage = await RaftStorage.open({ disk, directory: '/log', ...identity, ...common, onFailure: () => {} })
    const onFatal = (error: Error) => node.fatal.push(error)
    const applied = { index: 0 as LogIndex, term: 0 as Term }
    node.applier = new Applier({ clock: systemClock, later: setImmediate, applied, members: MEMBERS, onFatal })
    node.applier.start(node.recorder)
    node.taker = new SnapshotTaker({
      storage: node.storage,
      applier: node.applier,
      tuning,
      clock: {
        ...systemClock,
        after: (_, task) => {
          node.retries.push(task)
          return { timer: task }
        },
        cancel: () => {},
      },
      logger: silentLogger,
      clusterId: CLUSTER,
      onTaken: async ({ header }) => {
        node.taken.push(header.position.index)
      },
      onFatal,
    })
    return node
  }

  /** Appends and applies more entries; the disk may still be at it when this resolves. */
  async apply(count: number, size = 10): Promise<void> {
    const from = this.#lastIndex + 1
    this.#lastIndex += count
    const entries = Array.from({ length: count }, (_, at): Entry => {
      const data = Buffer.alloc(size, 65)
      return { index: (from + at) as LogIndex, term: 1 as Term, kind: EntryKind.command, data }
    })
    const hardState = { currentTerm: 1 as Term, votedFor: undefined, commitIndex: 0 as LogIndex }
    const ids = { writeId: 1 as WriteId, term: 1 as Term }
    this.storage.append([{ kind: 'write', ...ids, hardState, entries, unlocks: [] }], [], () => {})
    this.applier.push(entries)
    await eventually('applied', () => this.applier.appliedIndex === this.#lastIndex)
  }

  async files(): Promise<readonly string[]> {
    return [...(await this.disk.list(SNAPSHOTS))].sort()
  }
}

let node: Node

afterEach(async () => {
  await node.taker.stop()
  await node.storage.close()
})

test('a snapshot is taken when enough entries, or bytes, were applied since the last one', async () => {
  node = await Node.on(new MemoryDisk(), { snapshotEntries: 10, snapshotBytes: 5000 })
  await node.apply(9)
  node.taker.check()
  await node.apply(1)
  node.taker.check()
  await eventually('taken', () => node.taken.includes(10))
  await node.apply(2, 4000)
  node.taker.check()
  await eventually('taken', () => node.taken.includes(12))
  expect(node.taken).toEqual([10, 12])
})

test('a large state is not written again for little that is new', async () => {
  node = await Node.on(new MemoryDisk())
  await node.apply(2000, 1)
  node.taker.check()
  await eventually('taken', () => node.taken.length === 1)
  await node.apply(10)
  node.taker.check()
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(node.taken).toEqual([2000])
  await node.apply(10, 4000)
  node.taker.check()
  await eventually('taken', () => node.taken.includes(2020))
})

test('one at a time, and in the meantime applying goes on', async () => {
  node = await Node.on(new MemoryDisk())
  await node.apply(10)
  for (let i = 0; i < 5; i++) node.taker.check()
  await node.apply(3)
  await eventually('taken', () => node.taken.length > 0)
  expect(node.taken).toEqual([10])
  expect(await node.files()).toEqual(['snapshot-10-1.snap'])
})

test('no snapshot gets its name before the log is on disk up to its entry', async () => {
  const held: (() => void)[] = []
  let hold = false
  // Only writes to the log are held back.
  const disk = new MemoryDisk()
  const options: MemoryDiskOptions = {
    delayWrite: (complete) => void (hold ? held.push(complete) : queueMicrotask(complete)),
  }
  node = await Node.on(disk.kill(options))
  await node.apply(1)
  await node.storage.flushed()
  hold = true
  await node.apply(9)
  const appended = held.length
  hold = false
  node.taker.check()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(appended).toBeGreaterThan(0)
  expect(await node.files()).toEqual(['snapshot-10-1.snap.draft'])
  for (const complete of held) complete()
  await eventually('taken', () => node.taken.length === 1)
  expect(await node.files()).toEqual(['snapshot-10-1.snap'])
})

test('a full disk is no failure: nothing is left behind, and it is tried again later', async () => {
  let full = true
  const disk = new MemoryDisk({
    fate: ({ kind, path }) => (full && kind === 'write' && path.startsWith(SNAPSHOTS) ? 'ENOSPC' : 'done'),
  })
  node = await Node.on(disk)
  await node.apply(10)
  node.taker.check()
  await eventually('it will try again', () => node.retries.length === 1)
  expect(await node.files()).toEqual([])
  node.taker.check()
  full = false
  expect(node.taken).toEqual([])
  node.retries[0]!()
  await eventually('taken', () => node.taken.length === 1)
  expect(node.fatal).toEqual([])
})

test('any other failure of the disk stops the node', async () => {
  const disk = new MemoryDisk({
    fate: ({ kind, path }) => (kind === 'sync' && path.startsWith(SNAPSHOTS) ? 'EIO' : 'done'),
  })
  node = await Node.on(disk)
  await node.apply(10)
  node.taker.check()
  await eventually('it failed', () => node.fatal.length === 1)
  expect(node.taken).toEqual([])
})

test('a node that stops in the midst of one leaves nothing behind, and nobody waits for it', async () => {
  node = await Node.on(new MemoryDisk())
  await node.apply(10)
  node.taker.check()
  await node.taker.stop()
  expect([await node.files(), node.taken, node.fatal]).toEqual([[], [], []])
  node.taker.check()
  expect(node.taken).toEqual([])
})
