import { ByteWriter, type Clock, type ClusterId } from '../base/index.ts'
import { encodeFrame } from './codec.ts'
import { acceptedGroups, Connection } from './connection.ts'
import { ConnectionClosedError, HandshakeRejectedError, RejectionCode } from './errors.ts'
import { awaitFirstFrame } from './first-frame.ts'
import { FrameKind } from './frame.ts'
import type { FrameReader } from './frame-reader.ts'
import { DEFAULT_LISTENER_LIMITS, type ListenerLimits } from './limits.ts'
import type { Hello, Message, Rejected, Welcome } from './messages.ts'
import type { ByteStream, Network, NetworkListener, TlsOptions } from './network.ts'

/** Where a listener reports refusals; a pino logger fits. */
export interface TransportLogger {
  info(details: object, message: string): void
  warn(details: object, message: string): void
}

/** Who is at the other end of a stream, beside what its hello claims. */
export interface RemoteParty {
  /** `address:port`. */
  readonly address: string
  /** The common name of its certificate under mutual TLS. */
  readonly certificateName?: string
}

export interface ListenerOptions {
  readonly network: Network
  readonly host: string
  /** 0: any free port; see `Listener.port`. */
  readonly port: number
  readonly tls?: TlsOptions
  /** When given, a hello of another cluster, or of a peer that names none, is refused before `accept` sees it. */
  readonly clusterId?: ClusterId
  /** Decides on a hello whose version fits. Answer with a Rejected to refuse it. */
  readonly accept: (hello: Hello, remote: RemoteParty) => Welcome | Rejected
  /** The handshake is done. Set `onMessage` and `onClose` now. */
  readonly onConnection: (connection: Connection) => void
  readonly clock: Clock
  readonly limits?: Partial<ListenerLimits>
  readonly logger?: TransportLogger
}

export interface Listener {
  readonly port: number
  /** The open connections. */
  readonly connections: ReadonlySet<Connection>
  /** Stops listening and closes every connection. */
  close(): Promise<void>
}

/**
 * Takes connections of peers, clients and participants on one port.
 *
 * @throws ConnectFailedError when the port cannot be had, TlsFailedError when the TLS options are wrong
 */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const limits = { ...DEFAULT_LISTENER_LIMITS, ...options.limits }
  const gate = new Gate(options, limits)
  const { network, host, port, tls } = options
  const networkOptions = {
    host,
    port,
    ...(tls !== undefined && { tls }),
    streamsMax: limits.connectionsMax + limits.peersMax + limits.handshakingMax,
    tlsHandshakeTimeoutMs: limits.handshakeTimeoutMs,
    onRefused: (error: Error, remoteAddress: string) => gate.refused(error, remoteAddress),
  }
  gate.listener = await network.listen(networkOptions, (stream) => gate.enter(stream))
  return gate
}

class Gate implements Listener {
  readonly connections = new Set<Connection>()
  listener: NetworkListener | undefined
  readonly #options: ListenerOptions
  readonly #limits: ListenerLimits
  /** In the order of their coming. */
  readonly #handshaking = new Map<ByteStream, { cancel(): void }>()
  #peers = 0
  #closed = false

  constructor(options: ListenerOptions, limits: ListenerLimits) {
    this.#options = options
    this.#limits = limits
  }

  get port(): number {
    return this.listener?.port ?? this.#options.port
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const stream of [...this.#handshaking.keys()]) this.#drop(stream)
    for (const connection of [...this.connections]) connection.close('the listener is closing')
    await this.listener?.close()
  }

  refused(error: Error, remoteAddress: string): void {
    const { code } = error as NodeJS.ErrnoException
    // A health probe connects and hangs up, every few seconds: no reason to warn.
    const level = error instanceof ConnectionClosedError ? 'info' : 'warn'
    this.#options.logger?.[level](
      { remoteAddress, code },
      `refused a connection from ${remoteAddress}: ${error.message}`,
    )
  }

  enter(stream: ByteStream): void {
    if (this.#closed) {
      stream.destroy()
      return
    }
    this.#makeRoom()
    const waiting = awaitFirstFrame({
      stream,
      clock: this.#options.clock,
      timeoutMs: this.#limits.handshakeTimeoutMs,
      kinds: [FrameKind.hello],
      onMessage: (message, reader) => this.#greet(stream, message as Hello, reader),
      onFailure: (error) => this.#turnAway(stream, error),
    })
    this.#handshaking.set(stream, waiting)
  }

  /** A peer says hello within milliseconds; whoever has waited longest is the likeliest stranger. */
  #makeRoom(): void {
    if (this.#handshaking.size < this.#limits.handshakingMax) return
    const [oldest] = this.#handshaking.keys()
    if (oldest === undefined) return
    this.#drop(oldest)
    this.refused(
      new Error('too many connections wait for their handshake; this one waited longest'),
      oldest.remoteAddress,
    )
  }

  #drop(stream: ByteStream): void {
    this.#handshaking.get(stream)?.cancel()
    this.#handshaking.delete(stream)
    stream.destroy()
  }

  #greet(stream: ByteStream, hello: Hello, reader: FrameReader): void {
    this.#handshaking.delete(stream)
    const answer = this.#objection(hello) ?? this.#options.accept(hello, party(stream))
    if (answer.kind === 'rejected') {
      this.#reject(stream, answer, hello)
      return
    }
    stream.write(frameOf(answer))
    this.#options.onConnection(this.#open(stream, hello, reader))
  }

  #open(stream: ByteStream, hello: Hello, reader: FrameReader): Connection {
    const { clock } = this.#options
    const peer = hello.role === 'peer' ? 1 : 0
    const onEnd = () => {
      this.connections.delete(connection)
      this.#peers -= peer
    }
    const accepts = acceptedGroups(hello.role, 'listener')
    const connection = new Connection({ stream, reader, remote: hello, accepts, limits: this.#limits, clock, onEnd })
    this.connections.add(connection)
    this.#peers += peer
    return connection
  }

  #objection(hello: Hello): Rejected | undefined {
    const ours = this.#options.clusterId
    if (ours !== undefined && hello.clusterId !== ours && (hello.clusterId !== undefined || hello.role === 'peer')) {
      return rejection(
        RejectionCode.wrongCluster,
        `this is cluster "${ours}", the hello names ${hello.clusterId ?? 'none'}; check the addresses`,
      )
    }
    if (hello.role === 'peer' && hello.node === undefined) {
      return rejection(RejectionCode.nodeIdentityMissing, 'a peer must say which node it is')
    }
    const full =
      hello.role === 'peer' ? this.#peers >= this.#limits.peersMax : this.#guests >= this.#limits.connectionsMax
    return full
      ? rejection(RejectionCode.tooManyConnections, 'the cap on connections is reached; try again later')
      : undefined
  }

  get #guests(): number {
    return this.connections.size - this.#peers
  }

  #turnAway(stream: ByteStream, error: Error): void {
    this.#handshaking.delete(stream)
    if (error instanceof HandshakeRejectedError) {
      this.#reject(stream, rejection(error.peerCode, error.message))
      return
    }
    this.refused(error, stream.remoteAddress)
    stream.destroy()
  }

  #reject(stream: ByteStream, answer: Rejected, hello?: Hello): void {
    const { logger, clock } = this.#options
    const details = { remoteAddress: stream.remoteAddress, code: answer.code, name: hello?.name, role: hello?.role }
    logger?.warn(details, `refused a connection from ${stream.remoteAddress} with ${answer.code}: ${answer.message}`)
    stream.write(frameOf(answer))
    stream.close()
    // Until it has taken the answer and hung up it counts as one that waits.
    const timer = clock.after(this.#limits.handshakeTimeoutMs, () => stream.destroy())
    const cancel = () => {
      clock.cancel(timer)
      this.#handshaking.delete(stream)
    }
    this.#handshaking.set(stream, { cancel })
    stream.receive({ onData: () => {}, onClose: cancel })
  }
}

function rejection(code: string, message: string): Rejected {
  return { kind: 'rejected', code, message }
}

function party(stream: ByteStream): RemoteParty {
  const { certificateName } = stream
  return { address: stream.remoteAddress, ...(certificateName !== undefined && { certificateName }) }
}

function frameOf(message: Message): Buffer {
  const writer = new ByteWriter()
  encodeFrame(message, writer)
  return writer.finish()
}
