import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ByteWriter, parseClusterId } from '../base/index.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import {
  ConnectFailedError,
  ConnectionClosedError,
  ConnectTimeoutError,
  HandshakeRejectedError,
  ProtocolError,
} from './errors.ts'
import { MAGIC } from './frame.ts'
import type { Hello, Message } from './messages.ts'
import { ended, hello, hungUp, peerHello, received, TestWorld, until, welcome } from './testing/world.ts'

let world: TestWorld
beforeEach(() => {
  world = new TestWorld()
})
afterEach(() => world.close())

function frame(message: Message, tail: Buffer = Buffer.alloc(0)): Buffer {
  const writer = new ByteWriter()
  encodeFrame(message, writer)
  const bytes = Buffer.concat([writer.finish(), tail])
  bytes.writeUInt32BE(bytes.length - 4, 0)
  return bytes
}

describe('hello and welcome', () => {
  test('both sides learn who the other is', async () => {
    await world.listen()
    const near = await world.dial({ hello: peerHello })
    expect(near.remote).toEqual(welcome)
    expect(world.accepted[0]!.remote).toEqual(peerHello)
    expect(world.accepted[0]!.remoteAddress).toMatch(/^127\.0\.0\.1:\d+$/)
  })

  test('a client that does not know the cluster learns it from the welcome', async () => {
    await world.listen()
    const near = await world.dial({ hello: { ...hello, clusterId: undefined } })
    expect(near.remote.clusterId).toBe(welcome.clusterId)
  })

  test('handshakes of any length up to the cap are taken', async () => {
    for (const size of [200, 255, 256, 257, 5_000, 60_000]) {
      await world.close()
      world = new TestWorld()
      await world.listen({ accept: () => ({ kind: 'rejected', code: 'TEST', message: 'y'.repeat(size) }) })
      const dialled = world.dial({ hello: { ...hello, name: 'x'.repeat(size) } })
      await expect(dialled).rejects.toMatchObject({ code: 'HANDSHAKE_REJECTED', peerCode: 'TEST' })
    }
  })

  test('messages that follow the welcome at once are not lost', async () => {
    await world.listen({ onConnection: (far) => far.send({ kind: 'leader', leader: undefined }) })
    const near = await world.dial()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(await received(near, 1)).toEqual([{ kind: 'leader', leader: undefined }])
  })

  test('a hello that comes byte by byte is taken', async () => {
    await world.listen()
    const socket = await world.raw()
    socket.setNoDelay(true)
    for (const byte of frame(hello)) {
      socket.write(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => world.accepted.length === 1)
    expect(world.accepted[0]!.remote).toEqual(hello)
  })
})

describe('refusals', () => {
  async function refusal(hello: Hello): Promise<HandshakeRejectedError> {
    const error = await world.dial({ hello }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(HandshakeRejectedError)
    expect(world.accepted).toEqual([])
    return error as HandshakeRejectedError
  }

  test('another cluster is refused with WRONG_CLUSTER', async () => {
    await world.listen()
    expect(await refusal({ ...hello, clusterId: parseClusterId('other') })).toMatchObject({ peerCode: 'WRONG_CLUSTER' })
    expect(world.log[0]).toMatch(/WRONG_CLUSTER.*this is cluster "trips", the hello names other/)
  })

  test('a dialer refuses a listener of another cluster that did not look', async () => {
    const port = await world.rawServer((socket) => {
      socket.write(frame({ ...welcome, clusterId: parseClusterId('other') }))
    })
    await expect(world.dial({ port })).rejects.toMatchObject({ peerCode: 'WRONG_CLUSTER' })
  })

  test('a peer without a cluster or an identity is refused', async () => {
    await world.listen()
    expect(await refusal({ ...peerHello, clusterId: undefined })).toMatchObject({ peerCode: 'WRONG_CLUSTER' })
    expect(await refusal({ ...peerHello, node: undefined })).toMatchObject({ peerCode: 'NODE_IDENTITY_MISSING' })
  })

  test('another major is refused with PROTOCOL_VERSION, even when its hello cannot be read further', async () => {
    await world.listen()
    expect(await refusal({ ...hello, protocolMajor: 2 })).toMatchObject({
      peerCode: 'PROTOCOL_VERSION',
      retryable: false,
    })
    const future = Buffer.alloc(5 + 8 + 3, 0xff)
    future.writeUInt32BE(future.length - 4, 0)
    future[4] = 1
    future.writeUInt32BE(MAGIC, 5)
    future.writeUInt16BE(2, 9)
    const socket = await world.raw()
    const answer = hungUp(socket)
    socket.write(future)
    const bytes = await answer
    expect(decodeFrame(bytes, 0, bytes.length)).toMatchObject({ kind: 'rejected', code: 'PROTOCOL_VERSION' })
  })

  test('a dialer refuses a welcome of another major', async () => {
    const port = await world.rawServer((socket) => socket.write(frame({ ...welcome, protocolMajor: 2 })))
    await expect(world.dial({ port })).rejects.toMatchObject({ peerCode: 'PROTOCOL_VERSION' })
  })

  test('the code and the words of `accept` reach the dialer', async () => {
    await world.listen({ accept: () => ({ kind: 'rejected', code: 'STORE_CHANGED', message: 'an empty directory' }) })
    expect(await refusal(peerHello)).toMatchObject({
      peerCode: 'STORE_CHANGED',
      message: /an empty directory/ as unknown,
    })
  })

  test('clients at their cap are told to come again; a peer still gets in', async () => {
    await world.listen({ limits: { connectionsMax: 1 } })
    const first = await world.dial()
    await expect(world.dial()).rejects.toMatchObject({ peerCode: 'TOO_MANY_CONNECTIONS', retryable: true })
    await world.dial({ hello: peerHello })
    first.close()
    await until(() => world.listener!.connections.size === 1)
    await world.dial()
  })
})

test('peers have a cap of their own, and room again when one has gone', async () => {
  await world.listen({ limits: { peersMax: 1 } })
  const first = await world.dial({ hello: peerHello })
  await expect(world.dial({ hello: peerHello })).rejects.toMatchObject({ peerCode: 'TOO_MANY_CONNECTIONS' })
  first.close()
  await until(() => world.listener!.connections.size === 0)
  await world.dial({ hello: peerHello })
})

describe('newer minors', () => {
  test('which run of a node speaks is told to 1.1, and left out for 1.0', () => {
    const node = { ...welcome.node, run: { incarnation: 2 ** 47, doubtful: true } }
    const through = (message: Message) => {
      const bytes = frame(message)
      return decodeFrame(bytes, 0, bytes.length)
    }
    for (const message of [
      { ...welcome, node },
      { ...peerHello, node },
    ]) {
      expect(through(message)).toEqual(message)
      const older = { ...message, protocolMinor: 0 }
      expect(through(older)).toEqual({ ...older, node: welcome.node })
      expect(through(older)).not.toHaveProperty('node.run')
    }
  })

  test('fields that a newer minor appended to hello or welcome are skipped', async () => {
    await world.listen()
    const socket = await world.raw()
    socket.write(frame({ ...hello, protocolMinor: 9 }, Buffer.from('something new')))
    await until(() => world.accepted.length === 1)
    expect(world.accepted[0]!.remote).toMatchObject({ protocolMinor: 9, name: hello.name })
    const port = await world.rawServer((server) => {
      server.write(frame({ ...welcome, protocolMinor: 9 }, Buffer.from('something new')))
    })
    expect((await world.dial({ port })).remote).toMatchObject({ protocolMinor: 9 })
  })

  test('leftovers from our own minor are damage', async () => {
    await world.listen()
    const socket = await world.raw()
    const closed = hungUp(socket)
    socket.write(frame(hello, Buffer.from('x')))
    await closed
    expect(world.log[0]).toMatch(/1 bytes are left over/)
  })
})

describe('strangers are closed with a clear line in the log', () => {
  test.each([
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), /an HTTP request came/],
    ['TLS on the plain port', Buffer.from('160301020001fc0303', 'hex'), /a TLS handshake came, but TLS is off here/],
    ['random bytes', Buffer.from('9c0ffee123456789', 'hex'), /unknown bytes came/],
    ['an announced gigabyte', Buffer.from('4000000001', 'hex'), /unknown bytes came/],
    ['a hello just above the cap', Buffer.from('0001000201', 'hex'), /unknown bytes came/],
    ['a hello without the magic', Buffer.from('000000200143445451', 'hex'), /unknown bytes came/],
    ['a message instead of a hello', frame({ kind: 'ping', nonce: 1 }), /unknown bytes came/],
    ['half a hello', Buffer.concat([Buffer.from('0000000b01', 'hex'), frame(hello).subarray(5, 15)]), /cannot be read/],
  ])('%s', async (_, bytes, line) => {
    await world.listen()
    const socket = await world.raw()
    const answer = hungUp(socket)
    socket.write(bytes)
    expect(await answer).toEqual(Buffer.alloc(0))
    expect(world.log).toEqual([expect.stringMatching(line)])
    expect(world.accepted).toEqual([])
  })

  test('one who says nothing is closed at the deadline', async () => {
    await world.listen({ limits: { handshakeTimeoutMs: 30 } })
    await hungUp(await world.raw())
    expect(world.log[0]).toMatch(/no handshake within 30 ms/)
  })

  test('when too many wait, the oldest makes room for the next', async () => {
    await world.listen({ limits: { handshakingMax: 2 } })
    const oldest = hungUp(await world.raw())
    await world.raw()
    await world.raw()
    await oldest
    expect(world.log[0]).toMatch(/too many connections wait/)
    await world.dial()
  })

  test('a dialer that meets an HTTP server says so', async () => {
    const port = await world.rawServer((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
    const error = await world.dial({ port }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ProtocolError)
    expect((error as Error).message).toMatch(/an HTTP server answered/)
  })
})

describe('a dialer gives up', () => {
  test('where nobody listens', async () => {
    const gone = await world.listen()
    const { port } = gone
    await gone.close()
    await expect(world.dial({ port })).rejects.toThrow(ConnectFailedError)
  })

  test('when no welcome comes in time', async () => {
    const port = await world.rawServer(() => {})
    await expect(world.dial({ port, limits: { handshakeTimeoutMs: 30 } })).rejects.toThrow(ConnectTimeoutError)
  })

  test('when the connect itself takes too long', async () => {
    const network = { ...world.network, connect: hangingConnect }
    await expect(world.dial({ network, port: 1, limits: { connectTimeoutMs: 20 } })).rejects.toThrow(/within 20 ms/)
  })

  test('when its signal aborts, before, amid and never after', async () => {
    const port = await world.rawServer(() => {})
    await expect(world.dial({ port, signal: AbortSignal.abort(new Error('early')) })).rejects.toThrow('early')
    const amid = new AbortController()
    const dialling = world.dial({ port, signal: amid.signal })
    setTimeout(() => amid.abort(new Error('amid')), 20)
    await expect(dialling).rejects.toThrow('amid')
    await world.listen()
    const after = new AbortController()
    const open = await world.dial({ signal: after.signal })
    after.abort()
    expect(open.isOpen).toBe(true)
  })

  test('when the other side hangs up', async () => {
    const port = await world.rawServer((socket) => socket.end())
    await expect(world.dial({ port })).rejects.toThrow(ConnectionClosedError)
  })
})

test('a closing listener does not wait for a refused dialer that does not hang up', async () => {
  await world.listen()
  const socket = await world.raw()
  socket.write(frame({ ...hello, clusterId: parseClusterId('other') }))
  await until(() => world.log.length === 1)
  await world.listener!.close()
})

test('a closing listener closes those who are in and those who wait', async () => {
  await world.listen()
  const near = await world.dial()
  const waiting = hungUp(await world.raw())
  const end = ended(near)
  await world.listener!.close()
  await waiting
  expect(await end).toBeInstanceOf(ConnectionClosedError)
  expect(world.listener!.connections.size).toBe(0)
})

function hangingConnect({ signal }: { readonly signal?: AbortSignal }): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
}
