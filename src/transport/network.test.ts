import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../base/index.ts'
import { ConnectFailedError } from './errors.ts'
import { memoryNetwork } from './memory-network.ts'
import type { ByteStream, Network, NetworkListener } from './network.ts'
import { tcpNetwork } from './tcp-network.ts'
import { certificate, ended, received, TestWorld, until } from './testing/world.ts'

const tls = { key: certificate('node-key.pem'), cert: certificate('node.pem'), ca: certificate('authority.pem') }

// The contract of the Network seam, run by every implementation.
describe.each([
  ['TCP', () => tcpNetwork()],
  ['TLS', () => tcpNetwork(tls)],
  ['memory', () => memoryNetwork()],
  ['memory with delays', () => memoryNetwork({ clock: systemClock, delayMs: 1 })],
])('the network: %s', (_, make: () => Network) => {
  let network: Network
  let listener: NetworkListener
  let far: ByteStream[]
  beforeEach(async () => {
    network = make()
    far = []
    listener = await network.listen({ host: '127.0.0.1', port: 0 }, (stream) => far.push(stream))
  })
  afterEach(async () => {
    for (const stream of far) stream.destroy()
    await listener.close()
  })

  async function open(): Promise<[ByteStream, ByteStream]> {
    const near = await network.connect({ host: '127.0.0.1', port: listener.port })
    await until(() => far.length > 0)
    return [near, far[0]!]
  }

  test('bytes arrive in order, whenever the receiver begins to take them', async () => {
    const [near, other] = await open()
    near.write(Buffer.from('one '))
    near.write(Buffer.from('two '))
    await new Promise((resolve) => setTimeout(resolve, 10))
    let text = ''
    other.receive({ onData: (chunk) => (text += chunk), onClose: () => {} })
    near.write(Buffer.from('three'))
    await until(() => text === 'one two three')
    near.destroy()
  })

  test('close lets what is queued arrive first, then both ends hear of it once', async () => {
    const [near, other] = await open()
    const events: string[] = []
    near.receive({ onData: () => {}, onClose: (error) => events.push(`near ${error}`) })
    let bytes = 0
    other.receive({
      onData: (chunk) => {
        bytes += chunk.length
      },
      onClose: (error) => events.push(`far ${error} ${bytes}`),
    })
    near.write(Buffer.alloc(200_000))
    near.close()
    near.close()
    await until(() => events.length === 2)
    expect(events.sort()).toEqual(['far undefined 200000', 'near undefined'])
  })

  test('onClose comes to one who asks after the end', async () => {
    const [near, other] = await open()
    near.destroy()
    let closed = false
    await new Promise((resolve) => setTimeout(resolve, 20))
    other.receive({
      onData: () => {},
      onClose: () => {
        closed = true
      },
    })
    await until(() => closed)
  })

  test('later handlers replace the earlier ones', async () => {
    const [near, other] = await open()
    let first = ''
    let second = ''
    other.receive({ onData: (chunk) => (first += chunk), onClose: () => {} })
    near.write(Buffer.from('a'))
    await until(() => first === 'a')
    other.receive({ onData: (chunk) => (second += chunk), onClose: () => {} })
    near.write(Buffer.from('b'))
    await until(() => second === 'b')
    expect(first).toBe('a')
    near.destroy()
  })

  test('onDrain comes when all has left', async () => {
    const [near, other] = await open()
    let drained = false
    near.receive({
      onData: () => {},
      onClose: () => {},
      onDrain: () => {
        drained = true
      },
    })
    near.write(Buffer.alloc(8_000_000))
    expect(near.bytesQueued).toBeGreaterThan(0)
    other.receive({ onData: () => {}, onClose: () => {} })
    await until(() => drained)
    expect(near.bytesQueued).toBe(0)
    near.destroy()
  })

  test('where nobody listens, connect fails; a port in use cannot be listened on', async () => {
    await expect(network.listen({ host: '127.0.0.1', port: listener.port }, () => {})).rejects.toThrow(
      ConnectFailedError,
    )
    await listener.close()
    await expect(network.connect({ host: '127.0.0.1', port: listener.port })).rejects.toThrow(ConnectFailedError)
  })

  test('an aborted connect rejects with the reason', async () => {
    const signal = AbortSignal.abort(new Error('never mind'))
    await expect(network.connect({ host: '127.0.0.1', port: listener.port, signal })).rejects.toThrow('never mind')
  })
})

describe('the memory network breaks as real ones do', () => {
  let world: TestWorld
  const network = memoryNetwork()
  beforeEach(async () => {
    world = new TestWorld()
    await world.listen({ network, limits: { heartbeatMs: 20 } })
  })
  afterEach(() => world.close())

  test('a cut cable shows no error; silence finds it; a short cut loses nothing', async () => {
    const near = await world.dial({ network })
    const far = world.accepted[0]!
    network.cut(world.port)
    near.send({ kind: 'admin', requestId: 1, method: 'm', json: '' })
    await Promise.resolve()
    expect(near.bytesQueued).toBeGreaterThan(0)
    const arrived = received(far, 1)
    network.mend(world.port)
    expect((await arrived).length).toBe(1)
    network.cut(world.port)
    expect(await ended(far)).toMatchObject({ code: 'PEER_SILENT' })
    network.mend(world.port)
  })

  test('a reset ends both ends with an error', async () => {
    const near = await world.dial({ network })
    network.reset(world.port)
    expect(await ended(near)).toMatchObject({
      code: 'CONNECTION_CLOSED',
      message: expect.stringMatching(/reset/) as unknown,
    })
    await until(() => world.listener!.connections.size === 0)
  })
})
