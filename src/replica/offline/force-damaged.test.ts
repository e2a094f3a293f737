import { expect, test } from 'vitest'
import { parseNodeId, systemClock } from '../../base/index.ts'
import {
  type ConfigurationData,
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  type SnapshotPosition,
  simpleConfiguration,
  type Term,
  type WriteId,
} from '../../raft/index.ts'
import { MemoryDisk, type MemoryDiskOptions, setAsideDamagedLog } from '../../wal/index.ts'
import { CLUSTER } from '../fleet.support.ts'
import { encodeMemberContext } from '../member-context.ts'
import { RaftStorage } from '../raft-storage.ts'
import type { PeerRecord } from '../records.ts'
import { crashEverywhere } from './crash-everywhere.support.ts'
import { type Forced, forceNewCluster } from './force-new-cluster.ts'
import { inspectDirectory } from './inspect.ts'

// Directories of one node are written by the storage itself, without a fleet, and their bytes rot then.

const DIRECTORY = '/data/log'
const NODE = parseNodeId(2)
const IDS = [1, 2, 3].map((id) => parseNodeId(id))
const SMALL = 8192
const GUARD = 'guarded'

const MEMBERS: ConfigurationData = {
  configuration: simpleConfiguration(IDS),
  context: encodeMemberContext({
    details: new Map(IDS.map((id) => [id, { host: '127.0.0.1', port: 7000 + id, storeId: undefined }])),
    forcedBecause: undefined,
  }),
}

/** A node that writes what it is told to. */
class Node {
  readonly disk: MemoryDisk
  readonly storage: RaftStorage

  private constructor(disk: MemoryDisk, storage: RaftStorage) {
    this.disk = disk
    this.storage = storage
  }

  static async start(disk = new MemoryDisk(), segmentBytesMax = SMALL): Promise<Node> {
    const options = {
      disk,
      directory: DIRECTORY,
      clusterId: CLUSTER,
      nodeId: NODE,
      segmentBytesMax,
      clock: systemClock,
    }
    return new Node(disk, await RaftStorage.open({ ...options, mayRebuild: true, bootstrap: MEMBERS, onFailure() {} }))
  }

  /** One batch for each entry, so that the bytes of one can rot alone. */
  async write(term: number, from: number, to: number, commitIndex = 0): Promise<this> {
    const hardState = { currentTerm: term, votedFor: undefined, commitIndex } as unknown as HardState
    for (let index = from; index <= to; index++)
      await this.#append(term, [entry(term, index)], index === from, hardState)
    return this
  }

  async #append(term: number, entries: Entry[], isFirst: boolean, state: HardState): Promise<void> {
    const write = { kind: 'write', writeId: 1 as WriteId, term: term as Term, entries, unlocks: [] } as const
    const { storage } = this
    await new Promise<void>((resolve) =>
      storage.append([{ ...write, hardState: isFirst ? state : undefined }], [], resolve),
    )
  }

  async acknowledged(index: number): Promise<this> {
    const peer: PeerRecord = { nodeId: parseNodeId(1), storeId: 'ab'.repeat(16), acknowledged: index }
    await new Promise<void>((resolve) => this.storage.append([], [peer], resolve))
    return this
  }

  async snapshot(index: number, term: number): Promise<SnapshotPosition> {
    const position = { index: index as LogIndex, term: term as Term }
    const header = { clusterId: CLUSTER, position, configuration: MEMBERS, takenAtMs: 1 }
    const pieces = [Buffer.from('state')]
    await this.storage.snapshots.take(header, { next: async () => pieces.shift() }, async () => {})
    return position
  }

  async stop(): Promise<MemoryDisk> {
    await this.storage.close()
    return this.disk
  }
}

function entry(term: number, index: number): Entry {
  const data = Buffer.from(textOf(term, index).padEnd(100, '.'))
  return { term: term as Term, index: index as LogIndex, kind: EntryKind.command, data }
}

function textOf(term: number, index: number): string {
  return `<${term}:${index}>`
}

/** The texts of entries `from`…`to`, as `contents` tells them. */
function texts(term: number, from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, at) => textOf(term, from + at))
}

/** Bad bytes where an entry is kept. */
function rot(disk: MemoryDisk, term: number, index: number): void {
  for (const path of disk.paths.filter((each) => each.startsWith(`${DIRECTORY}/0`))) {
    const at = disk.contentOf(path).indexOf(textOf(term, index))
    if (at >= 0) return disk.rot(path, at, 0x10)
  }
  throw new Error('this entry is nowhere')
}

function force(disk: MemoryDisk): Promise<Forced> {
  return forceNewCluster({
    disk,
    directory: DIRECTORY,
    endpoint: undefined,
    payloads: [Buffer.from(GUARD)],
    reason: 'two machines burnt',
    segmentBytesMax: SMALL,
  })
}

/** The commands in the log behind its base, of a node that starts. */
async function contents(disk: MemoryDisk): Promise<string[]> {
  const { storage } = await Node.start(disk)
  const { baseIndex, lastIndex, doubtful } = storage.recovered
  expect(doubtful).toBe(false)
  const read: string[] = []
  for (let next = baseIndex + 1; next <= lastIndex; ) {
    const entries = await storage.load(next as LogIndex, lastIndex, 1e6)
    for (const { kind, data } of entries) {
      if (kind === EntryKind.command) read.push(Buffer.from(data).toString().replace(/\.+$/, ''))
    }
    next = entries.at(-1)!.index + 1
  }
  await storage.close()
  return read
}

/** A disk on which the log was compacted up to 20 and is readable up to 69, or to 49 from its first entry on. */
async function damagedDisk(isCompacted: boolean): Promise<MemoryDisk> {
  const node = await (await Node.start()).write(1, 1, 30)
  if (isCompacted) {
    await node.snapshot(20, 1)
    await node.storage.compact(20 as LogIndex)
  }
  const last = isCompacted ? 70 : 50
  await node.write(2, 31, last + 10)
  const disk = await node.stop()
  rot(disk, 2, last)
  return disk
}

test.each([
  ['a snapshot', true],
  ['its log alone', false],
])(
  'a node with a damaged log and %s has all that can be read, whatever crash its recovery meets',
  async (_, compacted) => {
    const begin = await damagedDisk(compacted)
    const undisturbed = begin.crash(() => 1, {})
    const { before, after } = await force(undisturbed)
    const all = await contents(undisturbed)
    expect(all.slice(0, -1)).toEqual(
      compacted ? [...texts(1, 21, 30), ...texts(2, 31, 69)] : [...texts(1, 1, 30), ...texts(2, 31, 49)],
    )
    expect(after.last.index).toBe(before.last.index + 3)
    let unfinished = 0
    const steps = await crashEverywhere(begin, force, async (disk, isDone) => {
      const mayStart = !disk.paths.includes(`${DIRECTORY}/recovery.unfinished`)
      if (!mayStart) {
        unfinished++
        await expect(Node.start(disk)).rejects.toMatchObject({ code: 'RECOVERY_UNFINISHED' })
      }
      const again = await force(disk)
      const hadEnded = isDone || again.before.logDamage === undefined
      expect(again.before.begunFrom).toBe(mayStart ? undefined : `${DIRECTORY}.before-recovery-1`)
      expect(again.after.last.index).toBe(after.last.index + (hadEnded ? 3 : 0))
      expect(await contents(disk)).toEqual(hadEnded ? [...all, GUARD] : all)
    })
    expect(unfinished).toBeGreaterThan(10)
    expect(steps).toBeGreaterThan(unfinished + 10)
  },
)

test('a recovery that goes on may end anywhere again, and the third time it has all that can be read', async () => {
  const begin = await damagedDisk(true)
  const undisturbed = begin.crash(() => 1, {})
  const { after } = await force(undisturbed)
  const all = await contents(undisturbed)
  // It dies in the second file of the fresh log.
  const files = begin.paths.filter((path) => path.startsWith(`${DIRECTORY}/0`))
  const second = Number(files.at(-1)!.slice(DIRECTORY.length + 1, -'.wal'.length)) + 2
  const isSecond = (path: string) => path.startsWith(DIRECTORY) && path.endsWith(`${second}.wal`)
  const fate: MemoryDiskOptions['fate'] = ({ kind, path }) => (kind === 'write' && isSecond(path) ? 'crash' : 'done')
  const dying = begin.crash(() => 1, { fate })
  await expect(force(dying)).rejects.toThrow()
  const steps = await crashEverywhere(
    dying.crash(() => 0, {}),
    force,
    async (disk) => {
      const again = await force(disk)
      const hadEnded = again.before.logDamage === undefined
      expect(again.after.last.index).toBe(after.last.index + (hadEnded ? 3 : 0))
      expect(await contents(disk)).toEqual(hadEnded ? [...all, GUARD] : all)
      expect(again.copy).toBe(`${DIRECTORY}.before-recovery-${hadEnded ? 2 : 1}`)
    },
  )
  expect(steps).toBeGreaterThan(20)
})

test('a disk that gets full amid a recovery loses nothing that the same command does not bring back', async () => {
  const begin = await damagedDisk(true)
  const undisturbed = begin.crash(() => 1, {})
  const { after } = await force(undisturbed)
  for (let steps = 0, isDone = false; !isDone; steps += 3) {
    const disk = begin.crash(() => 1, { fate: ({ index }) => (index >= steps ? 'ENOSPC' : 'done') })
    isDone = await force(disk).then(
      () => true,
      () => false,
    )
    const again = await force(disk.kill())
    const hadEnded = again.before.logDamage === undefined
    expect(hadEnded || !isDone).toBe(true)
    expect(again.after.last.index).toBe(after.last.index + (hadEnded ? 3 : 0))
  }
})

test('a look amid a recovery is one at the copy; without the copy there is nothing to go on with', async () => {
  const begin = await damagedDisk(true)
  const sound = await inspectDirectory(
    begin.crash(() => 1, {}),
    DIRECTORY,
  )
  const isMark = (path: string) => path === `${DIRECTORY}/recovery.unfinished`
  // It ends when everything is written, just before its mark is removed.
  const fate: MemoryDiskOptions['fate'] = ({ kind, path }) => (kind === 'remove' && isMark(path) ? 'crash' : 'done')
  const dying = begin.crash(() => 1, { fate })
  await expect(force(dying)).rejects.toThrow('crash')
  const disk = dying.crash(() => 0, {})
  const copy = `${DIRECTORY}.before-recovery-1`
  const look = await inspectDirectory(disk, DIRECTORY)
  expect(look).toMatchObject({ begunFrom: copy, last: sound.last, committed: sound.committed })
  expect(look.logDamage?.file).toBe(sound.logDamage?.file.replace(DIRECTORY, copy))
  for (const path of disk.paths.filter((each) => each.startsWith(copy))) disk.erase(path)
  await expect(inspectDirectory(disk, DIRECTORY)).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' })
  await expect(force(disk)).rejects.toThrow('log.before-recovery-1')
})

test('when a node died while it set its damaged log aside, what can be read is found wherever it is by now', async () => {
  const begin = await damagedDisk(false)
  const { logDamage, last } = await inspectDirectory(
    begin.crash(() => 1, {}),
    DIRECTORY,
  )
  const firstRecords = [{ type: 5, payload: Buffer.from([1]) }]
  const options = { directory: DIRECTORY, identity: { clusterId: CLUSTER, nodeId: NODE }, segmentBytesMax: SMALL }
  const setAside = (disk: MemoryDisk) => setAsideDamagedLog({ ...options, disk, firstRecords }, logDamage!)
  let halves = 0
  await crashEverywhere(begin, setAside, async (disk) => {
    if (disk.paths.some((path) => path.endsWith('.aside'))) halves++
    // From there on only the fresh log counts: nothing says any more that the other was not finished with.
    else if (!disk.paths.includes(`${DIRECTORY}/000000000001.wal`)) return
    const { before } = await force(disk)
    expect(before.last).toEqual(last)
    expect(await contents(disk)).toEqual([...texts(1, 1, 30), ...texts(2, 31, 49), GUARD])
  })
  expect(halves).toBeGreaterThan(5)
})

test('entries that an installed snapshot discarded are not read again behind it', async () => {
  // All in one file: the discarded tail of term 1 is still there when the log behind the snapshot is damaged.
  const node = await (await Node.start(undefined, 64 * 1024)).write(1, 1, 121)
  await node.storage.beginAfter(await node.snapshot(100, 3))
  await node.write(3, 101, 140, 100)
  const disk = await node.stop()
  rot(disk, 3, 135)
  const { before, after } = await force(disk)
  expect(before.last).toEqual({ index: 134, term: 3 })
  expect(after.last.index).toBe(137)
  expect(await contents(disk)).toEqual([...texts(3, 101, 134), GUARD])
})

test('entries that a later leader replaced are not read again, although the log begins anew among them', async () => {
  const node = await (await Node.start(undefined, 64 * 1024)).write(1, 1, 60)
  await node.write(2, 31, 50)
  await node.snapshot(45, 2)
  await node.storage.compact(45 as LogIndex)
  await node.write(2, 51, 70)
  const disk = await node.stop()
  rot(disk, 2, 65)
  await force(disk)
  expect(await contents(disk)).toEqual([...texts(2, 46, 64), GUARD])
})

test('bytes that rot before the last word on where the log begins leave what is readable behind the snapshot', async () => {
  const node = await (await Node.start()).write(1, 1, 60)
  await node.snapshot(40, 1)
  await node.storage.compact(40 as LogIndex)
  await node.write(2, 61, 90)
  const disk = await node.stop()
  rot(disk, 1, 52)
  const { before } = await force(disk)
  expect(before).toMatchObject({ last: { index: 51, term: 1 }, lacks: undefined })
  expect(await contents(disk)).toEqual([...texts(1, 41, 51), GUARD])
})

test('without a snapshot that reaches up to the entries that are left there is nothing to go on with', async () => {
  const node = await (await Node.start()).write(1, 1, 200)
  await node.snapshot(190, 1)
  await node.storage.compact(190 as LogIndex)
  const disk = await (await node.write(2, 201, 230)).stop()
  rot(disk, 1, 195)
  for (const path of disk.paths) if (path.endsWith('.snap')) disk.rot(path, 30, 0x10)
  expect((await inspectDirectory(disk, DIRECTORY)).lacks?.index).toBeGreaterThan(100)
  await expect(force(disk)).rejects.toMatchObject({ code: 'RECOVERY_REFUSED' })
})

test.each([
  [1, 1, 'where the log begins, and its first terms'],
  [3, 65, 'the term of the snapshot'],
])(
  'a good snapshot is enough when the log is bad from an entry of term %i on, where it kept %s',
  async (term, index) => {
    const node = await (await (await Node.start()).write(1, 1, 20)).write(3, 21, 80)
    await node.snapshot(70, 3)
    const disk = await node.stop()
    rot(disk, term, index)
    const { before, after } = await force(disk)
    expect(before).toMatchObject({ last: { index: 70, term: 3 }, lacks: undefined })
    expect(after.term).toBe(4)
    expect(await contents(disk)).toEqual([GUARD])
  },
)

test('a node that knows of more commits than it has left goes on alone, and its report tells what is lost', async () => {
  const node = await (await Node.start()).write(1, 1, 30, 0)
  await node.snapshot(20, 1)
  await (await node.write(1, 31, 60)).acknowledged(55)
  await node.write(1, 61, 80)
  const disk = await node.stop()
  rot(disk, 1, 70)
  // It starts while the others are there, sets its log aside, and then they are lost.
  await (await Node.start(disk)).stop()
  const { before, after } = await force(disk)
  expect(before).toMatchObject({ doubtful: true, last: { index: 20 }, committed: 55 })
  expect(after).toMatchObject({ doubtful: false, last: { index: 23 }, committed: 23 })
  expect(await contents(disk)).toEqual([GUARD])
  const again = await force(disk)
  expect(again.after).toMatchObject({ last: { index: 26 }, committed: 26 })
})
