import { expect, test } from 'vitest'
import { makeTxid, parseBranchId, parseClusterId, parseNodeId, parseTxid, txidTimeMs } from '../../base/index.ts'
import { TXIDS, txidOf } from '../../base/txids.support.ts'
import { MemoryDisk, type Position, Wal } from '../../wal/index.ts'
import { keySpan } from '../locks/index.ts'
import { DiskStore } from './disk-store.ts'
import { KvLogMalformedError, KvRulesChangedError, KvStoreFailedError, KvStoreMismatchError } from './errors.ts'
import type { KvParticipant } from './kv-participant.ts'
import { fresh, openOn, restarted, settle } from './participant.support.ts'
import { encodeRecord, type KvRecord } from './records.ts'
import { Replay } from './replay.ts'
import type { KvState } from './state.ts'
import type { KvStore } from './store.ts'

const [T0, T1] = TXIDS as unknown as [string, string]

async function commit(kv: KvParticipant, txid: string, key: string, value: string): Promise<void> {
  await kv.begin(txid).put(key, value)
  expect(await kv.commitOnePhase(txid)).toEqual({ kind: 'done' })
}

test('reads and scans are right while the data is being written, and the log gets shorter', async () => {
  const disk = new MemoryDisk()
  const store = await DiskStore.open(disk)
  let finish = (): void => {}
  const slow: KvStore = {
    get mark() {
      return store.mark
    },
    get: (key) => store.get(key),
    entries: (span) => store.entries(span),
    write: async (change) => {
      await store.write(change)
      await new Promise<void>((resolve) => (finish = resolve))
    },
    close: () => store.close(),
  }
  const { kv } = await openOn(disk, { store: slow })
  for (let age = 0; age < 12; age++) await commit(kv, txidOf(age), `k${age}`, 'x'.repeat(1500))
  const before = kv.logBytesOnDisk
  const writing = kv.checkpoint()
  expect(await kv.get('k3')).toBe('x'.repeat(1500))
  const branch = kv.begin(txidOf(12))
  await branch.delete('k3')
  await branch.put('k99', 'new')
  await kv.commitOnePhase(txidOf(12))
  const keys = async (): Promise<string[]> => (await kv.scan()).entries.map(({ key }) => key)
  const expected = [...[0, 1, 10, 11, 2, 4, 5, 6, 7, 8, 9].map((age) => `k${age}`), 'k99']
  expect(await keys()).toEqual(expected)
  await settle()
  expect(await keys()).toEqual(expected)
  finish()
  await writing
  expect(await keys()).toEqual(expected)
  expect(kv.logBytesOnDisk).toBeLessThan(before)
  expect((await (await restarted(disk)).kv.scan()).entries.map(({ key }) => key)).toEqual(expected)
})

test('two checkpoints at once are made one after the other, and closing waits for them', async () => {
  const { kv, disk } = await fresh()
  await commit(kv, T0, 'a', '1')
  await Promise.all([kv.checkpoint(), kv.checkpoint()])
  await commit(kv, T1, 'b', '2')
  const writing = kv.checkpoint()
  await kv.close()
  await writing
  const { mark } = await DiskStore.open(disk.kill())
  expect((await openOn(disk.kill())).failures).toEqual([])
  expect(mark).toBeDefined()
})

test('a head at another place than the one that the data speaks of is not the one', () => {
  const state = { apply: () => {} } as unknown as KvState
  const replay = new Replay({ state, uniquePrefixes: [], mark: { storeId: 'ab', position: 100 } })
  const head = encodeRecord({ kind: 'head', uniquePrefixes: [] })
  replay.record({ ...head, position: 40 as Position })
  expect(() => replay.record({ ...head, position: 200 as Position })).toThrow(KvStoreMismatchError)
  replay.record({ ...head, position: 100 as Position })
  replay.end({ storeId: 'ab', begin: 0 as Position })
  expect(() => replay.end({ storeId: 'cd', begin: 0 as Position })).toThrow(KvStoreMismatchError)
})

test('data is written by itself when enough was committed, and the log does not grow for ever', async () => {
  const { kv, disk } = await fresh({ checkpointBytes: 4000 })
  for (let age = 0; age < 200; age++) await commit(kv, txidOf(age), `k${age % 7}`, 'x'.repeat(1000))
  await settle()
  expect(kv.logBytesOnDisk).toBeLessThan(20 * 8192)
  const again = await restarted(disk)
  expect((await again.kv.scan()).entries.length).toBe(7)
})

test('aborted work takes room in the log, too, and is removed from it', async () => {
  const { kv } = await fresh({ checkpointBytes: 4000 })
  for (let age = 0; age < 200; age++) {
    await kv.begin(txidOf(age)).put('k', 'x'.repeat(1500))
    await kv.prepare(txidOf(age))
    await kv.abort(txidOf(age))
  }
  await settle()
  expect(kv.logBytesOnDisk).toBeLessThan(20 * 8192)
})

test.each<[string, (kv: KvParticipant, txid: string) => unknown]>([
  ['a rollback', (kv, txid) => kv.begin(txid) && kv.rollBack(txid, 'was rolled back')],
  ['an abort', (kv, txid) => kv.begin(txid) && kv.abort(txid)],
  ['an abort of what was never here', (kv, txid) => kv.abort(txid)],
  ['a settled question', (kv, txid) => kv.settle(txid)],
  ['a commit of what was never here', (kv, txid) => kv.commitOnePhase(txid)],
  ['a watermark', (kv, txid) => kv.forgetBefore(txidTimeMs(parseTxid(txid)))],
])('%s takes room, too: it is stored like all else, and removed from the log', async (_, end) => {
  const disk = new MemoryDisk()
  const store = await DiskStore.open(disk)
  let stored = 0
  const write = store.write.bind(store)
  store.write = async (change) => {
    const effects = [...change.effects]
    stored += effects.length
    await write({ ...change, effects })
  }
  const { kv } = await openOn(disk, { store, checkpointBytes: 4_000 })
  for (let age = 0; age < 600; age++) {
    await end(kv, txidOf(age))
    if (age % 50 === 0) await settle()
  }
  await settle()
  expect(kv.logBytesOnDisk).toBeLessThanOrEqual(5 * 8192)
  expect(stored).toBeGreaterThan(5)
})

test('outcomes are kept over checkpoints and starts, until they are forgotten', async () => {
  const first = await fresh()
  await commit(first.kv, T0, 'a', '1')
  await first.kv.abort(T1)
  await first.kv.checkpoint()
  const second = await restarted(first.disk)
  expect([second.kv.evidence(T0), second.kv.evidence(T1)]).toEqual(['committed', 'aborted'])
  const old = makeTxid(1_749_000_000_000, Buffer.alloc(10))
  await second.kv.begin(old).put('b', '1')
  await second.kv.prepare(old)
  await expect(second.kv.forgetBefore(2_000_000_000_000)).rejects.toThrow(/not later than now/)
  await second.kv.forgetBefore(1_750_000_000_001)
  await second.kv.checkpoint()
  const { kv } = await restarted(first.disk)
  // T1 was made just then, so it is kept.
  expect([kv.evidence(T0), kv.evidence(T1)]).toEqual(['none', 'aborted'])
  expect(() => kv.begin(makeTxid(1_749_999_999_999, Buffer.alloc(10)))).toThrow(/is over here \(forgotten\)/)
  expect(await kv.prepare(T0)).toMatchObject({ kind: 'abort', reason: 'forgotten' })
  expect(await kv.abort(T0)).toEqual({ kind: 'refused', known: 'forgotten' })
  // In doubt is never forgotten.
  expect(kv.inDoubt().map(({ txid }) => txid)).toEqual([old])
  expect(await kv.commit(old)).toEqual({ kind: 'done' })
  expect(await kv.get('b')).toBe('1')
})

test('a log without its data, data without its log, and an older one of either do not start', async () => {
  const disk = new MemoryDisk()
  const { kv } = await openOn(disk)
  for (let age = 0; age < 12; age++) await commit(kv, txidOf(age), 'k', 'x'.repeat(1500))
  await kv.checkpoint()
  const early = disk.contentOf('/store/data')
  for (let age = 12; age < 24; age++) await commit(kv, txidOf(age), 'k', 'y'.repeat(1500))
  await kv.checkpoint()
  await kv.close()
  const refusal = async (change: (copy: MemoryDisk) => void): Promise<unknown> => {
    const copy = disk.crash(() => 0)
    change(copy)
    return openOn(copy).catch((error: unknown) => error)
  }
  expect(await refusal((copy) => copy.erase('/store/data'))).toBeInstanceOf(KvStoreMismatchError)
  expect(await refusal((copy) => copy.overwrite('/store/data', early))).toBeInstanceOf(KvStoreMismatchError)
  const noLog = (copy: MemoryDisk): void => {
    for (const path of copy.paths) if (path.startsWith('/kv/log/')) copy.erase(path)
  }
  expect(await refusal(noLog)).toBeInstanceOf(KvStoreMismatchError)
  // A first checkpoint that was not finished leaves data without a mark.
  const noMark = (copy: MemoryDisk): void => {
    noLog(copy)
    const { entries } = JSON.parse(early.toString('latin1')) as { entries: unknown }
    copy.overwrite('/store/data', Buffer.from(JSON.stringify({ entries }), 'latin1'))
  }
  expect(await refusal(noMark)).toBeInstanceOf(KvStoreMismatchError)
  expect(await refusal(() => {})).not.toBeInstanceOf(Error)
})

test('unique rules cannot be changed under data that was made with others', async () => {
  const { kv, disk } = await fresh({ rules: [{ kind: 'unique', prefix: 'mail/' }] })
  await kv.close()
  await expect(restarted(disk)).rejects.toThrow(KvRulesChangedError)
  const rules = [
    { kind: 'notBelowZero', prefix: 'x' },
    { kind: 'unique', prefix: 'mail/' },
  ] as const
  await (await restarted(disk, { rules })).kv.close()
})

test('a store that fails ends the participant: its owner hears of it once, and nothing is taken any more', async () => {
  const disk = new MemoryDisk()
  const store = await DiskStore.open(disk)
  store.write = async () => {
    throw new KvStoreFailedError('no room')
  }
  const { kv, failures } = await openOn(disk, { store })
  await commit(kv, T0, 'a', '1')
  await expect(kv.checkpoint()).rejects.toThrow(KvStoreFailedError)
  expect(failures.map(({ message }) => message)).toEqual([expect.stringContaining('no room')])
  await expect(kv.prepare(T1)).rejects.toThrow(KvStoreFailedError)
  expect(() => kv.begin(T1)).toThrow(KvStoreFailedError)
  await kv.close()
  expect(await (await restarted(disk)).kv.get('a')).toBe('1')
})

test('a full disk refuses votes to commit, and still takes decisions', async () => {
  const options = { capacityBytes: 5 * 8192 }
  const disk = new MemoryDisk(options)
  const { kv, failures } = await openOn(disk)
  await kv.begin(T0).put('a', '1')
  expect(await kv.prepare(T0)).toEqual({ kind: 'commit' })
  let refused: unknown
  for (let age = 1; age < 40 && refused === undefined; age++) {
    await kv.begin(txidOf(age)).put(`k${age}`, 'x'.repeat(1500))
    const vote = await kv.prepare(txidOf(age))
    await settle()
    if (vote.kind === 'abort') refused = vote.reason
  }
  expect(refused).toBe('diskFull')
  expect(await kv.commit(T0)).toEqual({ kind: 'done' })
  expect(failures).toEqual([])
})

test.each([
  ['a branch that was never prepared commits', [{ kind: 'committed', txid: TXIDS[0]! }]],
  ['a branch is prepared twice', [prepared(0, 'da'), prepared(0, 'db')]],
  ['a branch is refused after its vote', [prepared(0, 'da'), { kind: 'refused', txid: TXIDS[0]!, reason: 'busy' }]],
  ['two in doubt hold the same key', [prepared(0, 'da'), prepared(1, 'da')]],
] as readonly [string, readonly KvRecord[]][])('a log in which %s is refused', async (_, records) => {
  const { kv, disk } = await fresh()
  await kv.close()
  const identity = { clusterId: parseClusterId('trips'), nodeId: parseNodeId(1) }
  const place = { disk, directory: '/kv/log', identity, segmentBytesMax: 8192 }
  const wal = await Wal.open({ ...place, onRecord: () => {}, onFailure: () => {} })
  wal.append(records.map(encodeRecord), () => {})
  await wal.close()
  await expect(restarted(disk)).rejects.toThrow(KvLogMalformedError)
})

function prepared(index: number, key: string): KvRecord {
  const locks = [{ span: keySpan(key), mode: 'exclusive' as const }]
  const row = { txid: TXIDS[index]!, branch: parseBranchId(0), preparedAtMs: 1, locks, effects: [] }
  return { kind: 'prepared', row }
}
