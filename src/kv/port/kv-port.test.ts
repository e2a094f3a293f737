import { afterEach, beforeEach, expect, test } from 'vitest'
import { formatBranchTicket, parseBranchId, parseClusterId, systemClock, type Txid } from '../../base/index.ts'
import { TXIDS } from '../../base/txids.support.ts'
import {
  type Connection,
  dial,
  type Hello,
  type Message,
  memoryNetwork,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  type Welcome,
} from '../../transport/index.ts'
import { fresh, type TestParticipant } from '../engine/participant.support.ts'
import { decodeAnswer, encodeRequest, type KvAnswer, type KvRequest } from '../wire/index.ts'
import { KvDesk } from './kv-desk.ts'
import { KvPort } from './kv-port.ts'
import { KV_PORT_LIMITS } from './options.ts'

const [A] = TXIDS as [Txid]
const PORT = 7500
const clusterId = parseClusterId('trips')
const silent = { info() {}, warn() {} }

let at: TestParticipant
let network: ReturnType<typeof memoryNetwork>
let desk: KvDesk
let port: KvPort

async function open(): Promise<void> {
  const shared = { name: 'stock', clusterId, clock: systemClock }
  desk = new KvDesk({ ...shared, kv: at.kv, limits: KV_PORT_LIMITS, status: () => ({ well: true }) })
  const place = { network, host: 'kv', port: PORT, tls: undefined }
  port = await KvPort.open({ ...shared, ...place, desk, incarnation: 77, storeId: 's', logger: silent })
}

beforeEach(async () => {
  at = await fresh()
  network = memoryNetwork()
  await open()
})
afterEach(async () => {
  desk.close()
  await port.close()
})

/** One application, as the wire shows it. */
class RawApplication {
  readonly got = new Map<number, KvAnswer>()
  readonly connection: Connection
  closed: Error | undefined

  constructor(connection: Connection) {
    this.connection = connection
    connection.onMessage = (message) => {
      if (message.kind === 'kvAnswer') this.got.set(message.requestId, decodeAnswer(message.payload))
    }
    connection.onClose = (reason) => {
      this.closed = reason
    }
  }

  static async connect(change: Partial<Hello> = {}): Promise<RawApplication> {
    const [protocolMajor, protocolMinor] = [PROTOCOL_MAJOR, PROTOCOL_MINOR]
    const said = { kind: 'hello', role: 'kv', clusterId, node: undefined, name: 'stock' } as const
    const hello = { ...said, protocolMajor, protocolMinor, ...change }
    return new RawApplication(await dial({ network, host: 'kv', port: PORT, hello, clock: systemClock }))
  }

  send(requestId: number, request: KvRequest): void {
    this.connection.send({ kind: 'kvCall', requestId, payload: encodeRequest(request) })
  }
}

function ticket(): string {
  const branch = parseBranchId(0)
  return formatBranchTicket({ cluster: clusterId, txid: A, branch, participant: 'stock', timeoutMs: 5_000 })
}

test('the welcome names cluster and run; answers carry their request’s number, in whatever order they come', async () => {
  const application = await RawApplication.connect()
  expect((application.connection.remote as Welcome).node.run).toEqual({ incarnation: 77, doubtful: false })
  application.send(7, { kind: 'status' })
  application.send(3, { kind: 'begin', ticket: ticket() })
  await expect.poll(() => application.got.size).toBe(2)
  expect(application.got.get(7)).toEqual({ kind: 'text', text: '{"well":true}' })
  expect(application.got.get(3)).toEqual({ kind: 'done' })
  expect(port.connections).toBe(1)
})

test('who looks for a coordinator, another cluster or another participant is turned away with the reason', async () => {
  const refused = (change: Partial<Hello>) => expect(RawApplication.connect(change)).rejects
  await refused({ role: 'client' }).toMatchObject({ peerCode: 'WRONG_SERVICE' })
  await refused({ role: 'participant', name: 'other' }).toMatchObject({ peerCode: 'WRONG_SERVICE' })
  await refused({ name: 'money' }).toMatchObject({ peerCode: 'WRONG_PARTICIPANT' })
  await refused({ clusterId: parseClusterId('else') }).toMatchObject({ peerCode: 'WRONG_CLUSTER' })
  const anybody = await RawApplication.connect({ name: '', clusterId: undefined })
  expect((anybody.connection.remote as Welcome).clusterId).toBe('trips')
})

test.each<[string, Message]>([
  ['a request that can’t be read', { kind: 'kvCall', requestId: 9, payload: Buffer.from('ff', 'hex') }],
  ['a request with bytes left over', { kind: 'kvCall', requestId: 9, payload: Buffer.from('0800', 'hex') }],
  ['a message for coordinators', { kind: 'ack', txid: A, branches: [] }],
  ['a message of a listener', { kind: 'kvAnswer', requestId: 9, payload: Buffer.from('01', 'hex') }],
])('%s closes the connection, and rolls its branches back', async (_, message) => {
  const application = await RawApplication.connect()
  application.send(1, { kind: 'begin', ticket: ticket() })
  await expect.poll(() => desk.openCount).toBe(1)
  application.connection.send(message)
  await expect.poll(() => application.closed).toBeDefined()
  await expect.poll(() => desk.openCount).toBe(0)
  expect(await at.kv.prepare(A)).toMatchObject({ kind: 'abort' })
})

const BIG = 'x'.repeat(1024 * 1024 - 8)

/** A participant that holds two large values, behind a network on which they take their time. */
async function withLargeValues(): Promise<void> {
  desk.close()
  await port.close()
  at = await fresh({ branchBytesMax: 3_000_000, segmentBytesMax: 8_000_000, checkpointBytes: 64 * 1024 * 1024 })
  network = memoryNetwork({ delayMs: 5, clock: systemClock })
  await open()
  const writer = at.kv.begin(TXIDS[1]!)
  await writer.put('big/1', BIG)
  await writer.put('big/2', BIG)
  await at.kv.commitOnePhase(writer.txid)
}

const get = { kind: 'get', key: 'big/1' } as const
const scan = { kind: 'scan', from: undefined, to: undefined, prefix: 'big/', limit: undefined } as const

test('many large answers at once take their turns, and leave the other branches of their connection alone', async () => {
  await withLargeValues()
  const application = await RawApplication.connect()
  application.send(1, { kind: 'begin', ticket: ticket() })
  application.send(2, { kind: 'work', txid: A, statement: { kind: 'put', key: 'mine', value: 1 } })
  for (let id = 3; id < 27; id++) application.send(id, { kind: 'alone', txid: TXIDS[2]!, statement: get })
  for (let id = 27; id < 51; id++) application.send(id, { kind: 'work', txid: A, statement: id % 2 === 0 ? get : scan })
  await expect.poll(() => application.got.size, { timeout: 5_000 }).toBe(50)
  expect(application.closed).toBeUndefined()
  for (let id = 3; id < 27; id++) expect(application.got.get(id)).toEqual({ kind: 'value', value: BIG })
  for (let id = 27; id < 51; id++) expect(application.got.get(id)?.kind).toBe(id % 2 === 0 ? 'value' : 'page')
  application.send(51, { kind: 'commit', txid: A })
  await expect.poll(() => application.got.get(51)).toEqual({ kind: 'done' })
})
