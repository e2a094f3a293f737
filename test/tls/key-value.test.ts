import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Concordat } from '../../src/client/index.ts'
import { type KeyValueStore, kv } from '../../src/kv/index.ts'
import { KvProcess } from '../participants/key-value.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { concordat, root } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

const fixture = (name: string): string => join(root, 'src/transport/fixtures', name)
const pem = (name: string): Buffer => readFileSync(fixture(name))

test('under mutual TLS a participant works for those whom the fleet’s authority signed, and for nobody else', async () => {
  const config = { tls: { key: fixture('node-key.pem'), cert: fixture('node.pem'), ca: fixture('authority.pem') } }
  const fleet = await Fleet.prepare({ config: { ...config, participants: ['accounts'] } })
  fleet.startAll()
  const flags = ['ca', 'authority', 'cert', 'client', 'key', 'client-key']
  const signed = [0, 2, 4].flatMap((at) => [`--tls-${flags[at]}`, fixture(`${flags[at + 1]}.pem`)])
  const accounts = await KvProcess.start(fleet, 'accounts', config, signed)
  const tls = { ca: pem('authority.pem'), cert: pem('client.pem'), key: pem('client-key.pem') }
  const coordinators = ['status', '--coordinators', fleet.addresses.join(','), ...signed]
  await until('the leader knows it', async () => /accounts +1/.test((await concordat(coordinators)).stdout))

  const storeOf = (given: object): KeyValueStore => {
    const store = kv({ name: 'accounts', address: accounts.address, timeoutMs: 2_000, ...given })
    onTestFinished(() => store.close())
    return store
  }
  await using application = new Concordat({ coordinators: fleet.addresses, tls })
  const [store, other] = [storeOf({ tls }), storeOf({ tls, clusterId: 'else' })]
  await application.transaction(async (tx) => (await tx.enlist(store)).put('a', 1))
  expect(await store.get('a')).toBe(1)
  await expect(other.get('a')).rejects.toThrow('WRONG_CLUSTER')
  await expect(storeOf({}).get('a')).rejects.toMatchObject({ code: 'KV_UNAVAILABLE' })
  const foreign = { ca: pem('authority.pem'), cert: pem('foreign.pem'), key: pem('foreign-key.pem') }
  await expect(storeOf({ tls: foreign }).get('a')).rejects.toMatchObject({ code: 'KV_UNAVAILABLE' })
  expect((await concordat(['participant', 'status', '--address', accounts.address])).code).toBe(3)
})
