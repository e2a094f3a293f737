import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseClusterId, systemClock } from '../../base/index.ts'
import { TXIDS, txidOf } from '../../base/txids.support.ts'
import { memoryNetwork } from '../../transport/index.ts'
import { fresh, settle, type TestParticipant } from '../engine/participant.support.ts'
import { KV_PORT_LIMITS, KvDesk, KvPort } from '../port/index.ts'
import { KeyValueStore } from './key-value-store.ts'
import { type KvChannel, LineLostError } from './line.ts'
import { LocalChannel } from './local-channel.ts'
import { RemoteChannel } from './remote-channel.ts'

const PORT = 7500
const clusterId = parseClusterId('trips')
const shared = { name: 'stock', clusterId, clock: systemClock }

let at: TestParticipant
let desk: KvDesk
let port: KvPort
let network: ReturnType<typeof memoryNetwork>

beforeEach(async () => {
  at = await fresh()
  network = memoryNetwork()
  desk = new KvDesk({ ...shared, kv: at.kv, limits: KV_PORT_LIMITS, status: () => ({}) })
  const place = { network, host: 'kv', port: PORT, tls: undefined }
  const logger = { info() {}, warn() {} }
  port = await KvPort.open({ ...shared, ...place, desk, incarnation: 1, storeId: 's', logger })
})
afterEach(async () => {
  desk.close()
  await port.close()
})

function storeOver(channel: KvChannel, timeoutMs = 5_000): KeyValueStore {
  return new KeyValueStore({ name: 'stock', address: 'kv', channel, timeoutMs, settleMs: 1_000 })
}

const channels: [string, () => KvChannel][] = [
  [
    'over the network',
    () => new RemoteChannel({ name: 'stock', host: 'kv', port: PORT, tls: undefined, clusterId, network }),
  ],
  ['in the same process', () => new LocalChannel('stock', desk.enter())],
]

describe.each(channels)('a store %s that was closed', (_, open) => {
  test('says so to every call, at once, and nothing is sent', async () => {
    const store = storeOver(open())
    await store.put('a', 1)
    await store.close()
    const begunMs = performance.now()
    const ticket = { cluster: clusterId, txid: TXIDS[0]!, branch: 0 as never, timeoutMs: 5_000 }
    const calls = [
      () => store.get('a'),
      () => store.scan(),
      () => store.put('a', 2),
      () => store.delete('a'),
      () => store.compareAndSet('a', 1, 2),
      () => store.begin(ticket, new AbortController().signal),
    ]
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({ code: 'KV_CLOSED', retryable: false, participant: 'stock' })
    }
    expect(await store.settle(TXIDS[0]!, 5_000)).toBe('unknown')
    expect(performance.now() - begunMs).toBeLessThan(1_000)
    expect(await at.kv.get('a')).toBe(1)
    await store.close()
  })

  test('tells whoever waits for an answer of a read that it was closed', async () => {
    await at.kv.begin(txidOf(0)).put('held', 1)
    const store = storeOver(open())
    const reading = store.get('held').catch((error: unknown) => error)
    await settle()
    await store.close()
    expect(await reading).toMatchObject({ code: 'KV_CLOSED' })
  })
})

test('a read whose line is lost again and again ends in time', async () => {
  const line = { isOpen: true, call: () => Promise.reject(new LineLostError('it was lost')) }
  const store = storeOver({ line: async () => line, close: async () => {} }, 100)
  await expect(store.get('a')).rejects.toMatchObject({ code: 'KV_UNAVAILABLE', retryable: true })
})
