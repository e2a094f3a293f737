import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { Prng, parseNodeId, systemClock } from '../base/index.ts'
import {
  type Entry,
  EntryKind,
  type InstallSnapshot,
  type LogIndex,
  type RaftEvent,
  type SnapshotPosition,
  simpleConfiguration,
  type Term,
  type WriteEffect,
  type WriteId,
} from '../raft/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { CLUSTER, silentLogger } from './fleet.support.ts'
import { RaftStorage } from './raft-storage.ts'
import { SnapshotReceiver } from './snapshot-receiver.ts'
import type { StoredSnapshot } from './snapshot-store.ts'

// Crash points as a table: one run without a crash counts the operations on the disk, then one run for each of them dies
// just there. What is found afterwards must be a node that kept what it promised, and it must be found without damage:
// a crash is none.

const NODE = parseNodeId(1)
const CONFIGURATION = { configuration: simpleConfiguration([1, 2, 3].map(parseNodeId)), context: Buffer.alloc(0) }
const DIRECTORY = '/log'

function positionOf(index: number, term: number): SnapshotPosition {
  return { index: index as LogIndex, term: term as Term }
}

/** What a story must find again. */
class Promises {
  /** Entries that were durable when the story went on, by index. Replaced ones are no promise. */
  readonly entries = new Map<number, string>()
  /** The lowest index up to which a snapshot or the log must reach. */
  durable = 0
  currentTerm = 0
}

interface Story {
  readonly name: string
  readonly segmentBytesMax: number
  tell(node: StoryNode): Promise<void>
}

/** The text of the entry that is committed at an index: on this node and on all others. */
function committed(index: number): string {
  return `${index <= 20 ? 1 : 3}:${index}`.padEnd(60, '.')
}

/** One run of a node, as far as it concerns the disk. */
class StoryNode {
  readonly storage: RaftStorage
  readonly promises: Promises
  #term = 0

  constructor(storage: RaftStorage, promises: Promises) {
    this.storage = storage
    this.promises = promises
  }

  /** Durably appends entries `from`…`to` of `term`. */
  async append(term: number, from: number, to: number, textOf: (index: number) => string = committed): Promise<void> {
    const entries: Entry[] = []
    for (let index = from; index <= to; index++) {
      const data = Buffer.from(textOf(index))
      entries.push({ term: term as Term, index: index as LogIndex, kind: EntryKind.command, data })
    }
    const hardState = { currentTerm: term as Term, votedFor: undefined, commitIndex: 0 as LogIndex }
    const write: WriteEffect = {
      kind: 'write',
      writeId: 1 as WriteId,
      term: term as Term,
      hardState: term > this.#term ? hardState : undefined,
      entries,
      unlocks: [],
    }
    this.#term = term
    // What it replaces is promised no more, whether the write comes to its end or not.
    for (const index of [...this.promises.entries.keys()]) if (index >= from) this.promises.entries.delete(index)
    this.promises.durable = Math.min(this.promises.durable, from - 1)
    this.storage.append([write], [], () => {})
    await this.storage.flushed()
    for (const entry of entries) this.promises.entries.set(entry.index, Buffer.from(entry.data).toString())
    this.promises.durable = to
    this.promises.currentTerm = term
  }

  /** Durably enters a term. */
  async enter(term: number): Promise<void> {
    const hardState = { currentTerm: term as Term, votedFor: undefined, commitIndex: 0 as LogIndex }
    this.#term = term
    const ids = { writeId: 1 as WriteId, term: term as Term }
    this.storage.append([{ kind: 'write', ...ids, hardState, entries: [], unlocks: [] }], [], () => {})
    await this.storage.flushed()
    this.promises.currentTerm = term
  }

  /** Takes a snapshot of what is committed up to an index, cuts the log, and removes older ones. */
  async takeAndCompact(index: number, term: number, through: number): Promise<void> {
    const { storage } = this
    const header = { clusterId: CLUSTER, position: positionOf(index, term), configuration: CONFIGURATION, takenAtMs: 1 }
    await storage.snapshots.take(header, frozenAt(index), () => storage.flushed())
    await storage.compact(through as LogIndex)
    await storage.snapshots.prune()
  }

  /** Receives a snapshot that another node took, and installs it. */
  async install(file: Buffer, id: number, position: SnapshotPosition): Promise<void> {
    const { storage } = this
    // What conflicts with it was never committed: it may be gone from here on.
    this.promises.durable = Math.min(this.promises.durable, position.index)
    await receive(storage, file, id, position)
    const snapshot = await storage.snapshots.readReceived(position, id, () => {})
    await storage.beginAfter(position)
    storage.snapshots.adopt(snapshot)
    this.promises.durable = position.index
    this.promises.entries.clear()
    await storage.snapshots.prune()
  }
}

function frozenAt(index: number) {
  const texts = Array.from({ length: index }, (_, at) => committed(at + 1))
  const pieces = [JSON.stringify(texts.slice(0, 10)), JSON.stringify(texts.slice(10))].map((text) => Buffer.from(text))
  return { next: () => pieces.shift(), close: () => {} }
}

/** Sends a file as a leader would, in chunks, each after the answer to the one before. */
async function receive(storage: RaftStorage, file: Buffer, id: number, position: SnapshotPosition): Promise<void> {
  let answered: ((event: Extract<RaftEvent, { kind: 'chunkStored' }>) => void) | undefined
  let failed: ((error: Error) => void) | undefined
  const receiver = new SnapshotReceiver({
    store: storage.snapshots,
    logger: silentLogger,
    flushed: () => storage.flushed(),
    enqueue: (event) => {
      if (event.kind === 'chunkStored') answered?.(event)
    },
    onFatal: (error) => failed?.(error),
  })
  const exchange = (offset: number, data: Buffer) =>
    new Promise<Extract<RaftEvent, { kind: 'chunkStored' }>>((resolve, reject) => {
      answered = resolve
      failed = reject
      const head = { kind: 'installSnapshot' as const, from: parseNodeId(2), to: NODE, term: 9 as Term }
      const about = { snapshot: position, snapshotId: id, totalBytes: file.length }
      receiver.store({ ...head, ...about, offset, data, checksum: crc32(data) } satisfies InstallSnapshot)
    })
  let answer = await exchange(0, Buffer.alloc(0))
  while (!answer.complete) {
    const offset = answer.receivedBytes
    answer = await exchange(offset, file.subarray(offset, offset + 900))
  }
  await receiver.stop()
}

async function open(disk: MemoryDisk, segmentBytesMax: number): Promise<RaftStorage> {
  return RaftStorage.open({
    disk,
    directory: DIRECTORY,
    clusterId: CLUSTER,
    nodeId: NODE,
    clock: systemClock,
    segmentBytesMax,
    random: () => Buffer.alloc(16, 7),
    bootstrap: CONFIGURATION,
    later: queueMicrotask,
    onFailure: () => {},
  })
}

/** A snapshot file as the leader has it, covering `index`. */
async function leadersFile(index: number, term: number): Promise<{ file: Buffer; id: number }> {
  const disk = new MemoryDisk()
  const storage = await open(disk, 64 * 1024)
  const header = { clusterId: CLUSTER, position: positionOf(index, term), configuration: CONFIGURATION, takenAtMs: 5 }
  const taken: StoredSnapshot = await storage.snapshots.take(header, frozenAt(index), async () => {})
  const file = disk.contentOf(storage.snapshots.pathOf(taken.name))
  await storage.close()
  return { file, id: taken.snapshotId }
}

const received = await leadersFile(50, 3)

const STORIES: readonly Story[] = [
  {
    name: 'take, compact, prune, and once more',
    segmentBytesMax: 8192,
    async tell(node) {
      await node.append(1, 1, 20)
      await node.append(3, 21, 60)
      await node.takeAndCompact(50, 3, 45)
      await node.append(3, 61, 200)
      await node.takeAndCompact(180, 3, 180)
      await node.append(3, 201, 210)
    },
  },
  {
    name: 'install over a log that ends before it',
    segmentBytesMax: 8192,
    async tell(node) {
      await node.append(1, 1, 20)
      await node.append(3, 21, 22)
      await node.install(received.file, received.id, positionOf(50, 3))
      await node.append(3, 51, 80)
    },
  },
  {
    name: 'install over a conflicting log, then take one',
    segmentBytesMax: 8192,
    async tell(node) {
      await node.append(1, 1, 20)
      // Another leader's entries, which were never committed, and reach further than the snapshot.
      await node.append(2, 21, 150, (index) => `2:${index}`.padEnd(60, '!'))
      await node.enter(3)
      await node.install(received.file, received.id, positionOf(50, 3))
      await node.append(3, 51, 120)
      await node.takeAndCompact(100, 3, 90)
      await node.append(3, 121, 130)
    },
  },
]

/** Runs a story on a disk that dies at operation `dieAt`. */
async function tellUntil(story: Story, dieAt: number): Promise<{ disk: MemoryDisk; promises: Promises }> {
  const disk = new MemoryDisk({ fate: ({ index }) => (index === dieAt ? 'crash' : 'done') })
  const promises = new Promises()
  try {
    const storage = await open(disk, story.segmentBytesMax)
    await story.tell(new StoryNode(storage, promises))
    await storage.close()
  } catch (error) {
    if (!disk.dead) throw error
  }
  return { disk, promises }
}

/** Opens what a crash left and checks it against what was promised. */
async function checkWhole(disk: MemoryDisk, story: Story, promises: Promises): Promise<void> {
  const storage = await open(disk, story.segmentBytesMax)
  try {
    const { recovered, applied, snapshots } = storage
    expect(storage.damage).toBeUndefined()
    expect(recovered.doubtful).toBe(false)
    expect(recovered.hardState.currentTerm).toBeGreaterThanOrEqual(promises.currentTerm)
    expect(recovered.lastIndex, 'what was durable is there').toBeGreaterThanOrEqual(promises.durable)
    expect(recovered.baseIndex).toBeLessThanOrEqual(applied.index)
    expect(applied.index).toBeLessThanOrEqual(recovered.lastIndex)
    await checkSnapshot(storage)
    await checkEntries(storage, promises)
    // And it goes on.
    const node = new StoryNode(storage, new Promises())
    await node.append(9, recovered.lastIndex + 1, recovered.lastIndex + 3)
    expect(await textsOf(storage, recovered.lastIndex + 1, recovered.lastIndex + 3)).toHaveLength(3)
    await snapshots.prune()
    expect((await disk.list(`${DIRECTORY}/snapshots`)).length).toBeLessThanOrEqual(2)
  } finally {
    await storage.close()
  }
}

async function checkSnapshot({ snapshots, applied, configuration }: RaftStorage): Promise<void> {
  expect(configuration?.configuration).toEqual(CONFIGURATION.configuration)
  if (snapshots.newest === undefined) return
  const pieces: Buffer[] = []
  await snapshots.read(snapshots.newest, (content) => pieces.push(Buffer.from(content)))
  const texts: string[] = JSON.parse(`[${Buffer.concat(pieces).toString().replaceAll('][', '],[')}]`).flat()
  expect(texts).toEqual(Array.from({ length: applied.index }, (_, at) => committed(at + 1)))
}

async function checkEntries(storage: RaftStorage, promises: Promises): Promise<void> {
  const { baseIndex, lastIndex } = storage.recovered
  const texts = baseIndex < lastIndex ? await textsOf(storage, baseIndex + 1, lastIndex) : []
  expect(texts).toHaveLength(lastIndex - baseIndex)
  for (const [index, text] of promises.entries) {
    if (index > baseIndex && index <= lastIndex) expect(texts[index - baseIndex - 1]).toBe(text)
  }
}

async function textsOf(storage: RaftStorage, from: number, to: number): Promise<string[]> {
  const entries: Entry[] = []
  while (from + entries.length <= to) {
    entries.push(...(await storage.load((from + entries.length) as LogIndex, to as LogIndex, 1e6)))
  }
  return entries.map(({ data }) => Buffer.from(data).toString())
}

/** What a crash keeps of that which no sync confirmed: nothing, or this and that. */
const DRAWS: readonly ((prng: Prng) => (bound: number) => number)[] = [
  () => () => 0,
  (prng) => (bound) => prng.below(bound),
]

test.each(STORIES)(
  'a crash at each operation of: $name',
  async (story) => {
    const { disk: counted, promises: all } = await tellUntil(story, -1)
    await checkWhole(counted, story, all)
    const { operations } = counted
    expect(operations).toBeGreaterThan(60)
    const prng = new Prng(operations)
    for (let dieAt = 0; dieAt < operations; dieAt++) {
      for (const draw of DRAWS) {
        const { disk, promises } = await tellUntil(story, dieAt)
        if (!disk.dead) continue
        try {
          // The start that follows dies as well, somewhere.
          const again = disk.crash(draw(prng), { fate: dieOnce(prng.below(60)) })
          await open(again, story.segmentBytesMax)
            .then((storage) => storage.close())
            .catch(() => undefined)
          await checkWhole(again.crash(draw(prng)), story, promises)
        } catch (error) {
          throw new Error(`a crash at operation ${dieAt} of ${operations}: ${(error as Error).message}`, {
            cause: error,
          })
        }
      }
    }
  },
  120_000,
)

function dieOnce(at: number) {
  return ({ index }: { readonly index: number }) => (index === at ? 'crash' : 'done')
}
