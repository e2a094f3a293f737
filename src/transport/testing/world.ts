import { readFileSync } from 'node:fs'
import net from 'node:net'
import type { NodeId } from '../../base/index.ts'
import { type Clock, parseClusterId, systemClock } from '../../base/index.ts'
import type { Connection } from '../connection.ts'
import { type DialOptions, dial } from '../dial.ts'
import { type Listener, type ListenerOptions, listen } from '../listener.ts'
import { type Hello, type Message, PROTOCOL_MAJOR, PROTOCOL_MINOR, type Welcome } from '../messages.ts'
import { tcpNetwork } from '../tcp-network.ts'

// What the tests of connections share: a listener and dialers over the real network, and a record of what they said.

export const CLUSTER = parseClusterId('trips')
const VERSION = { protocolMajor: PROTOCOL_MAJOR, protocolMinor: PROTOCOL_MINOR }
const IDENTITY = { nodeId: 1 as NodeId, storeId: 'store-1', durableIndex: 7 }

export const hello: Hello = {
  kind: 'hello',
  ...VERSION,
  role: 'client',
  clusterId: CLUSTER,
  node: undefined,
  name: 'a test',
}
export const peerHello: Hello = { ...hello, role: 'peer', node: { ...IDENTITY, nodeId: 2 as NodeId } }
export const welcome: Welcome = { kind: 'welcome', ...VERSION, clusterId: CLUSTER, node: IDENTITY, leader: undefined }

/** One test's listener and all that belongs to it; `close` leaves nothing behind. */
export class TestWorld {
  readonly log: string[] = []
  readonly accepted: Connection[] = []
  readonly network = tcpNetwork()
  readonly clock: Clock = systemClock
  listener: Listener | undefined
  readonly #closers: (() => void)[] = []

  /** Listens on a free port and takes everybody of our cluster. */
  async listen(options: Partial<ListenerOptions> = {}): Promise<Listener> {
    this.listener = await listen({
      network: this.network,
      host: '127.0.0.1',
      port: 0,
      clock: this.clock,
      clusterId: CLUSTER,
      accept: () => welcome,
      logger: { info: (_, message) => this.log.push(message), warn: (_, message) => this.log.push(message) },
      ...options,
      onConnection: (connection) => {
        this.accepted.push(connection)
        options.onConnection?.(connection)
      },
    })
    return this.listener
  }

  get port(): number {
    return this.listener!.port
  }

  async dial(options: Partial<DialOptions> = {}): Promise<Connection> {
    const { network, clock } = this
    const port = options.port ?? this.port
    const connection = await dial({ network, host: '127.0.0.1', clock, hello, ...options, port })
    this.defer(() => connection.close())
    return connection
  }

  /** A bare socket to `port`. */
  async raw(port = this.port): Promise<net.Socket> {
    const socket = net.connect({ host: '127.0.0.1', port })
    socket.on('error', () => {})
    this.defer(() => socket.destroy())
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
    return socket
  }

  /** A bare server that does with each socket what it is told. */
  async rawServer(onSocket: (socket: net.Socket) => void): Promise<number> {
    const server = net.createServer((socket) => {
      socket.on('error', () => {})
      this.defer(() => socket.destroy())
      onSocket(socket)
    })
    this.defer(() => server.close())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return (server.address() as net.AddressInfo).port
  }

  defer(closer: () => void): void {
    this.#closers.push(closer)
  }

  async close(): Promise<void> {
    for (const closer of this.#closers.reverse()) closer()
    await this.listener?.close()
  }
}

/** The reason for which `connection` ends. */
export function ended(connection: Connection): Promise<Error> {
  return new Promise((resolve) => {
    connection.onClose = resolve
  })
}

/** The next `count` messages. */
export function received(connection: Connection, count: number): Promise<Message[]> {
  const messages: Message[] = []
  return new Promise((resolve) => {
    connection.onMessage = (message) => {
      messages.push(message)
      if (messages.length === count) resolve(messages)
    }
  })
}

/** Resolves when the other side has closed `socket`, with all that it sent. */
export function hungUp(socket: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  return new Promise((resolve) => socket.once('close', () => resolve(Buffer.concat(chunks))))
}

/** Waits until `condition` holds. The test's own timeout ends it otherwise. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}

/** A file of the test certificates. */
export function certificate(name: string): Buffer {
  return readFileSync(new URL(`../fixtures/${name}`, import.meta.url))
}
