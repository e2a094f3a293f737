import { connect } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ByteWriter } from '../base/index.ts'
import { encodeFrame } from './codec.ts'
import { TlsFailedError } from './errors.ts'
import type { RemoteParty } from './listener.ts'
import type { TlsOptions } from './network.ts'
import { tcpNetwork } from './tcp-network.ts'
import { certificate, hello, hungUp, received, TestWorld, until, welcome } from './testing/world.ts'

let world: TestWorld
beforeEach(() => {
  world = new TestWorld()
})
afterEach(() => world.close())

const ca = certificate('authority.pem')
const node: TlsOptions = { key: certificate('node-key.pem'), cert: certificate('node.pem'), ca }
const client: TlsOptions = { key: certificate('client-key.pem'), cert: certificate('client.pem'), ca }
const foreign: TlsOptions = { key: certificate('foreign-key.pem'), cert: certificate('foreign.pem'), ca }

async function failure(tls?: TlsOptions): Promise<Error> {
  const error = await world.dial(tls === undefined ? {} : { tls }).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(Error)
  expect(world.accepted).toEqual([])
  return error as Error
}

describe('TLS', () => {
  test('messages travel both ways', async () => {
    await world.listen({ tls: node })
    const near = await world.dial({ tls: { ca } })
    const far = world.accepted[0]!
    const there = received(far, 200)
    const back = received(near, 1)
    for (let i = 0; i < 200; i++) near.send({ kind: 'admin', requestId: i, method: 'm', json: 'x'.repeat(i * 10) })
    far.send({ kind: 'leader', leader: undefined })
    expect((await there).length).toBe(200)
    expect((await back).length).toBe(1)
    expect(near.certificateName).toBe('node-1')
    expect(far.certificateName).toBeUndefined()
  })

  test('a reader that stopped shows in the queue, and its cap holds', async () => {
    await world.listen({ tls: node, limits: { queueBytesMax: 1024 * 1024 } })
    const socket = connect({ host: '127.0.0.1', port: world.port, ca })
    world.defer(() => socket.destroy())
    socket.on('error', () => {}).pause()
    const writer = new ByteWriter()
    encodeFrame(hello, writer)
    socket.write(writer.finish())
    await until(() => world.accepted.length === 1)
    const far = world.accepted[0]!
    for (let sent = 0; far.send({ kind: 'adminResult', requestId: 1, json: 'x'.repeat(10_000) }); sent++) {
      if (sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(far.bytesQueued).toBeGreaterThanOrEqual(1024 * 1024)
    expect(far.bytesQueued).toBeLessThan(1024 * 1024 + 2 * 10_100)
  })

  test('a network may carry the settings for all its streams', async () => {
    await world.listen({ network: tcpNetwork(node) })
    const near = await world.dial({ network: tcpNetwork({ ca }) })
    expect(near.remote).toEqual(welcome)
  })

  test('a dialer that does not trust the authority gives up and says what to do', async () => {
    await world.listen({ tls: node })
    const error = await failure({ ca: certificate('other-authority.pem') })
    expect(error).toBeInstanceOf(TlsFailedError)
    expect(error.message).toMatch(/authority that is not trusted|not signed by the `ca`/)
  })

  test('a certificate for another host is refused, unless that name is asked for', async () => {
    await world.listen({ tls: node })
    expect((await failure({ ca, serverName: 'elsewhere' })).message).toMatch(/for another host/)
    await world.dial({ tls: { ca, serverName: 'localhost' } })
  })

  test('a plain dialer on the TLS port, and the other way round, are told so', async () => {
    await world.listen({ tls: node })
    await failure()
    await until(() => world.log.length > 0)
    expect(world.log[0]).toMatch(/does not speak TLS on this port/)
    await world.listener!.close()
    world.log.length = 0
    await world.listen()
    await failure({ ca })
    expect(world.log[0]).toMatch(/a TLS handshake came, but TLS is off here/)
  })

  test('an HTTP request on the TLS port is named', async () => {
    await world.listen({ tls: node })
    const socket = await world.raw()
    const closed = hungUp(socket)
    socket.write('GET / HTTP/1.1\r\n\r\n')
    await closed
    expect(world.log[0]).toMatch(/plain HTTP request/)
  })

  test('a TLS handshake that is never finished ends at the deadline', async () => {
    await world.listen({ tls: node, limits: { handshakeTimeoutMs: 50 } })
    await hungUp(await world.raw())
    expect(world.log[0]).toMatch(/not finished in time/)
  })

  test('listening needs key and certificate, and mutual TLS an authority', async () => {
    await expect(world.listen({ tls: { ca } })).rejects.toThrow(/needs a private key/)
    const { ca: _, ...withoutCa } = node
    await expect(world.listen({ tls: { ...withoutCa, requestClientCertificate: true } })).rejects.toThrow(/needs `ca`/)
  })
})

test("a key that is no key, or not the certificate's, is refused with clear words", async () => {
  await expect(world.listen({ tls: { ...node, key: 'no key' } })).rejects.toThrow(/cannot be used/)
  await expect(world.listen({ tls: { ...node, key: certificate('client-key.pem') } })).rejects.toThrow(TlsFailedError)
  await world.listen({ tls: node })
  await expect(world.dial({ tls: { ca: 'nonsense', cert: 'x' } })).rejects.toThrow(TlsFailedError)
})

test('a closing listener ends those amid their TLS handshake', async () => {
  await world.listen({ tls: node })
  const waiting = hungUp(await world.raw())
  await world.listener!.close()
  await waiting
})

describe('mutual TLS', () => {
  const mutual = { ...node, requestClientCertificate: true }

  test('the name in the client certificate reaches accept and the connection', async () => {
    let party: RemoteParty | undefined
    const accept = (_: unknown, remote: RemoteParty) => {
      party = remote
      return welcome
    }
    await world.listen({ tls: mutual, accept })
    await world.dial({ tls: client })
    expect(party?.certificateName).toBe('app-1')
    expect(world.accepted[0]!.certificateName).toBe('app-1')
  })

  test('a dialer without a certificate is refused, and both sides say why', async () => {
    await world.listen({ tls: mutual })
    const error = await failure({ ca })
    expect(error.message).toMatch(/wants a client certificate|closed the connection before the handshake/)
    expect(world.log[0]).toMatch(/the dialer sent no certificate/)
  })

  test('a certificate of another authority is refused', async () => {
    await world.listen({ tls: mutual })
    await failure(foreign)
    await until(() => world.log.length > 0)
    expect(world.log[0]).toMatch(/TLS failed/)
  })
})
