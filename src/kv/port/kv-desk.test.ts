import { beforeEach, expect, test } from 'vitest'
import { formatBranchTicket, parseBranchId, parseClusterId, type Txid } from '../../base/index.ts'
import { TXIDS, txidOf } from '../../base/txids.support.ts'
import { MemoryDisk } from '../../wal/index.ts'
import { DiskStore } from '../engine/disk-store.ts'
import { KvStoreFailedError } from '../engine/errors.ts'
import { fresh, isPending, openOn, settle, type TestParticipant } from '../engine/participant.support.ts'
import type { KvAnswer, KvRequest, KvStatement } from '../wire/index.ts'
import { AnswerRoom } from './answer-room.ts'
import { KvDesk } from './kv-desk.ts'
import { AnswerLostError, type KvSession } from './kv-session.ts'
import { KV_PORT_LIMITS, type KvPortLimits } from './options.ts'

const [A, B, C] = TXIDS as [Txid, Txid, Txid]
const clusterId = parseClusterId('trips')

let at: TestParticipant
let desk: KvDesk
let one: KvSession
let two: KvSession

function makeDesk(limits: Partial<KvPortLimits> = {}): KvDesk {
  const { kv, clock } = at
  const status = () => ({ well: true })
  return new KvDesk({ kv, name: 'stock', clusterId, clock, limits: { ...KV_PORT_LIMITS, ...limits }, status })
}

beforeEach(async () => {
  at = await fresh({ rules: [{ kind: 'notBelowZero', prefix: 'n/' }] })
  desk = makeDesk()
  ;[one, two] = [desk.enter(), desk.enter()]
})

function ticketOf(txid: Txid, change: { cluster?: string; participant?: string; timeoutMs?: number } = {}): string {
  const { cluster = 'trips', participant = 'stock', timeoutMs = 5_000 } = change
  return formatBranchTicket({
    cluster: parseClusterId(cluster),
    txid,
    branch: parseBranchId(3),
    participant,
    timeoutMs,
  })
}

function call(session: KvSession, request: KvRequest): Promise<KvAnswer> {
  return session.call(request, 10)
}

function begin(session: KvSession, txid: Txid, timeoutMs = 5_000): Promise<KvAnswer> {
  return call(session, { kind: 'begin', ticket: ticketOf(txid, { timeoutMs }) })
}

function work(session: KvSession, txid: Txid, statement: KvStatement): Promise<KvAnswer> {
  return call(session, { kind: 'work', txid, statement })
}

const put = (key: string, value: string | number): KvStatement => ({ kind: 'put', key, value })
const get = (key: string): KvStatement => ({ kind: 'get', key })
const done = { kind: 'done' }
const lost = { kind: 'refused', code: 'KV_BRANCH_LOST', retryable: true }

test('a branch takes every statement, several at a time, and its PREPARE finds what they did', async () => {
  expect(await begin(one, A)).toEqual(done)
  const answers = await Promise.all([
    work(one, A, put('a', 1)),
    work(one, A, { kind: 'add', key: 'b', amount: 2 }),
    work(one, A, { kind: 'compareAndSet', key: 'c', expected: undefined, value: 'new' }),
    work(one, A, { kind: 'delete', key: 'd' }),
    work(one, A, get('a')),
    work(one, A, { kind: 'scan', from: undefined, to: undefined, prefix: 'b', limit: 5 }),
  ])
  expect(answers).toEqual([
    done,
    { kind: 'value', value: 2 },
    { kind: 'flag', flag: true },
    done,
    { kind: 'value', value: 1 },
    { kind: 'page', entries: [{ key: 'b', value: 2 }], next: undefined },
  ])
  expect(desk.open(A)?.branchId).toBe(3)
  expect(await at.kv.prepare(A)).toEqual({ kind: 'commit' })
})

test('a ticket for somebody else, a second branch of a transaction, and work of another connection are refused', async () => {
  const foreign = { kind: 'refused', code: 'BRANCH_WRONG_TICKET' }
  expect(await call(one, { kind: 'begin', ticket: ticketOf(A, { participant: 'other' }) })).toMatchObject(foreign)
  expect(await call(one, { kind: 'begin', ticket: ticketOf(A, { cluster: 'else' }) })).toMatchObject(foreign)
  expect(await call(one, { kind: 'begin', ticket: 'nonsense' })).toMatchObject({ code: 'MALFORMED_ID' })
  await begin(one, A)
  expect(await begin(two, A)).toMatchObject({ kind: 'refused', code: 'KV_INVALID' })
  expect(await work(two, A, put('a', 1))).toMatchObject(lost)
  expect(await call(two, { kind: 'commit', txid: A })).toMatchObject(lost)
  expect(await call(two, { kind: 'abort', txid: A })).toMatchObject(lost)
  expect(await call(two, { kind: 'alone', txid: A, statement: put('a', 1) })).toMatchObject({ code: 'KV_INVALID' })
  expect(await work(one, A, get('a'))).toEqual({ kind: 'value', value: undefined })
})

test('the end of a connection rolls its branches back at once, and a PREPARE afterwards is refused', async () => {
  await begin(one, A)
  await work(one, A, put('a', 1))
  const reading = call(two, { kind: 'alone', txid: B, statement: get('a') })
  expect(await isPending(reading)).toBe(true)
  one.end()
  expect(await reading).toEqual({ kind: 'value', value: undefined })
  expect(await at.kv.prepare(A)).toMatchObject({ kind: 'abort' })
  expect(desk.openCount).toBe(0)
  expect(await call(two, { kind: 'explain', txid: A })).toMatchObject(lost)
})

test('P4: from its vote on a branch is not the application’s: neither its end nor its abort touches it', async () => {
  await begin(one, A)
  await work(one, A, put('a', 1))
  const voting = at.kv.prepare(A)
  await Promise.resolve()
  one.end()
  expect(await voting).toEqual({ kind: 'commit' })
  expect(desk.abort(A, 'too late')).toBe(false)
  expect(await call(two, { kind: 'settle', txid: A })).toEqual({ kind: 'outcome', outcome: 'unknown' })
  expect(at.kv.inDoubt()).toHaveLength(1)
  expect(await at.kv.commit(A)).toEqual(done)
})

test('P4: while its vote is being written a branch is the coordinators’ already', async () => {
  let held: (() => void)[] | undefined
  const delayWrite = (complete: () => void): void => {
    if (held === undefined) queueMicrotask(complete)
    else held.push(complete)
  }
  for (const end of ['commit', 'abort'] as const) {
    held = undefined
    at = await fresh({}, { delayWrite })
    desk = makeDesk()
    one = desk.enter()
    await begin(one, A)
    await work(one, A, put('a', 1))
    held = []
    const voting = at.kv.prepare(A)
    await settle()
    const ending = call(one, { kind: end, txid: A }).catch((error: unknown) => error)
    await settle()
    for (const complete of held.splice(0)) complete()
    held = undefined
    expect(await voting).toEqual({ kind: 'commit' })
    // A refused commit would be taken for an abort.
    if (end === 'commit') expect(await ending).toBeInstanceOf(AnswerLostError)
    else expect(await ending).toMatchObject({ kind: 'refused', code: 'KV_TRANSACTION_ENDED', retryable: false })
    expect(at.kv.inDoubt()).toMatchObject([{ txid: A }])
    expect(await call(one, { kind: 'settle', txid: A })).toEqual({ kind: 'outcome', outcome: 'unknown' })
  }
})

test('a branch that nobody asks for its vote is rolled back when its time and the slack are over, and not before', async () => {
  await begin(one, A, 1_000)
  await work(one, A, put('a', 1))
  at.clock.advance(1_000 + KV_PORT_LIMITS.slackMs - 1)
  expect(desk.openCount).toBe(1)
  at.clock.advance(501)
  expect(desk.openCount).toBe(0)
  expect(await work(one, A, put('a', 2))).toMatchObject(lost)
  expect(await at.kv.prepare(A)).toMatchObject({ kind: 'abort' })
})

test('requests are bounded in number and in bytes, and a branch that lost a statement by it can only abort', async () => {
  desk = makeDesk({ callsMax: 2, callBytesMax: 100, branchesMax: 2 })
  ;[one, two] = [desk.enter(), desk.enter()]
  await begin(one, A)
  await begin(two, B)
  expect(await begin(two, C)).toMatchObject({ kind: 'refused', code: 'KV_BUSY', retryable: true })
  await work(two, B, put('held', 1))
  const waiting = [work(one, A, get('held')), work(one, A, get('held'))]
  expect(await work(one, A, put('x', 1))).toMatchObject({ kind: 'refused', code: 'KV_BUSY', retryable: true })
  expect(await Promise.all(waiting)).toMatchObject([{ code: 'KV_BRANCH_ENDED' }, { code: 'KV_BRANCH_ENDED' }])
  expect(await at.kv.prepare(A)).toMatchObject({ kind: 'abort' })
  expect(await two.call({ kind: 'work', txid: B, statement: put('y', 1) }, 101)).toMatchObject({ code: 'KV_BUSY' })
  expect(await at.kv.prepare(B)).toMatchObject({ kind: 'abort' })
})

test('P7: who waits does not keep out the commit or the abort that it waits for', async () => {
  desk = makeDesk({ callsMax: 2, callBytesMax: 100 })
  one = desk.enter()
  for (const end of ['commit', 'abort'] as const) {
    const [holder, ...waiters] = [A, B, C].map((_, index) => txidOf(index + (end === 'commit' ? 0 : 3)))
    for (const txid of [holder!, ...waiters]) await begin(one, txid)
    await work(one, holder!, put('hot', 1))
    const waiting = waiters.map((txid) => one.call({ kind: 'work', txid, statement: get('hot') }, 50))
    await settle()
    expect(await one.call({ kind: end, txid: holder! }, 30)).toEqual(done)
    expect(await Promise.all(waiting)).toEqual([
      { kind: 'value', value: 1 },
      { kind: 'value', value: 1 },
    ])
    for (const txid of waiters) expect(await call(one, { kind: 'abort', txid })).toEqual(done)
  }
  expect(at.kv.transactions).toBe(0)
})

test('P7: a reader whose answers nobody takes loses its branch, and with it its locks', async () => {
  await begin(one, A)
  await work(one, A, put('a', 1))
  const room = new AnswerRoom(at.clock, () => 16 * 1024 * 1024)
  const reading = one.call({ kind: 'work', txid: A, statement: get('b') }, 10, room.place().enter)
  const alone = two.call({ kind: 'alone', txid: B, statement: get('c') }, 10, room.place().enter)
  expect(await isPending(reading)).toBe(true)
  at.clock.advance(5_000)
  expect(await reading).toMatchObject({ kind: 'refused', code: 'KV_BUSY', retryable: true })
  expect(await alone).toMatchObject({ kind: 'refused', code: 'KV_BUSY' })
  expect(at.kv.transactions).toBe(0)
  expect(await at.kv.prepare(A)).toMatchObject({ kind: 'abort', reason: 'poisoned' })
})

/** A participant whose store fails for one key. */
async function withBadKey(error: Error): Promise<void> {
  const disk = new MemoryDisk()
  const store = await DiskStore.open(disk)
  const read = store.get.bind(store)
  store.get = (key) => {
    if (key === 'dbad') throw error
    return read(key)
  }
  at = await openOn(disk, { store })
  desk = makeDesk()
  one = desk.enter()
}

test('P7: a commit that fails before anything is written is an abort, and leaves no lock', async () => {
  await withBadKey(new Error('no such page'))
  await begin(one, A)
  await work(one, A, put('bad', 1))
  expect(await call(one, { kind: 'commit', txid: A })).toMatchObject({ kind: 'refused', code: 'INTERNAL' })
  expect([at.kv.transactions, desk.openCount, at.failures]).toEqual([0, 0, []])
  expect(await call(one, { kind: 'settle', txid: A })).toEqual({ kind: 'outcome', outcome: 'aborted' })
})

test('a value that does not read back stops the participant, whoever comes upon it', async () => {
  const damaged = new KvStoreFailedError('the value is damaged')
  for (const request of [
    { kind: 'alone', txid: B, statement: get('bad') },
    { kind: 'commit', txid: A },
  ] as const) {
    await withBadKey(damaged)
    await begin(one, A)
    await work(one, A, put(request.kind === 'commit' ? 'bad' : 'good', 1))
    const answer = await call(one, request).catch((error: unknown) => error)
    if (request.kind === 'commit') expect(answer).toBeInstanceOf(AnswerLostError)
    else expect(answer).toMatchObject({ code: 'KV_STORE_FAILED' })
    expect(at.failures).toEqual([damaged])
    one.end()
    expect(at.kv.transactions).toBe(0)
    expect(() => at.kv.begin(C)).toThrow(KvStoreFailedError)
  }
})

test('ends of transactions are bounded, too; a commit that is refused rolls its branch back', async () => {
  desk = makeDesk({ branchesMax: 2 })
  one = desk.enter()
  await begin(one, A)
  await work(one, A, put('a', 1))
  const asked = [B, C].map((txid) => call(one, { kind: 'settle', txid }))
  expect(await call(one, { kind: 'commit', txid: A })).toMatchObject({ kind: 'refused', code: 'KV_BUSY' })
  expect([desk.openCount, at.kv.transactions]).toEqual([0, 0])
  expect(await Promise.all(asked)).toMatchObject([{ outcome: 'aborted' }, { outcome: 'aborted' }])
})

test('a statement alone is a transaction: constraints refuse it, and a compare-and-set answers what it found', async () => {
  const alone = (txid: Txid, statement: KvStatement) => call(one, { kind: 'alone', txid, statement })
  expect(await alone(A, put('n/1', -1))).toMatchObject({ kind: 'refused', code: 'KV_CONSTRAINT', retryable: false })
  expect(await alone(B, put('n/1', 5))).toEqual(done)
  const set = { kind: 'compareAndSet', key: 'n/1', expected: 4, value: 6 } as const
  expect(await alone(C, set)).toEqual({ kind: 'flag', flag: false })
  expect(await alone(TXIDS[3]!, { ...set, expected: 5 })).toEqual({ kind: 'flag', flag: true })
  expect(await alone(TXIDS[4]!, get('n/1'))).toEqual({ kind: 'value', value: 6 })
  expect([desk.openCount, at.kv.transactions]).toEqual([0, 0])
})

test('who lost an answer can ask: committed, or never from now on', async () => {
  await begin(one, A)
  await work(one, A, put('a', 1))
  expect(await call(one, { kind: 'commit', txid: A })).toEqual(done)
  const ask = (txid: Txid) => call(two, { kind: 'settle', txid })
  expect(await ask(A)).toEqual({ kind: 'outcome', outcome: 'committed' })
  await begin(one, B)
  await work(one, B, put('b', 1))
  expect(await ask(B)).toEqual({ kind: 'outcome', outcome: 'aborted' })
  expect(await call(one, { kind: 'commit', txid: B })).toMatchObject(lost)
  expect(await ask(C)).toEqual({ kind: 'outcome', outcome: 'aborted' })
  expect(await call(one, { kind: 'alone', txid: C, statement: put('c', 1) })).toMatchObject({
    code: 'KV_TRANSACTION_ENDED',
  })
})

test('statements of a branch are carried out in their order; one that still waits at the commit makes it abort', async () => {
  await begin(one, A)
  const [, first, , second] = await Promise.all([
    work(one, A, put('a', 1)),
    work(one, A, get('a')),
    work(one, A, put('a', 2)),
    work(one, A, get('a')),
  ])
  expect([first, second]).toEqual([
    { kind: 'value', value: 1 },
    { kind: 'value', value: 2 },
  ])
  await begin(two, B)
  await work(two, B, put('b', 1))
  const waiting = work(one, A, get('b'))
  expect(await call(one, { kind: 'commit', txid: A })).toMatchObject({ kind: 'refused', code: 'KV_BRANCH_LOST' })
  expect(await waiting).toMatchObject({ kind: 'refused', code: 'KV_BRANCH_ENDED' })
  expect(at.kv.evidence(A)).toBe('aborted')
})

test('a deadlock fails the younger with its own code, and its abort leaves nothing', async () => {
  await begin(one, A)
  await begin(two, B)
  await work(one, A, put('a', 1))
  await work(two, B, put('b', 1))
  const older = work(one, A, put('b', 2))
  expect(await work(two, B, put('a', 2))).toMatchObject({ kind: 'refused', code: 'KV_DEADLOCK', retryable: true })
  expect(await older).toEqual(done)
  expect(await call(two, { kind: 'abort', txid: B })).toEqual(done)
})

test('a page ends before it would outgrow a frame', async () => {
  at = await fresh({ branchBytesMax: 3_000_000, segmentBytesMax: 16 * 1024 * 1024, checkpointBytes: 64 * 1024 * 1024 })
  desk = makeDesk()
  one = desk.enter()
  const big = 'x'.repeat(400_000)
  for (const [index, key] of ['a', 'b', 'c', 'd', 'e'].entries()) {
    expect(await call(one, { kind: 'alone', txid: TXIDS[index]!, statement: put(key, big) })).toEqual(done)
  }
  const scan = { kind: 'scan', from: undefined, to: undefined, prefix: undefined, limit: undefined } as const
  const page = await call(one, { kind: 'alone', txid: TXIDS[5]!, statement: scan })
  expect(page).toMatchObject({ kind: 'page', next: 'd' })
})

test('closing rolls back what has not voted, and takes nothing new; what has voted stays in doubt', async () => {
  await begin(one, A)
  await work(one, A, put('a', 1))
  await begin(one, B)
  await work(one, B, put('b', 1))
  await at.kv.prepare(B)
  desk.close()
  expect(await begin(one, C)).toMatchObject({ kind: 'refused', code: 'KV_BUSY' })
  await settle()
  expect(at.kv.inDoubt().map(({ txid }) => txid)).toEqual([B])
  expect(await at.kv.prepare(A)).toMatchObject({ kind: 'abort' })
})
