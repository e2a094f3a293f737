import { expect, test } from 'vitest'
import { Prng, parseNodeId, systemClock } from '../base/index.ts'
import {
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  simpleConfiguration,
  type Term,
  type WriteId,
} from '../raft/index.ts'
import { MemoryDisk, type MemoryDiskOptions } from '../wal/index.ts'
import type { FrozenState } from './decision-log.ts'
import { CLUSTER } from './fleet.support.ts'
import { RaftStorage } from './raft-storage.ts'

// A node that finds damage has forgotten promises. Whatever happens while it finds out, it must never start again as one
// that has forgotten nothing.

const HARD_STATE: HardState = { currentTerm: 6 as Term, votedFor: parseNodeId(2), commitIndex: 0 as LogIndex }
const BOOTSTRAP = { configuration: simpleConfiguration([1, 2, 3].map(parseNodeId)), context: Uint8Array.from([1]) }
const PEER = { nodeId: parseNodeId(3), storeId: 'c'.repeat(32), acknowledged: 7 }

function open(disk: MemoryDisk, mayRebuild = true): Promise<RaftStorage> {
  return RaftStorage.open({
    disk,
    directory: '/log',
    clusterId: CLUSTER,
    nodeId: parseNodeId(1),
    clock: systemClock,
    segmentBytesMax: 8192,
    bootstrap: BOOTSTRAP,
    mayRebuild,
    later: queueMicrotask,
    onFailure: () => {},
  })
}

async function append(storage: RaftStorage, from: number, to: number, hardState?: HardState): Promise<void> {
  const entries = Array.from({ length: to - from + 1 }, (_, at): Entry => {
    const data = Buffer.from(`${from + at}`.padEnd(50, '.'))
    return { term: 6 as Term, index: (from + at) as LogIndex, kind: EntryKind.command, data }
  })
  const ids = { writeId: 1 as WriteId, term: 6 as Term }
  storage.append([{ kind: 'write', ...ids, hardState, entries, unlocks: [] }], [PEER], () => {})
  await storage.flushed()
}

/** A directory with a snapshot of 300 entries, a log that begins after entry 250, and 350 entries in all. */
async function directory(): Promise<{ disk: MemoryDisk; storeId: string }> {
  const disk = new MemoryDisk()
  const storage = await open(disk)
  await append(storage, 1, 300, HARD_STATE)
  const position = { index: 300 as LogIndex, term: 6 as Term }
  const pieces = [Buffer.alloc(500, 1), Buffer.alloc(500, 2)]
  const state = { next: () => pieces.shift(), close: () => {} }
  const header = { clusterId: CLUSTER, position, configuration: BOOTSTRAP, takenAtMs: 0 }
  await storage.snapshots.take(header, state, () => storage.flushed())
  await storage.compact(250 as LogIndex)
  await append(storage, 301, 350)
  await storage.close()
  return { disk, storeId: storage.storeId }
}

/** A state without content. */
const NOTHING: FrozenState = { next: () => undefined, close: () => {} }

const SNAPSHOT = '/log/snapshots/snapshot-300-6.snap'

async function rotLog(disk: MemoryDisk): Promise<void> {
  const [first] = (await disk.list('/log')).filter((name) => name.endsWith('.wal')).sort()
  const content = disk.contentOf(`/log/${first}`)
  content.fill(0xee, 5000, 5100)
  disk.overwrite(`/log/${first}`, content)
}

async function rotSnapshot(disk: MemoryDisk): Promise<void> {
  const content = disk.contentOf(SNAPSHOT)
  content[content.length - 100]! ^= 1
  disk.overwrite(SNAPSHOT, content)
}

const DAMAGES = [
  { what: 'the log', code: 'WAL_DAMAGED', harm: rotLog },
  { what: 'the snapshot', code: 'SNAPSHOT_DAMAGED', harm: rotSnapshot },
  {
    what: 'the snapshot, which is gone',
    code: 'SNAPSHOT_DAMAGED',
    harm: async (disk: MemoryDisk) => disk.erase(SNAPSHOT),
  },
  {
    what: 'both',
    code: 'WAL_DAMAGED',
    harm: async (disk: MemoryDisk) => {
      await rotLog(disk)
      await rotSnapshot(disk)
    },
  },
]

test.each(DAMAGES)(
  'a node with damage to $what knows that it is in doubt, and keeps what is good',
  async ({ what, code, harm }) => {
    const { disk, storeId } = await directory()
    await harm(disk)
    const storage = await open(disk)
    const isSnapshotGood = what === 'the log'
    expect(storage.damage).toMatchObject({ code })
    if (code === 'WAL_DAMAGED') {
      const { message } = storage.damage ?? {}
      expect(message).toMatch(/set aside in \S+\/damaged-1; this node comes back without a vote.*Leave it alone/)
      expect(message, 'it does go on').not.toMatch(/Nothing was changed|restore/)
    }
    expect(storage.storeId).toBe(storeId)
    const index = isSnapshotGood ? 300 : 0
    expect(storage.recovered).toMatchObject({ doubtful: true, baseIndex: index, lastIndex: index, lastApplied: index })
    expect(storage.configuration).toEqual(BOOTSTRAP)
    // A snapshot of term 6 proves that this term was entered. Of a damaged log nothing else is sure.
    if (what === 'the snapshot') expect(storage.recovered.hardState).toEqual(HARD_STATE)
    if (isSnapshotGood) expect(storage.recovered.hardState.currentTerm).toBe(6)
    if (!what.startsWith('the log') && what !== 'both') expect(storage.peers.get(PEER.nodeId)).toEqual(PEER)
    await storage.close()
    // It is no news at the next start, but no less true.
    const again = await open(disk)
    expect([again.damage, again.recovered.doubtful]).toEqual([undefined, true])
    again.clearDoubt()
    await again.flushed()
    await again.close()
    const cleared = await open(disk)
    expect(cleared.recovered.doubtful).toBe(false)
    await cleared.close()
  },
)

test.each(DAMAGES)(
  'a crash at each operation of a start with damage to $what leaves a node that knows of it',
  async ({ harm }) => {
    const { disk: whole } = await directory()
    await harm(whole)
    const prng = new Prng(5)
    // A crash of a quiet disk is a copy of it.
    const copy = (options: MemoryDiskOptions = {}) => whole.crash(() => 0, options)
    const counted = copy()
    await open(counted).then((storage) => storage.close())
    expect(counted.operations).toBeGreaterThan(20)
    for (let dieAt = 0; dieAt < counted.operations; dieAt++) {
      for (const draw of [() => 0, (bound: number) => bound - 1, (bound: number) => prng.below(bound)]) {
        const dying = copy({ fate: ({ index }) => (index === dieAt ? 'crash' : 'done') })
        await open(dying)
          .then((storage) => storage.close())
          .catch(() => undefined)
        const storage = await open(dying.crash(draw))
        expect(storage.recovered.doubtful, `a crash at operation ${dieAt}`).toBe(true)
        expect(storage.recovered.lastIndex).toBeLessThanOrEqual(300)
        await storage.close()
      }
    }
  },
)

test.each(DAMAGES)(
  '$code: a node on its own refuses to start with damage to $what, and changes nothing',
  async ({ code, harm }) => {
    const { disk } = await directory()
    await harm(disk)
    const before = await contents(disk)
    await expect(open(disk, false)).rejects.toMatchObject({ code })
    expect(await contents(disk)).toEqual(before)
  },
)

async function contents(disk: MemoryDisk): Promise<Map<string, string>> {
  const all = new Map<string, string>()
  for (const directory of ['/log', '/log/snapshots']) {
    for (const name of await disk.list(directory)) {
      if (name.includes('.')) all.set(`${directory}/${name}`, disk.contentOf(`${directory}/${name}`).toString('base64'))
    }
  }
  return all
}

test('a damaged snapshot is no loss while the log still has everything', async () => {
  const disk = new MemoryDisk()
  const first = await open(disk)
  await append(first, 1, 300, HARD_STATE)
  const position = { index: 300 as LogIndex, term: 6 as Term }
  const header = { clusterId: CLUSTER, position, configuration: BOOTSTRAP, takenAtMs: 0 }
  await first.snapshots.take(header, NOTHING, () => first.flushed())
  await first.close()
  const content = disk.contentOf(SNAPSHOT)
  content[10]! ^= 255
  disk.overwrite(SNAPSHOT, content)
  const storage = await open(disk, false)
  expect(storage.damage).toBeUndefined()
  expect(storage.recovered).toMatchObject({ doubtful: false, baseIndex: 0, lastIndex: 300, lastApplied: 0 })
  await storage.close()
})
