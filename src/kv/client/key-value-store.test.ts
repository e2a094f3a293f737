import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeTxid, parseBranchId, parseClusterId, sleep, systemClock, type Txid } from '../../base/index.ts'
import { type MemoryNetwork, memoryNetwork } from '../../transport/index.ts'
import { fresh, type TestParticipant } from '../engine/participant.support.ts'
import { KV_PORT_LIMITS, KvDesk, KvPort } from '../port/index.ts'
import type { KvError } from './errors.ts'
import type { KeyValueBranch } from './key-value-branch.ts'
import { KeyValueStore } from './key-value-store.ts'
import { kv as kvOf } from './kv.ts'
import { RemoteChannel } from './remote-channel.ts'

const PORT = 7500
/** Each way takes so long: there is time to break it between the commit and its answer. */
const DELAY_MS = 100
const clusterId = parseClusterId('trips')
const silent = { info() {}, warn() {} }

let at: TestParticipant
let network: MemoryNetwork
let desk: KvDesk
let port: KvPort
let store: KeyValueStore

async function openPort(): Promise<void> {
  const shared = { name: 'stock', clusterId, clock: systemClock }
  desk = new KvDesk({ ...shared, kv: at.kv, limits: KV_PORT_LIMITS, status: () => ({}) })
  const place = { network, host: 'kv', port: PORT, tls: undefined }
  port = await KvPort.open({ ...shared, ...place, desk, incarnation: 1, storeId: 's', logger: silent })
}

function storeOf(name: string, timeoutMs = 5_000, settleMs = 5_000): KeyValueStore {
  const channel = new RemoteChannel({ name, host: 'kv', port: PORT, tls: undefined, clusterId: undefined, network })
  return new KeyValueStore({ name, address: `kv:${PORT}`, channel, timeoutMs, settleMs })
}

beforeEach(async () => {
  at = await fresh()
  network = memoryNetwork({ delayMs: DELAY_MS, clock: systemClock })
  await openPort()
  store = storeOf('stock')
})
afterEach(async () => {
  await store.close()
  desk.close()
  await port.close()
})

async function failure(work: Promise<unknown>): Promise<KvError> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error as KvError,
  )
}

function begin(): Promise<KeyValueBranch> {
  const txid = makeTxid(Date.now(), crypto.getRandomValues(new Uint8Array(10))) as Txid
  const ticket = { cluster: clusterId, txid, branch: parseBranchId(0), timeoutMs: 5_000 }
  return store.begin(ticket, new AbortController().signal)
}

/** Breaks the connection when the participant has the value, and the answer is still on its way. */
async function loseTheAnswer(key: string): Promise<void> {
  await expect.poll(() => at.kv.get(key), { interval: 1 }).toBeDefined()
  network.reset(PORT)
}

test('a write whose answer is lost is asked about, and is known to be done', async () => {
  const [done] = await Promise.all([store.put('a', 1), loseTheAnswer('a')])
  expect(done).toBeUndefined()
  const [isSet] = await Promise.all([store.compareAndSet('b', undefined, 'x'), loseTheAnswer('b')])
  expect(isSet).toBe(true)
})

test('a write that did not arrive is known to have left nothing, and never does so later', async () => {
  await store.get('a')
  const writing = failure(store.put('a', 1))
  network.reset(PORT)
  expect(await writing).toMatchObject({ code: 'KV_BRANCH_LOST', retryable: true })
  expect(await store.get('a')).toBeUndefined()
})

test('when nobody can be asked, neither success nor failure is claimed', async () => {
  store = storeOf('stock', 1_000, 300)
  const writing = failure(store.put('a', 1))
  await loseTheAnswer('a')
  await port.close()
  const error = await writing
  expect(error).toMatchObject({ code: 'KV_OUTCOME_UNKNOWN', retryable: false })
  expect(at.kv.evidence(error.txid ?? '')).toBe('committed')
})

test('a read goes on over a new connection', async () => {
  await store.put('a', 1)
  const reading = store.get('a')
  network.reset(PORT)
  expect(await reading).toBe(1)
})

test('a branch ends with its connection, at both ends, and its next call says so', async () => {
  const branch = await begin()
  await branch.put('a', 1)
  expect(desk.openCount).toBe(1)
  network.reset(PORT)
  await expect.poll(() => desk.openCount).toBe(0)
  expect(branch.poisonedBy).toMatchObject({ code: 'KV_BRANCH_LOST', retryable: true })
  expect(await failure(branch.get('a'))).toMatchObject({ code: 'KV_BRANCH_ENDED', cause: { code: 'KV_BRANCH_LOST' } })
  expect(await branch.abort()).toBe(true)
  const other = await begin()
  const asking = failure(other.get('a'))
  network.reset(PORT)
  expect(await asking).toMatchObject({ code: 'KV_BRANCH_LOST', retryable: true })
})

test('a one-phase commit whose answer is lost is asked about', async () => {
  const branch = await begin()
  await branch.put('a', 1)
  const [end] = await Promise.all([store.commitOnePhase(branch, 5_000), loseTheAnswer('a')])
  expect(end).toEqual({ kind: 'committed' })
  const late = await begin()
  await late.put('b', 1)
  const ending = store.commitOnePhase(late, 5_000)
  network.reset(PORT)
  expect(await ending).toMatchObject({ kind: 'aborted', cause: { code: 'KV_BRANCH_LOST', retryable: true } })
  expect(await at.kv.get('b')).toBeUndefined()
})

test('another participant, and none at all, are told at once or in time', async () => {
  const other = storeOf('money')
  const elsewhere = await failure(other.get('a'))
  expect(elsewhere).toMatchObject({ code: 'KV_UNAVAILABLE', retryable: false })
  expect(elsewhere.message).toMatch(/can't be reached .*WRONG_PARTICIPANT: this is the key-value participant stock/)
  await other.close()
  await port.close()
  const [begunMs, missing] = [performance.now(), storeOf('stock', 300)]
  expect(await failure(missing.put('a', 1))).toMatchObject({ code: 'KV_UNAVAILABLE', retryable: true })
  expect(performance.now() - begunMs).toBeLessThan(3_000)
  const waiting = failure(missing.get('a'))
  await missing.close()
  expect(await waiting).toMatchObject({ code: 'KV_CLOSED' })
  expect(await failure(missing.get('a'))).toMatchObject({ code: 'KV_CLOSED' })
})

test('a participant that starts anew is found by whoever waits for it', async () => {
  await port.close()
  const reading = store.get('a')
  await sleep(systemClock, 300)
  await openPort()
  expect(await reading).toBeUndefined()
})

test('mistakes of the caller are found before anything is sent', async () => {
  const branch = await begin()
  expect(await failure(branch.put('', 1))).toMatchObject({ code: 'KV_INVALID' })
  for (const wrong of [
    store.put('k', Number.NaN),
    store.get('\ud800'),
    store.scan({ limit: 0 }),
    store.put('k', new Uint8Array(1024 * 1024)),
  ]) {
    expect(await failure(wrong)).toMatchObject({ code: 'KV_INVALID' })
  }
})

test('options of kv() are checked, and the message names the key', () => {
  const right = { name: 'stock', address: '127.0.0.1:7500' }
  const wrong: [object, RegExp][] = [
    [{ ...right, name: 'a b' }, /option name/],
    [{ ...right, address: 'nowhere' }, /option address/],
    [{ ...right, adress: 'x' }, /option adress .*left out/],
    [{ ...right, timeoutMs: 0 }, /option timeoutMs/],
    [{ ...right, clusterId: 'not a cluster' }, /option clusterId/],
    [{ ...right, tls: 'yes' }, /option tls/],
  ]
  for (const [options, message] of wrong) expect(() => kvOf(options as never)).toThrow(message)
})
