import { expect, test } from 'vitest'
import { TXIDS } from '../../base/txids.support.ts'
import { KvBranchEndedError, KvDeadlockError, KvLockTimeoutError, KvTransactionEndedError } from './errors.ts'
import type { KvParticipant } from './kv-participant.ts'
import { fresh, isPending, restarted, settle } from './participant.support.ts'

const [T0, T1, T2, T3] = TXIDS as unknown as [string, string, string, string]
const DONE = { kind: 'done' }

/** Puts and commits, in one transaction. */
async function given(kv: KvParticipant, txid: string, values: Record<string, string | number>): Promise<void> {
  const branch = kv.begin(txid)
  for (const [key, value] of Object.entries(values)) await branch.put(key, value)
  expect(await kv.prepare(txid)).toEqual({ kind: 'commit' })
  expect(await kv.commit(txid)).toEqual(DONE)
}

test('what a branch writes is seen by itself at once, and by others after the commit', async () => {
  const { kv } = await fresh()
  const branch = kv.begin(T0)
  await branch.put('a', 'text')
  await branch.put('b', 1.5)
  await branch.put('c', Buffer.from([0, 255]))
  await branch.put('d', 'gone')
  await branch.delete('d')
  expect(await branch.get('a')).toBe('text')
  expect(await branch.get('d')).toBeUndefined()
  const outside = kv.get('a')
  expect(await isPending(outside)).toBe(true)
  expect(await kv.prepare(T0)).toEqual({ kind: 'commit' })
  expect(await isPending(outside)).toBe(true)
  expect(await kv.commit(T0)).toEqual(DONE)
  expect(await outside).toBe('text')
  expect(await kv.get('b')).toBe(1.5)
  expect(await kv.get('c')).toEqual(new Uint8Array([0, 255]))
  expect(await kv.get('d')).toBeUndefined()
  expect(kv.transactions).toBe(0)
})

test('an abort leaves nothing, before the vote and after it', async () => {
  const { kv } = await fresh()
  await kv.begin(T0).put('a', 1)
  expect(await kv.abort(T0)).toEqual(DONE)
  await kv.begin(T1).put('a', 2)
  await kv.prepare(T1)
  expect(await kv.abort(T1)).toEqual(DONE)
  expect(await kv.get('a')).toBeUndefined()
  expect([kv.evidence(T0), kv.evidence(T1), kv.evidence(T2)]).toEqual(['aborted', 'aborted', 'none'])
  expect(kv.transactions).toBe(0)
})

test('a scan sees committed and own keys in the order of their bytes, page by page', async () => {
  const { kv } = await fresh()
  await given(kv, T0, { 'p/1': 1, 'p/2': 2, 'p/é': 3, 'p/😀': 4, q: 5 })
  const branch = kv.begin(T1)
  await branch.delete('p/2')
  await branch.put('p/\uffff', 6)
  const keys = async (options: Parameters<typeof branch.scan>[0]): Promise<string[]> =>
    (await branch.scan(options)).entries.map(({ key }) => key)
  // U+FFFF comes after U+1F600 in UTF-16, and before it in UTF-8.
  expect(await keys({ prefix: 'p/' })).toEqual(['p/1', 'p/é', 'p/\uffff', 'p/😀'])
  expect(await keys({ from: 'p/2', to: 'q' })).toEqual(['p/é', 'p/\uffff', 'p/😀'])
  expect(await keys({ from: 'z', to: 'a' })).toEqual([])
  expect(await keys({})).toEqual(['p/1', 'p/é', 'p/\uffff', 'p/😀', 'q'])
  const page = await branch.scan({ prefix: 'p/', limit: 2 })
  expect(page.next).toBe('p/\uffff')
  expect(page.entries).toEqual([
    { key: 'p/1', value: 1 },
    { key: 'p/é', value: 3 },
  ])
})

test('no phantoms: a key that a scan would have seen is not written until its reader has ended', async () => {
  const { kv } = await fresh()
  await given(kv, T0, { 'p/1': 1 })
  const reader = kv.begin(T1)
  expect((await reader.scan({ prefix: 'p/' })).entries.length).toBe(1)
  const writing = kv.begin(T2).put('p/2', 2)
  expect(await isPending(writing)).toBe(true)
  await kv.begin(T3).put('q', 1)
  expect((await reader.scan({ prefix: 'p/' })).entries.length).toBe(1)
  expect(await kv.prepare(T1)).toEqual({ kind: 'readOnly' })
  await writing
})

test('a repeated PREPARE and a repeated decision get the same answers', async () => {
  const { kv } = await fresh()
  await kv.begin(T0).put('a', 1)
  expect(await Promise.all([kv.prepare(T0), kv.prepare(T0)])).toEqual([{ kind: 'commit' }, { kind: 'commit' }])
  expect(await kv.prepare(T0)).toEqual({ kind: 'commit' })
  expect(await kv.commit(T0)).toEqual(DONE)
  expect(await kv.commit(T0)).toEqual(DONE)
  expect(await kv.prepare(T0)).toEqual({ kind: 'commit' })
  expect(await kv.abort(T0)).toEqual({ kind: 'refused', known: 'committed' })
  await kv.begin(T1).get('a')
  expect([await kv.prepare(T1), await kv.prepare(T1)]).toEqual([{ kind: 'readOnly' }, { kind: 'readOnly' }])
  expect(await kv.commit(T2)).toEqual({ kind: 'refused', known: 'nothing' })
})

test('work or a PREPARE that comes after the abort is refused, also after a restart', async () => {
  const first = await fresh()
  expect(await first.kv.abort(T0)).toEqual(DONE)
  expect(() => first.kv.begin(T0)).toThrow(KvTransactionEndedError)
  const { kv } = await restarted(first.disk)
  expect(() => kv.begin(T0)).toThrow(KvTransactionEndedError)
  expect(await kv.prepare(T0)).toMatchObject({ kind: 'abort', reason: 'abortedBefore' })
  expect(await kv.prepare(T1)).toMatchObject({ kind: 'abort', reason: 'unknown' })
  // Who was told abort once must not hear commit later.
  expect(() => kv.begin(T1)).toThrow(KvTransactionEndedError)
})

test('P4: after a restart a vote to commit still stands, and its locks are held before anything is admitted', async () => {
  const first = await fresh()
  await given(first.kv, T0, { a: 1, b: 1 })
  const branch = first.kv.begin(T1)
  await branch.add('a', 5)
  await branch.scan({ from: 'm', to: 'n' })
  await first.kv.begin(T2).put('b', 2)
  expect(await first.kv.prepare(T1)).toEqual({ kind: 'commit' })

  const { kv } = await restarted(first.disk)
  expect(kv.inDoubt()).toEqual([
    { txid: T1, branch: 0, preparedAtMs: 1_760_000_000_000, keys: 1, locks: 2, blocks: [], blocksCount: 0 },
  ])
  expect(await kv.get('b')).toBe(1)
  const reading = kv.get('a')
  const phantom = kv.begin(T3).put('mm', 1)
  expect(await isPending(reading)).toBe(true)
  expect(await isPending(phantom)).toBe(true)
  expect(kv.inDoubt()[0]?.blocks).toContain(T3)
  expect(await kv.prepare(T1)).toEqual({ kind: 'commit' })
  expect(await kv.prepare(T2)).toMatchObject({ kind: 'abort', reason: 'unknown' })
  expect(await kv.commit(T1)).toEqual(DONE)
  expect(await reading).toBe(6)
  await phantom
  expect(kv.inDoubt()).toEqual([])
})

test('nobody hears a vote, or the end of a commit, before it is on disk', async () => {
  const { kv, disk } = await fresh()
  await kv.begin(T0).put('a', 1)
  const before = disk.operations
  const voting = kv.prepare(T0)
  expect(kv.inDoubt()).toEqual([])
  await voting
  expect(disk.operations).toBeGreaterThan(before)
  const prepared = disk.crash(() => 0)
  expect((await restarted(prepared)).kv.inDoubt().length).toBe(1)
})

test('two that wait for each other: the younger is rolled back at once, and the older goes on', async () => {
  const { kv } = await fresh()
  const older = kv.begin(T0)
  const younger = kv.begin(T1)
  await older.put('a', 1)
  await younger.put('b', 1)
  const olderWaits = older.put('b', 2)
  const error = await younger.put('a', 2).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(KvDeadlockError)
  expect(error).toMatchObject({ code: 'KV_DEADLOCK', retryable: true })
  await olderWaits
  await expect(younger.get('c')).rejects.toThrow(KvBranchEndedError)
  expect(await kv.prepare(T1)).toMatchObject({ kind: 'abort', reason: 'poisoned' })
  expect(await kv.prepare(T0)).toEqual({ kind: 'commit' })
})

test('the younger is the victim also when the older closes the circle, and two upgraders are one', async () => {
  const { kv } = await fresh()
  const older = kv.begin(T0)
  const younger = kv.begin(T1)
  await older.get('a')
  await younger.get('a')
  const upgrade = younger.put('a', 1)
  upgrade.catch(() => undefined)
  await older.put('a', 2)
  await expect(upgrade).rejects.toThrow(KvDeadlockError)
})

test('a branch that ends in the moment in which it gets its lock does no more work', async () => {
  const { kv } = await fresh()
  await given(kv, T2, { a: 1 })
  await kv.begin(T0).put('a', 2)
  await kv.prepare(T0)
  const reading = kv.begin(T1).get('a')
  expect(await isPending(reading)).toBe(true)
  const both = [kv.commit(T0), kv.abort(T1)]
  await expect(reading).rejects.toThrow(KvBranchEndedError)
  expect(await Promise.all(both)).toEqual([DONE, DONE])
})

test('a lock that does not come in time rolls the transaction back, and says who was in the way', async () => {
  const { kv, clock } = await fresh()
  await kv.begin(T0).put('a', 1)
  await kv.prepare(T0)
  const branch = kv.begin(T1)
  await branch.put('b', 1)
  const waiting = branch.get('a')
  waiting.catch(() => undefined)
  await settle()
  clock.advance(999)
  expect(await isPending(waiting)).toBe(true)
  clock.advance(1)
  const error = await waiting.catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(KvLockTimeoutError)
  expect(error).toMatchObject({ code: 'KV_LOCK_TIMEOUT', retryable: true, holders: [T0] })
  expect(await kv.get('b')).toBeUndefined()
  expect(clock.timers).toBeLessThanOrEqual(1)
})

test('any error poisons a branch: it can only abort', async () => {
  const { kv } = await fresh()
  const branch = kv.begin(T0)
  await branch.put('a', 1)
  await expect(branch.put('', 1)).rejects.toMatchObject({ code: 'KV_INVALID' })
  await expect(branch.put('b', 1)).rejects.toThrow(KvBranchEndedError)
  expect(await kv.get('a')).toBeUndefined()
  expect(await kv.prepare(T0)).toMatchObject({ kind: 'abort', reason: 'poisoned' })
})

test('keys, values and limits that cannot be are refused, and say so', async () => {
  const { kv } = await fresh()
  const bad = ['\ud800', 'k'.repeat(1025)]
  for (const [index, key] of bad.entries()) {
    await expect(kv.begin(TXIDS[index]!).get(key)).rejects.toMatchObject({ code: 'KV_INVALID' })
  }
  for (const [index, value] of [Number.NaN, '\udc00', Number.POSITIVE_INFINITY].entries()) {
    await expect(kv.begin(TXIDS[index + 2]!).put('a', value)).rejects.toMatchObject({ code: 'KV_INVALID' })
  }
  await expect(kv.scan({ limit: 0 })).rejects.toMatchObject({ code: 'KV_INVALID' })
  await expect(kv.begin(TXIDS[6]!).put('a', 'x'.repeat(3000))).rejects.toMatchObject({ code: 'KV_BRANCH_TOO_LARGE' })
  expect(() => kv.begin('nonsense')).toThrow(/is not a txid/)
  expect(kv.transactions).toBe(0)
})

test('locks count for a branch’s size, each of them once: a reader of too many keys is refused, and lets go', async () => {
  const { kv } = await fresh({ branchBytesMax: 2000 })
  const often = kv.begin(T0)
  for (let index = 0; index < 200; index++) await often.get('k')
  for (let index = 0; index < 200; index++) await often.add('k', 1)
  expect(await kv.prepare(T0)).toEqual({ kind: 'commit' })
  const reader = kv.begin(T1)
  let read = 0
  const reading = async (): Promise<void> => {
    for (; read < 100_000; read++) await reader.get(`key/${read}`)
  }
  await expect(reading()).rejects.toMatchObject({ code: 'KV_BRANCH_TOO_LARGE' })
  expect(read).toBeGreaterThan(40)
  expect(kv.transactions).toBe(1)
})

test('what all branches hold in memory is bounded; what ends makes room, and what is in doubt keeps it', async () => {
  const sizes = { branchBytesMax: 4_000, openBytesMax: 14_000 }
  const { kv, disk } = await fresh(sizes)
  const value = 'x'.repeat(2_500)
  for (const txid of [T0, T1, T2]) await kv.begin(txid).put(`a/${txid}`, value)
  const busy = { code: 'KV_BUSY', retryable: true }
  await kv.begin(T3).put('b', value)
  await expect(kv.begin(TXIDS[4]!).put('c', 1)).rejects.toMatchObject(busy)
  await expect(kv.get('d')).rejects.toMatchObject(busy)
  expect(kv.rollBack(T3, 'was rolled back')).toBe(true)
  expect(await kv.get('d')).toBeUndefined()
  const last = kv.begin(TXIDS[5]!)
  await last.put('b', value)
  for (const txid of [T0, T1, T2]) expect(await kv.prepare(txid)).toEqual({ kind: 'commit' })
  await expect(kv.get('d')).rejects.toMatchObject(busy)
  await kv.commit(T0)
  expect(await kv.get('d')).toBeUndefined()
  expect(await kv.commitOnePhase(last.txid)).toEqual(DONE)

  const again = (await restarted(disk, { ...sizes, openBytesMax: 4_000 })).kv
  await expect(again.get('d')).rejects.toMatchObject(busy)
  await again.abort(T1)
  expect(await again.get('d')).toBeUndefined()
  expect(await again.commit(T2)).toEqual(DONE)
})

test('a branch that an error ended holds nothing in memory, though its PREPARE is still to come', async () => {
  const { kv } = await fresh({ openBytesMax: 4_000 })
  for (const txid of [T0, T1, T2, T3]) {
    const branch = kv.begin(txid)
    await branch.put('a', 'x'.repeat(1_800))
    await expect(branch.put('', 1)).rejects.toMatchObject({ code: 'KV_INVALID' })
  }
  expect(await kv.get('a')).toBeUndefined()
  expect(await kv.prepare(T0)).toMatchObject({ kind: 'abort', reason: 'poisoned' })
})

test('who is in doubt is listed with some of those who wait for it, and the number of all', async () => {
  const { kv } = await fresh()
  for (const [index, txid] of [T0, T1, T2].entries()) {
    await kv.begin(txid).put(`k${index}`, 1)
    expect(await kv.prepare(txid)).toEqual({ kind: 'commit' })
  }
  const waiting = Array.from({ length: 30 }, () => kv.get('k1'))
  await settle()
  const [first, second, ...more] = kv.inDoubt(2)
  expect([kv.inDoubtCount, more]).toEqual([3, []])
  expect(first).toMatchObject({ txid: T0, blocks: [], blocksCount: 0 })
  expect(second).toMatchObject({ txid: T1, blocksCount: 30 })
  expect(second?.blocks).toHaveLength(20)
  await kv.abort(T1)
  expect(new Set(await Promise.all(waiting))).toEqual(new Set([undefined]))
})

test('a call that nobody awaited at PREPARE makes the branch vote abort', async () => {
  const { kv } = await fresh()
  await kv.begin(T0).put('a', 1)
  const late = kv.begin(T1).get('a')
  late.catch(() => undefined)
  expect(await kv.prepare(T1)).toMatchObject({ kind: 'abort', reason: 'busy' })
  await expect(late).rejects.toThrow(KvBranchEndedError)
})

test('constraints are held against the state at PREPARE, and a violation is remembered', async () => {
  const rules = [
    { kind: 'notBelowZero', prefix: 'stock/' },
    { kind: 'unique', prefix: 'mail/' },
  ] as const
  const first = await fresh({ rules })
  await given(first.kv, T0, { 'stock/7': 1, 'mail/ann': 'a@x' })
  const branch = first.kv.begin(T1)
  expect(await branch.add('stock/7', -2)).toBe(-1)
  expect(await first.kv.prepare(T1)).toMatchObject({ kind: 'abort', reason: 'notBelowZero' })
  await first.kv.begin(T2).put('mail/bob', 'a@x')
  expect(await first.kv.prepare(T2)).toMatchObject({ kind: 'abort', reason: 'unique' })

  const { kv } = await restarted(first.disk, { rules })
  expect(await kv.prepare(T1)).toMatchObject({ kind: 'abort', reason: 'notBelowZero' })
  expect(await kv.get('stock/7')).toBe(1)
  const swap = kv.begin(T3)
  await swap.delete('mail/ann')
  await swap.put('mail/bob', 'a@x')
  expect(await kv.prepare(T3)).toEqual({ kind: 'commit' })
  await kv.commit(T3)
  const again = kv.begin(TXIDS[4]!)
  await again.put('mail/ann', 'a@x')
  expect(await kv.prepare(TXIDS[4]!)).toMatchObject({ kind: 'abort', reason: 'unique' })
  expect(await kv.get('mail/bob')).toBe('a@x')
})

test('two who want the same unique value wait for each other, though their keys differ', async () => {
  const { kv } = await fresh({ rules: [{ kind: 'unique', prefix: 'mail/' }] })
  await kv.begin(T0).put('mail/ann', 'a@x')
  const second = kv.begin(T1).put('mail/bob', 'a@x')
  expect(await isPending(second)).toBe(true)
  await kv.prepare(T0)
  await kv.commit(T0)
  await second
  expect(await kv.prepare(T1)).toMatchObject({ kind: 'abort', reason: 'unique' })
})

test('a compare-and-set that did not find what it expected writes nothing, and the branch votes abort', async () => {
  const { kv } = await fresh()
  const first = kv.begin(T0)
  expect(await first.compareAndSet('seat', undefined, 'ann')).toBe(true)
  expect(await first.compareAndSet('seat', 'ann', 'eve')).toBe(true)
  expect(await kv.commitOnePhase(T0)).toEqual(DONE)
  const second = kv.begin(T1)
  expect(await second.compareAndSet('seat', undefined, 'bob')).toBe(false)
  expect(await kv.prepare(T1)).toMatchObject({ kind: 'abort', reason: 'compareAndSet' })
  expect(await kv.get('seat')).toBe('eve')
})

test('what commits in one phase is seen by nobody before it is on disk: no coordinator would know of it after a crash', async () => {
  let held: (() => void)[] | undefined
  const delayWrite = (complete: () => void): void => {
    if (held === undefined) queueMicrotask(complete)
    else held.push(complete)
  }
  const { kv } = await fresh({}, { delayWrite })
  await settle()
  held = []
  const branch = kv.begin(T0)
  await branch.put('a', 1)
  const committing = kv.commitOnePhase(T0)
  const reading = kv.get('a')
  expect(await isPending(reading)).toBe(true)
  expect(await isPending(committing)).toBe(true)
  for (const complete of held.splice(0)) complete()
  expect(await reading).toBe(1)
  expect(await committing).toEqual(DONE)
})

test('a lone branch commits in one phase, and survives', async () => {
  const first = await fresh()
  await first.kv.begin(T0).put('a', 1)
  expect(await first.kv.commitOnePhase(T0)).toEqual(DONE)
  expect(await first.kv.commitOnePhase(T0)).toEqual(DONE)
  expect(await first.kv.commitOnePhase(T1)).toMatchObject({ kind: 'abort', reason: 'unknown' })
  const { kv } = await restarted(first.disk.crash(() => 0))
  expect(await kv.get('a')).toBe(1)
  expect(kv.inDoubt()).toEqual([])
})

test('closing rolls open branches back, keeps votes, and takes no more work', async () => {
  const { kv, disk } = await fresh()
  await kv.begin(T0).put('a', 1)
  await kv.prepare(T0)
  const waiting = kv.begin(T1).get('a')
  waiting.catch(() => undefined)
  await kv.close()
  await expect(waiting).rejects.toThrow(KvBranchEndedError)
  expect(() => kv.begin(T2)).toThrow(/is closed/)
  expect((await restarted(disk)).kv.inDoubt().map(({ txid }) => txid)).toEqual([T0])
})
