import { expect, test } from 'vitest'
import { parseNodeId, systemClock } from '../base/index.ts'
import {
  type Configuration,
  EMPTY_CONFIGURATION,
  type Entry,
  EntryKind,
  encodeConfiguration,
  type LogIndex,
  simpleConfiguration,
  type Term,
  type WriteId,
} from '../raft/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { CLUSTER } from './fleet.support.ts'
import { RaftStorage } from './raft-storage.ts'
import { type ReadableMembers, readMembers } from './readable-members.ts'
import { SnapshotStore } from './snapshot-store.ts'

const NO_CONTEXT = new Uint8Array(0)
const voters = (...numbers: number[]): Configuration => simpleConfiguration(numbers.map(parseNodeId))

class Directory {
  readonly disk = new MemoryDisk()
  storage!: RaftStorage

  static async begin(bootstrap: Configuration): Promise<Directory> {
    const directory = new Directory()
    await directory.#open(bootstrap)
    return directory
  }

  async #open(bootstrap = voters(1, 2, 3)): Promise<void> {
    this.storage = await RaftStorage.open({
      disk: this.disk,
      directory: '/log',
      clusterId: CLUSTER,
      nodeId: parseNodeId(1),
      clock: systemClock,
      segmentBytesMax: 8192,
      bootstrap: { configuration: bootstrap, context: NO_CONTEXT },
      mayRebuild: true,
      onFailure: () => {},
    })
  }

  async entry(index: number, configuration?: Configuration): Promise<void> {
    const entry: Entry = {
      index: index as LogIndex,
      term: 1 as Term,
      kind: configuration === undefined ? EntryKind.command : EntryKind.configuration,
      data:
        configuration === undefined ? Buffer.alloc(500) : encodeConfiguration({ configuration, context: NO_CONTEXT }),
    }
    const hardState = { currentTerm: 1 as Term, votedFor: undefined, commitIndex: 0 as LogIndex }
    const ids = { writeId: 1 as WriteId, term: 1 as Term }
    this.storage.append([{ kind: 'write', ...ids, hardState, entries: [entry], unlocks: [] }], [], () => {})
    await this.storage.flushed()
  }

  /** A first start with damage: a snapshot is gone that the log needs. */
  async doubt(): Promise<void> {
    await this.entry(1)
    const path = await this.snapshot(1, voters(1, 2, 3))
    await this.storage.compact(1 as LogIndex)
    await this.storage.close()
    this.disk.erase(path)
    await this.#open()
    expect(this.storage.recovered.doubtful).toBe(true)
  }

  async snapshot(index: number, configuration: Configuration): Promise<string> {
    const position = { index: index as LogIndex, term: 1 as Term }
    const header = { clusterId: CLUSTER, position, configuration: { configuration, context: NO_CONTEXT }, takenAtMs: 0 }
    const pieces = [Buffer.alloc(500, 1)]
    const { name } = await this.storage.snapshots.take(
      header,
      { next: () => pieces.shift(), close: () => {} },
      async () => {},
    )
    return this.storage.snapshots.pathOf(name)
  }

  async read(): Promise<ReadableMembers> {
    await this.storage.close()
    const options = { directory: '/log/snapshots', clusterId: CLUSTER, clock: systemClock, later: setImmediate }
    return await readMembers(this.disk, '/log', await SnapshotStore.open({ disk: this.disk, ...options }))
  }
}

test('a log without any change tells of what it began with; of a node that waits to be added nothing is told', async () => {
  const three = await Directory.begin(voters(1, 2, 3))
  await three.entry(1)
  expect(await three.read()).toEqual({ configuration: voters(1, 2, 3), isBlankInDoubt: false })
  const waiting = await Directory.begin(EMPTY_CONFIGURATION)
  expect(await waiting.read()).toEqual({ configuration: undefined, isBlankInDoubt: false })
})

test('the newest configuration counts, also behind a damage, and one that was overwritten does not', async () => {
  const directory = await Directory.begin(voters(1, 2, 3))
  await directory.entry(1)
  await directory.entry(2, voters(1, 2))
  await directory.entry(3, voters(1))
  directory.disk.rot('/log/000000000001.wal', 4096 + 300, 1)
  expect((await directory.read()).configuration).toEqual(voters(1))

  const overwritten = await Directory.begin(voters(1, 2, 3))
  await overwritten.entry(1, voters(1, 2))
  await overwritten.entry(2, voters(1))
  await overwritten.entry(2)
  expect((await overwritten.read()).configuration).toEqual(voters(1, 2))
})

test('a snapshot tells of the members at its entry, even one that is bad behind its header', async () => {
  for (const harm of ['none', 'body', 'header'] as const) {
    const directory = await Directory.begin(voters(1, 2, 3))
    await directory.entry(1, voters(1, 2))
    for (const index of [2, 3, 4]) await directory.entry(index)
    const path = await directory.snapshot(4, voters(1))
    const { length } = directory.disk.contentOf(path)
    if (harm !== 'none') directory.disk.rot(path, harm === 'body' ? length - 100 : 20, 1)
    expect((await directory.read()).configuration).toEqual(harm === 'header' ? voters(1, 2) : voters(1))
  }
  const directory = await Directory.begin(voters(1))
  await directory.entry(1)
  await directory.snapshot(1, voters(1))
  await directory.entry(2, voters(1, 2))
  expect((await directory.read()).configuration).toEqual(voters(1, 2))
})

test('a doubt counts as long as nothing was written since', async () => {
  const directory = await Directory.begin(voters(1, 2, 3))
  await directory.doubt()
  expect(await directory.read()).toEqual({ configuration: voters(1, 2, 3), isBlankInDoubt: true })
  const later = await Directory.begin(voters(1, 2, 3))
  await later.doubt()
  await later.entry(1, voters(1))
  expect(await later.read()).toEqual({ configuration: voters(1), isBlankInDoubt: false })
})
