import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeTxid, parseBranchId, parseClusterId, sleep, systemClock, type Txid } from '../base/index.ts'
import type { Coordinator, Reply } from '../coordinator/index.ts'
import {
  type Connection,
  dial,
  type Message,
  memoryNetwork,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  type ServerMessage,
} from '../transport/index.ts'
import type { BranchRecord } from '../txn/index.ts'
import { MemoryDisk } from '../wal/index.ts'
import { configSchema } from './config.ts'
import { ParticipantSession } from './participant-session.ts'
import { CoordinatorServer } from './server.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const clusterId = parseClusterId('trips')
const branch = parseBranchId(0)
let network: ReturnType<typeof memoryNetwork>
let server: CoordinatorServer
let number = 0

beforeEach(async () => {
  network = memoryNetwork()
  const members = [{ id: 1, address: '10.0.0.1:7400' }]
  const config = configSchema.parse({ cluster: 'trips', node: 1, data: '/data', members, participants: ['expected'] })
  server = await CoordinatorServer.start(config, silent, { network, disk: new MemoryDisk(), resources: [] })
  while (!server.status().serving) await sleep(systemClock, 5)
})
afterEach(() => server.stop())

/** One instance, as the wire shows it. */
class RawInstance {
  readonly got: ServerMessage[] = []
  readonly connection: Connection
  closed: Error | undefined

  constructor(connection: Connection) {
    this.connection = connection
    connection.onMessage = (message) => void this.got.push(message as ServerMessage)
    connection.onClose = (reason) => {
      this.closed = reason
    }
  }

  static async connect(name: string): Promise<RawInstance> {
    const hello = {
      kind: 'hello',
      protocolMajor: PROTOCOL_MAJOR,
      protocolMinor: PROTOCOL_MINOR,
      role: 'participant',
      clusterId,
      node: undefined,
      name,
    } as const
    return new RawInstance(await dial({ network, host: '10.0.0.1', port: 7400, hello, clock: systemClock }))
  }

  of<Kind extends Message['kind']>(kind: Kind): Extract<Message, { kind: Kind }>[] {
    return this.got.filter((message): message is Extract<ServerMessage, { kind: Kind }> => message.kind === kind)
  }
}

function commit(participant: string, timeoutMs = 5_000): { readonly txid: Txid; readonly reply: Promise<Reply> } {
  number += 1
  const txid = makeTxid(Date.now(), new Uint8Array(10).fill(number))
  const record: BranchRecord = { branch, kind: 'service', participant, vote: undefined, evidence: undefined }
  const reply = new Promise<Reply>((resolve) =>
    server.coordinator.commit({ clusterId, txid, timeoutMs, branches: [record] }, resolve),
  )
  return { txid, reply }
}

test('PREPARE, vote, decision and ACK: one transaction over the wire', async () => {
  const [holder, other] = [await RawInstance.connect('mail'), await RawInstance.connect('mail')]
  const { txid, reply } = commit('mail')
  // PREPARE is repeated until there is a vote, so there may be several.
  await expect.poll(() => holder.of('prepare').length > 0 && other.of('prepare').length > 0).toBe(true)
  expect(holder.of('prepare')[0]).toMatchObject({ txid, branch, participant: 'mail', timeoutMs: 5_000 })
  holder.connection.send({ kind: 'vote', txid, branch, vote: 'commit', evidence: undefined })
  expect(await reply).toEqual({ kind: 'outcome', outcome: { kind: 'committed' } })
  await expect.poll(() => holder.of('decision')[0]).toMatchObject({ txid, branch, decision: 'commit' })
  expect(other.of('decision')).toEqual([])
  holder.connection.send({ kind: 'ack', txid, branches: [branch] })
  await expect.poll(() => server.coordinator.status().undeliveredCount).toBe(0)
})

test('a participant speaks for its own branches only', async () => {
  const [holder, meddler] = [await RawInstance.connect('mail'), await RawInstance.connect('other')]
  const { txid, reply } = commit('mail')
  await expect.poll(() => holder.of('prepare').length).toBeGreaterThan(0)
  meddler.connection.send({ kind: 'vote', txid, branch, vote: 'abort', evidence: undefined })
  await sleep(systemClock, 30)
  holder.connection.send({ kind: 'vote', txid, branch, vote: 'commit', evidence: undefined })
  expect(await reply).toMatchObject({ outcome: { kind: 'committed' } })
  meddler.connection.send({ kind: 'ack', txid, branches: [branch] })
  await sleep(systemClock, 30)
  expect(server.coordinator.status().undeliveredCount).toBe(1)
  holder.connection.send({ kind: 'ack', txid, branches: [branch] })
  await expect.poll(() => server.coordinator.status().undeliveredCount).toBe(0)
})

test('a configured name is waited for until the deadline, and whoever comes meanwhile is asked', async () => {
  const { reply } = commit('expected', 300)
  expect(await reply).toMatchObject({ outcome: { kind: 'aborted', reason: 'deadline', participant: 'expected' } })
  const later = commit('expected')
  const late = await RawInstance.connect('expected')
  await expect.poll(() => late.of('prepare').length).toBeGreaterThan(0)
  late.connection.send({ kind: 'vote', txid: later.txid, branch, vote: 'readOnly', evidence: undefined })
  expect(await later.reply).toMatchObject({ outcome: { kind: 'committed' } })
})

test('nobody of that name: aborted at once', async () => {
  expect(await commit('stranger').reply).toMatchObject({ outcome: { kind: 'aborted', reason: 'unreachable' } })
})

test('a participant may inquire', async () => {
  const instance = await RawInstance.connect('mail')
  const txid = makeTxid(Date.now(), new Uint8Array(10).fill(200))
  instance.connection.send({ kind: 'inquire', requestId: 4, clusterId, txid, settle: true })
  await expect
    .poll(() => instance.of('outcome')[0])
    .toMatchObject({ requestId: 4, txid, outcome: { kind: 'aborted', reason: 'presumed' } })
})

test('a participant decides nothing: another request closes its connection', async () => {
  const instance = await RawInstance.connect('mail')
  const txid = makeTxid(Date.now(), new Uint8Array(10).fill(201))
  instance.connection.send({ kind: 'abort', requestId: 1, clusterId, txid, participant: undefined, branches: [] })
  await expect.poll(() => instance.closed).toBeDefined()
  expect(server.coordinator.knowledge(txid).kind).toBe('unknown')
})

test('a participant needs a name', async () => {
  await expect(RawInstance.connect('')).rejects.toMatchObject({ peerCode: 'PARTICIPANT_NAME_INVALID' })
  await expect(RawInstance.connect('a b')).rejects.toMatchObject({ peerCode: 'PARTICIPANT_NAME_INVALID' })
})

test('what a slow instance does not read is bounded: then it is sent no more', () => {
  let bytesQueued = 0
  const connection = {
    remote: { name: 'mail' },
    get bytesQueued() {
      return bytesQueued
    },
    send: () => true,
  } as unknown as Connection
  const coordinator = {} as Coordinator
  const book = { voted() {}, acknowledged() {} }
  const deadlocks = { lockWaits() {}, leave() {} }
  const session = new ParticipantSession(connection, {
    coordinator,
    book,
    deadlocks,
    hint: () => undefined,
    onEnd() {},
  })
  const order = { kind: 'decision', txid: makeTxid(1, new Uint8Array(10)), branch, decision: 'abort' } as const
  expect(session.send(order)).toBe(true)
  bytesQueued = 1024 * 1024
  expect(session.send(order)).toBe(false)
})
