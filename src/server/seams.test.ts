import { afterEach, expect, test } from 'vitest'
import { parseClusterId, parseNodeId, sleep, systemClock } from '../base/index.ts'
import { memoryNetwork } from '../transport/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { configSchema, type ServerConfig } from './config.ts'
import { ConfigError } from './config-error.ts'
import type { ServerSeams } from './seams.ts'
import { CoordinatorServer } from './server.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const servers: CoordinatorServer[] = []

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()))
})

function configOf(node: number): ServerConfig {
  const members = [1, 2, 3].map((id) => ({ id, address: `10.0.0.${id}:740${id}` }))
  return configSchema.parse({ cluster: 'trips', node, data: '/data', members })
}

/** Counts up: two runs with the same start draw the same. */
function counting(start: number): (bytes: Uint8Array) => void {
  let next = start
  return (bytes) => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = next++
  }
}

async function startThree(): Promise<readonly CoordinatorServer[]> {
  const network = memoryNetwork()
  for (const node of [1, 2, 3]) {
    const seams: Partial<ServerSeams> = {
      network,
      disk: new MemoryDisk(),
      randomFill: counting(node * 64),
      resources: [],
      residentBytes: () => 4711,
    }
    servers.push(await CoordinatorServer.start(configOf(node), silent, seams))
  }
  return servers
}

test('a fleet runs on the disk, the network and the randomness that it is given', async () => {
  const [one] = await startThree()
  while (!servers.some((server) => server.status().serving)) await sleep(systemClock, 5)
  expect(one?.status()).toMatchObject({ cluster: parseClusterId('trips'), residentBytes: 4711 })
  expect(one?.replica.identity()).toMatchObject({
    nodeId: parseNodeId(1),
    storeId: expect.stringMatching(/^[0-9a-f]{32}$/),
  })
})

test('the same randomness makes the same directory', async () => {
  const storeIds = async () => (await startThree()).map(({ replica }) => replica.identity().storeId)
  const first = await storeIds()
  await Promise.all(servers.splice(0).map((server) => server.stop()))
  expect(await storeIds()).toEqual(first)
})

test('without TLS only loopback is listened on, unless the network is given', async () => {
  await expect(CoordinatorServer.start(configOf(1), silent, { disk: new MemoryDisk() })).rejects.toThrow(ConfigError)
})
