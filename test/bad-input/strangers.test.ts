import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { ByteWriter, type NodeId } from '../../src/base/index.ts'
import { Concordat, CoordinatorUnavailableError } from '../../src/client/index.ts'
import { encodeFrame, type Message } from '../../src/transport/index.ts'
import { asCluster, BOTH, Decisions, newTxid } from '../support/decisions.support.ts'
import { Fleet } from '../support/fleet.support.ts'
import { until } from '../support/waiting.support.ts'

const HELLO: Message = {
  kind: 'hello',
  protocolMajor: 1,
  protocolMinor: 0,
  role: 'client',
  clusterId: undefined,
  node: undefined,
  name: 'stranger',
}

function frame(message: Message): Buffer {
  const writer = new ByteWriter()
  encodeFrame(message, writer)
  return writer.finish()
}

/** A frame whose header is right and whose body is anything. */
function frameOf(kind: number, body: Buffer, length = body.length + 1): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(length)
  head[4] = kind
  return Buffer.concat([head, body])
}

const inquiry = frame({
  kind: 'inquire',
  requestId: 1,
  clusterId: asCluster('test'),
  txid: newTxid(),
  settle: false,
})

/** A txid of version 4, where only 7 is one of ours; the last flag is "settle". */
function foreignTxid(): Buffer {
  const bytes = Buffer.from(inquiry)
  const versionAt = bytes.length - 1 - 10
  bytes[versionAt] = (bytes[versionAt]! & 0x0f) | 0x40
  return bytes
}

/** What a stranger sends, and the words in the coordinator's log that say so. */
const STRANGERS: readonly { readonly name: string; readonly bytes: readonly Buffer[]; readonly logged: RegExp }[] = [
  {
    name: 'a browser',
    bytes: [Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    logged: /an HTTP request came; only Concordat's protocol is spoken on this port/,
  },
  {
    name: 'a TLS client on a port without TLS',
    bytes: [Buffer.from('16030100c8010000c40303', 'hex'), randomBytes(200)],
    logged: /a TLS handshake came, but TLS is off here/,
  },
  { name: 'noise', bytes: [Buffer.from('fffefdfcfbfaf9f8f7f6', 'hex')], logged: /unknown bytes came \(fffefd/ },
  { name: 'a hello of 4 GiB', bytes: [Buffer.from('ffffffff01', 'hex')], logged: /unknown bytes came/ },
  {
    name: 'another major version',
    bytes: [frame({ ...HELLO, protocolMajor: 9 } as Message)],
    logged: /refused a connection from \S+ with PROTOCOL_VERSION/,
  },
  {
    name: 'another cluster',
    bytes: [frame({ ...HELLO, clusterId: asCluster('other') } as Message)],
    logged: /with WRONG_CLUSTER: this is cluster \\"test\\", the hello names other; check the addresses/,
  },
  {
    name: 'an oversized frame after a good hello',
    bytes: [frame(HELLO), Buffer.from('7fffffff20', 'hex')],
    logged: /client stranger ended: .*2147483647/,
  },
  {
    name: 'a malformed commit after a good hello',
    bytes: [frame(HELLO), frameOf(0x20, Buffer.alloc(40, 0xff))],
    logged: /stranger ended: .* sent what cannot be read: a whole number above 2\^53/,
  },
  {
    name: 'a txid that is no UUIDv7',
    bytes: [frame(HELLO), foreignTxid()],
    logged: /stranger ended: .* sent what cannot be read: a txid that is not a UUIDv7/,
  },
  {
    name: 'a client that speaks Raft',
    bytes: [frame(HELLO), frameOf(0x10, Buffer.alloc(30))],
    logged: /stranger ended: .*a frame of kind 0x10 is unknown or not allowed from this role/,
  },
]

async function hungUp(socket: Socket): Promise<void> {
  socket.resume()
  if (!socket.closed) await once(socket, 'close')
}

test('whoever sends nonsense to the port is turned away with a word in the log, and the coordinator goes on', async () => {
  const fleet = await Fleet.start({ size: 1 })
  for (const { name, bytes, logged } of STRANGERS) {
    const socket = connect(Number(fleet.addressOf(1).split(':')[1]), '127.0.0.1')
    socket.on('error', () => {})
    socket.write(Buffer.concat(bytes))
    await hungUp(socket)
    await until(`the log speaks of ${name} (${logged})`, () => logged.test(fleet.logOf(1)), 5_000)
  }
  const decisions = new Decisions(fleet)
  const port = fleet.port()
  expect(await decisions.decide(port, 5_000)).toMatchObject({ outcome: { kind: 'committed' } })
  await decisions.holdAtLeader(port)
})

test('hundreds of silent strangers do not keep clients out', async () => {
  const fleet = await Fleet.start({ size: 1 })
  const sockets = Array.from({ length: 400 }, () => connect(Number(fleet.addressOf(1).split(':')[1]), '127.0.0.1'))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) socket.on('error', () => {})
  await Promise.all(sockets.map((socket) => (socket.connecting ? once(socket, 'connect') : undefined)))
  const decisions = new Decisions(fleet)
  expect(await decisions.decide(fleet.port(), 10_000)).toMatchObject({ outcome: { kind: 'committed' } })
})

test('a client configured for another cluster is told so, with both names, and nothing is begun', async () => {
  const fleet = await Fleet.start({ size: 1 })
  const port = fleet.port()
  const reply = await port.commit({ clusterId: asCluster('other'), txid: newTxid(), timeoutMs: 5_000, branches: BOTH })
  expect(reply).toMatchObject({ kind: 'refused', code: 'WRONG_CLUSTER', retryable: false })
  expect(reply).toHaveProperty(
    'message',
    expect.stringMatching(/cluster other and this is test, so nothing was done; check/),
  )

  const concordat = new Concordat({ coordinators: fleet.addresses, clusterId: 'other', timeoutMs: 1_500 })
  onTestFinished(() => concordat.close())
  const error = await concordat.outcome(newTxid(), { timeoutMs: 1_500 }).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(CoordinatorUnavailableError)
  expect(String(error)).toMatch(/WRONG_CLUSTER: this is cluster "test", the hello names other; check the addresses/)
})

test('a coordinator of another cluster that is pointed at our ports joins nothing and changes nothing', async () => {
  const ours = await Fleet.start()
  const decisions = new Decisions(ours)
  const port = ours.port()
  const foreign = await Fleet.prepare({ size: 1, cluster: 'other' })
  const members = [
    { id: 1, address: foreign.addressOf(1) },
    { id: 2, address: ours.addressOf(2) },
    { id: 3, address: ours.addressOf(3) },
  ]
  foreign.rewrite(1, { members })
  foreign.start(1)
  const before = (await ours.leader()).term
  await until('the foreigner has been refused', () => /WRONG_CLUSTER/.test(foreign.logOf(1)))
  expect(await foreign.status(1)).toMatchObject({ serving: false, cluster: 'other' })
  expect((await ours.leader()).term).toBe(before)
  expect(await decisions.decide(port, 5_000)).toMatchObject({ outcome: { kind: 'committed' } })
})

test('a second node under a known number is refused, and told which directory is missing', async () => {
  const fleet = await Fleet.start()
  await fleet.whole()
  const line = connect(Number(fleet.addressOf(1).split(':')[1]), '127.0.0.1')
  onTestFinished(() => void line.destroy())
  let answer = ''
  line.setEncoding('latin1').on('data', (chunk: string) => {
    answer += chunk
  })
  const node = { nodeId: 2 as NodeId, storeId: 'f'.repeat(32), durableIndex: 0 }
  line.write(frame({ ...HELLO, role: 'peer', clusterId: asCluster('test'), node } as Message))
  await hungUp(line)
  expect(answer).toMatch(/NODE_STORE_CHANGED/)
  expect(fleet.running).toEqual([1, 2, 3])
})
