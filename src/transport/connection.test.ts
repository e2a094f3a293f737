import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ByteWriter, CodecError, makeTxid, type NodeId } from '../base/index.ts'
import { type LogIndex, NO_INDEX, NO_TERM, type ReadKey, type Term } from '../raft/index.ts'
import { encodeFrame } from './codec.ts'
import type { Connection } from './connection.ts'
import { ConnectionClosedError, FrameTooLargeError, PeerSilentError, ProtocolError } from './errors.ts'
import { FRAME_BODY_BYTES_MAX } from './frame.ts'
import { type Message, PROTOCOL_MINOR } from './messages.ts'
import type { ByteStream, Network } from './network.ts'
import { arbitraries } from './testing/arbitraries.ts'
import { ended, hello, hungUp, peerHello, received, TestWorld, until, welcome } from './testing/world.ts'

let world: TestWorld
beforeEach(() => {
  world = new TestWorld()
})
afterEach(() => world.close())

const txid = makeTxid(1_700_000_000_000, Buffer.alloc(10, 1))

function admin(json: string, requestId = 1): Message {
  return { kind: 'admin', requestId, method: 'm', json }
}

function frame(message: Message): Buffer {
  const writer = new ByteWriter()
  encodeFrame(message, writer)
  return Buffer.from(writer.finish())
}

/** Notes the size of each write and each destroy that reaches a stream. */
function watched(network: Network, writes: number[], destroyed: () => void = () => {}): Network {
  const watch = (stream: ByteStream): ByteStream => {
    const write = stream.write.bind(stream)
    const destroy = stream.destroy.bind(stream)
    return Object.assign(stream, {
      write(buffer: Buffer) {
        writes.push(buffer.length)
        return write(buffer)
      },
      destroy() {
        destroyed()
        destroy()
      },
    })
  }
  return {
    listen: (options, onStream) => network.listen(options, (stream) => onStream(watch(stream))),
    connect: async (options) => watch(await network.connect(options)),
  }
}

/** Both ends of one open connection. */
async function both(dialled: Parameters<TestWorld['dial']>[0] = {}): Promise<[Connection, Connection]> {
  const near = await world.dial(dialled)
  await until(() => world.accepted.length > 0)
  return [near, world.accepted.at(-1)!]
}

describe('to a peer of an older minor version', () => {
  const ids = { from: 1 as NodeId, to: 2 as NodeId, term: 3 as Term }
  const vote = { ...ids, preVote: false, lastLogIndex: 9 as LogIndex, lastLogTerm: 2 as Term }
  const answer = {
    ...ids,
    success: true,
    matchIndex: 9 as LogIndex,
    hintIndex: NO_INDEX,
    hintTerm: NO_TERM,
    readRound: 1,
  }
  const snapshot = { snapshot: { index: 9 as LogIndex, term: 2 as Term }, snapshotId: 5 }
  const newer: Message[] = [
    { kind: 'timeoutNow', ...ids },
    { kind: 'readIndex', ...ids, readKey: 1 as ReadKey },
    { kind: 'readIndexResponse', ...ids, readKey: 1 as ReadKey, granted: true, index: 9 as LogIndex },
    { kind: 'installSnapshot', ...ids, ...snapshot, totalBytes: 1, offset: 0, data: Buffer.alloc(1), checksum: 0 },
    { kind: 'installSnapshotResponse', ...ids, ...snapshot, receivedBytes: 1, status: 'receiving' },
    { kind: 'requestVote', ...vote, leadershipTransfer: true },
    { kind: 'appendEntriesResponse', ...answer, doubtful: true },
  ]
  const known: Message[] = [
    { kind: 'requestVote', ...vote, leadershipTransfer: false },
    { kind: 'appendEntriesResponse', ...answer, doubtful: false },
  ]

  test('a message that it does not know is not sent, from either side, and the connection stays', async () => {
    await world.listen({ accept: () => ({ ...welcome, protocolMinor: 0 }) })
    const [near, far] = await both({ hello: { ...peerHello, protocolMinor: 0 } })
    expect([near.protocolMinor, far.protocolMinor]).toEqual([0, 0])
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const arrived = received(to, known.length)
      for (const message of newer) expect(from.send(message), message.kind).toBe(false)
      for (const message of known) expect(from.send(message), message.kind).toBe(true)
      expect(await arrived).toEqual(known)
    }
  })

  test('a peer of our own minor, or a newer one, gets everything', async () => {
    for (const protocolMinor of [PROTOCOL_MINOR, PROTOCOL_MINOR + 3]) {
      await world.close()
      world = new TestWorld()
      await world.listen()
      const [near, far] = await both({ hello: { ...peerHello, protocolMinor } })
      expect(far.protocolMinor).toBe(protocolMinor)
      const arrived = received(near, newer.length)
      for (const message of newer) expect(far.send(message)).toBe(true)
      expect(await arrived).toEqual(newer)
    }
  })
})

describe('sending', () => {
  test('messages come in the order in which they were sent', async () => {
    await world.listen()
    const [near, far] = await both()
    const arrived = received(far, 1000)
    for (let i = 0; i < 1000; i++) near.send(admin(`${i}`, i))
    expect(await arrived).toEqual(Array.from({ length: 1000 }, (_, i) => admin(`${i}`, i)))
  })

  test('any messages of a client reach the listener as they were', async () => {
    await world.listen()
    const [near, far] = await both()
    const message = fc.oneof(
      arbitraries.commit,
      arbitraries.inquire,
      arbitraries.abort,
      arbitraries.ack,
      arbitraries.vote,
    )
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 20 }), async (messages) => {
        const arrived = received(far, messages.length)
        for (const each of messages) near.send(each)
        expect(await arrived).toEqual(messages)
      }),
      { numRuns: 50 },
    )
  })

  test('all messages of a turn leave in one write', async () => {
    const writes: number[] = []
    await world.listen()
    const [near, far] = await both({ network: watched(world.network, writes) })
    writes.length = 0
    const arrived = received(far, 300)
    for (let i = 0; i < 100; i++) near.send(admin('x', i))
    await Promise.resolve()
    expect(writes).toEqual([100 * frame(admin('x')).length])
    for (let i = 0; i < 200; i++) near.send(admin('x', i))
    expect(writes.length).toBe(1)
    await arrived
    expect(writes.length).toBe(2)
  })

  test('a message of several megabytes travels among small ones', async () => {
    await world.listen()
    const [near, far] = await both()
    const arrived = received(far, 3)
    const large = 'x'.repeat(FRAME_BODY_BYTES_MAX - 100)
    for (const json of ['a', large, 'b']) near.send(admin(json))
    expect((await arrived).map((each) => (each as { json: string }).json.length)).toEqual([1, large.length, 1])
  })

  test('a message that is too large is thrown back and harms no other', async () => {
    await world.listen()
    const [near, far] = await both()
    const arrived = received(far, 2)
    near.send(admin('before'))
    expect(() => near.send(admin('x'.repeat(FRAME_BODY_BYTES_MAX)))).toThrow(FrameTooLargeError)
    expect(() => near.send({ kind: 'ack', txid, branches: new Array(65).fill(0) })).toThrow(CodecError)
    near.send(admin('after'))
    expect(await arrived).toEqual([admin('before'), admin('after')])
  })

  test('onBatchEnd comes once after the messages of a chunk', async () => {
    await world.listen()
    const [near, far] = await both()
    const events: string[] = []
    far.onBatchEnd = () => events.push('end')
    const arrived = received(far, 3)
    for (let i = 0; i < 3; i++) near.send(admin('x', i))
    await arrived
    await until(() => events.length > 0)
    expect(events).toEqual(['end'])
  })
})

describe('the queue has a cap', () => {
  test('a reader that stopped makes send answer false, and memory stays bounded', async () => {
    await world.listen({ limits: { queueBytesMax: 1024 * 1024 } })
    const socket = await world.raw()
    socket.pause()
    socket.write(frame(hello))
    await until(() => world.accepted.length === 1)
    const far = world.accepted[0]!
    const message: Message = { kind: 'adminResult', requestId: 1, json: 'x'.repeat(10_000) }
    let sent = 0
    while (far.send(message)) {
      sent += 1
      if (sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(far.bytesQueued).toBeGreaterThanOrEqual(1024 * 1024)
    expect(far.bytesQueued).toBeLessThan(1024 * 1024 + 2 * 10_100)
    // Once the reader goes on, there is room again, and nothing of what was taken is lost.
    let bytes = 0
    socket.on('data', (chunk) => {
      bytes += chunk.length
    })
    socket.resume()
    await until(() => bytes > sent * frame(message).length)
    expect(far.send(message)).toBe(true)
  })
})

describe('silence', () => {
  test('a peer that stops answering is closed', async () => {
    await world.listen({ limits: { heartbeatMs: 20 } })
    const socket = await world.raw()
    socket.write(frame(hello))
    socket.resume()
    await until(() => world.accepted.length === 1)
    expect(await ended(world.accepted[0]!)).toBeInstanceOf(PeerSilentError)
    expect(world.listener!.connections.size).toBe(0)
  })

  test('an idle connection lives on by its heartbeats, which nobody sees', async () => {
    await world.listen({ limits: { heartbeatMs: 30 } })
    const [near, far] = await both()
    const seen: Message[] = []
    near.onMessage = far.onMessage = (message) => seen.push(message)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect([near.isOpen, far.isOpen]).toEqual([true, true])
    expect(seen).toEqual([])
  })
})

describe('bad peers after the handshake', () => {
  async function closedBy(bytes: Buffer, first: Message = hello): Promise<Error> {
    await world.listen()
    const socket = await world.raw()
    socket.write(frame(first))
    await until(() => world.accepted.length === 1)
    const far = world.accepted[0]!
    far.onMessage = () => {}
    const closed = hungUp(socket)
    const end = ended(far)
    socket.write(bytes)
    await closed
    return end
  }

  test('an announced frame above the limit', async () => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(FRAME_BODY_BYTES_MAX + 2, 0)
    expect((await closedBy(length)).message).toMatch(/a frame of 4194306 bytes was announced/)
  })

  test('a malformed frame', async () => {
    const error = await closedBy(Buffer.from('0000000420ffffff', 'hex'))
    expect(error).toBeInstanceOf(ProtocolError)
    expect(error.cause).toBeInstanceOf(CodecError)
  })

  test('Raft from a client', async () => {
    const vote = { kind: 'requestVoteResponse', from: 1, to: 2, term: 1, preVote: false, voteGranted: true } as Message
    expect((await closedBy(frame(vote))).message).toMatch(/not allowed from this role/)
  })

  test('a second hello', async () => {
    expect((await closedBy(frame(hello))).message).toMatch(/not allowed from this role/)
  })

  test('an answer from a client', async () => {
    expect((await closedBy(frame({ kind: 'leader', leader: undefined }))).message).toMatch(/not allowed/)
  })
})

test('coordinators speak Raft in both directions of one connection', async () => {
  await world.listen()
  const [near, far] = await both({ hello: peerHello })
  const message = {
    kind: 'requestVote',
    from: 2,
    to: 1,
    term: 3,
    preVote: true,
    lastLogIndex: 4,
    lastLogTerm: 2,
    leadershipTransfer: false,
  } as Message
  const there = received(far, 1)
  const back = received(near, 1)
  near.send(message)
  far.send(message)
  expect([...(await there), ...(await back)]).toEqual([message, message])
})

describe('closing', () => {
  test('what was sent before close arrives, and both sides hear of the end once', async () => {
    await world.listen()
    const [near, far] = await both()
    const reasons: Error[] = []
    near.onClose = (reason) => reasons.push(reason)
    far.onClose = (reason) => reasons.push(reason)
    const arrived = received(far, 50)
    for (let i = 0; i < 50; i++) near.send(admin('x', i))
    near.close('done')
    expect(near.send(admin('late'))).toBe(false)
    near.close('again')
    expect((await arrived).length).toBe(50)
    await until(() => reasons.length >= 2)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(reasons.length).toBe(2)
    expect(reasons[0]!.message).toMatch(/done/)
    expect(reasons.every((each) => each instanceof ConnectionClosedError)).toBe(true)
  })

  test('onClose that is set after the end is still called', async () => {
    await world.listen()
    const [near] = await both()
    near.close('over')
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect((await ended(near)).message).toMatch(/over/)
  })

  test('no message is delivered after close, even from the same chunk', async () => {
    await world.listen()
    const [near, far] = await both()
    const seen: Message[] = []
    far.onMessage = (message) => {
      seen.push(message)
      far.close()
    }
    for (let i = 0; i < 10; i++) near.send(admin('x', i))
    await ended(near)
    expect(seen.length).toBe(1)
  })

  test('a peer that takes nothing cannot keep a closed connection alive', async () => {
    let destroyed = 0
    const network = watched(world.network, [], () => {
      destroyed += 1
    })
    await world.listen({ network })
    const socket = await world.raw()
    socket.pause()
    socket.write(frame(hello))
    await until(() => world.accepted.length === 1)
    const far = world.accepted[0]!
    for (let i = 0; i < 1000; i++) far.send({ kind: 'adminResult', requestId: i, json: 'x'.repeat(10_000) })
    far.close()
    expect(destroyed).toBe(0)
    await until(() => destroyed === 1)
  })
})
