import { expect, onTestFinished, test } from 'vitest'
import { makeTxid, parseBranchId, parseClusterId, systemClock, type Txid } from '../../base/index.ts'
import { memoryNetwork } from '../../transport/index.ts'
import { fresh, settle, type TestParticipant } from '../engine/participant.support.ts'
import { KV_PORT_LIMITS, KvDesk, KvPort } from '../port/index.ts'
import type { KvAnswer, KvRequest } from '../wire/index.ts'
import { KvError } from './errors.ts'
import type { KeyValueBranch } from './key-value-branch.ts'
import { KeyValueStore } from './key-value-store.ts'
import { RemoteChannel } from './remote-channel.ts'

const PORT = 7500
/** As many as one connection takes. */
const CROWD = 1_000
const clusterId = parseClusterId('trips')
const shared = { name: 'stock', clusterId, clock: systemClock }

interface Place {
  readonly at: TestParticipant
  readonly store: KeyValueStore
}

async function overTheNetwork(): Promise<Place> {
  const at = await fresh()
  const network = memoryNetwork()
  const desk = new KvDesk({ ...shared, kv: at.kv, limits: KV_PORT_LIMITS, status: () => ({}) })
  const place = { network, host: 'kv', port: PORT, tls: undefined }
  const logger = { info() {}, warn() {} }
  const port = await KvPort.open({ ...shared, ...place, desk, incarnation: 1, storeId: 's', logger })
  const channel = new RemoteChannel({ name: 'stock', ...place, clusterId })
  onTestFinished(async () => {
    await channel.close()
    desk.close()
    await port.close()
  })
  return { at, store: new KeyValueStore({ name: 'stock', address: 'kv', channel, timeoutMs: 5_000 }) }
}

function begin(store: KeyValueStore): Promise<KeyValueBranch> {
  const txid = makeTxid(Date.now(), crypto.getRandomValues(new Uint8Array(10))) as Txid
  const ticket = { cluster: clusterId, txid, branch: parseBranchId(0), timeoutMs: 30_000 }
  return store.begin(ticket, new AbortController().signal)
}

/** One branch that holds a key, and so many that wait for it. */
async function crowd(store: KeyValueStore, size: number) {
  const holder = await begin(store)
  await holder.put('hot', 1)
  const branches = await Promise.all(Array.from({ length: size }, () => begin(store)))
  const waiting = branches.map((branch) => branch.get('hot').catch((error: unknown) => error))
  await settle()
  return { holder, waiting }
}

test('P7: the commit that a connection full of waiting transactions waits for is carried out', async () => {
  const { store } = await overTheNetwork()
  const { holder, waiting } = await crowd(store, CROWD)
  await expect(store.get('cold')).rejects.toMatchObject({ code: 'KV_BUSY' })
  expect(await store.commitOnePhase(holder, 2_000)).toEqual({ kind: 'committed' })
  expect(new Set(await Promise.all(waiting))).toEqual(new Set([1]))
})

test('P8: a commit that was not sent is an abort, known as such, and its branch is told', async () => {
  const asked: string[] = []
  const busy = new KvError('stock', { code: 'KV_BUSY', message: 'too much', retryable: true })
  const line = {
    isOpen: true,
    call: async ({ kind }: KvRequest): Promise<KvAnswer> => {
      asked.push(kind)
      if (kind === 'commit') throw busy
      return { kind: 'done' }
    },
  }
  const channel = { line: async () => line, close: async () => {} }
  const store = new KeyValueStore({ name: 'stock', address: 'kv', channel, timeoutMs: 5_000 })
  expect(await store.commitOnePhase(await begin(store), 2_000)).toEqual({ kind: 'aborted', cause: busy })
  expect(asked).toEqual(['begin', 'commit', 'abort'])
})

test('P8: a commit after the application closed the store is an abort, for its line ended before', async () => {
  const { at, store } = await overTheNetwork()
  const branch = await begin(store)
  await branch.put('a', 1)
  await store.close()
  const lost = { code: 'KV_BRANCH_LOST', retryable: true }
  expect(await store.commitOnePhase(branch, 2_000)).toMatchObject({ kind: 'aborted', cause: lost })
  await expect.poll(() => at.kv.transactions).toBe(0)
})
