import { ByteWriter, type Clock, toError } from '../base/index.ts'
import { encodeFrame } from './codec.ts'
import { acceptedGroups, Connection } from './connection.ts'
import { ConnectTimeoutError, HandshakeRejectedError, ProtocolError, RejectionCode } from './errors.ts'
import { awaitFirstFrame } from './first-frame.ts'
import { FrameKind } from './frame.ts'
import type { FrameReader } from './frame-reader.ts'
import { type ConnectionLimits, DEFAULT_CONNECTION_LIMITS } from './limits.ts'
import type { Hello, Message, Welcome } from './messages.ts'
import type { ByteStream, Network, TlsOptions } from './network.ts'

export interface DialOptions {
  readonly network: Network
  readonly host: string
  readonly port: number
  readonly tls?: TlsOptions
  /** What to say. A function is asked once the stream is open: what a hello claims must not grow old while a dial hangs. */
  readonly hello: Hello | (() => Hello)
  readonly clock: Clock
  readonly limits?: Partial<ConnectionLimits>
  /** Gives up; the promise rejects with its reason. Without effect once the connection is open. */
  readonly signal?: AbortSignal
}

/**
 * Opens a connection: TCP (and TLS), then hello and welcome.
 *
 * @throws ConnectFailedError, ConnectTimeoutError, TlsFailedError, HandshakeRejectedError, ProtocolError (a stranger
 * answers), ConnectionClosedError (it hung up), or the reason of `signal`
 */
export async function dial(options: DialOptions): Promise<Connection> {
  const limits = { ...DEFAULT_CONNECTION_LIMITS, ...options.limits }
  const stream = await connect(options, limits)
  try {
    return await greet(stream, options, limits)
  } catch (error) {
    stream.destroy()
    throw error
  }
}

async function connect(options: DialOptions, limits: ConnectionLimits): Promise<ByteStream> {
  const { network, host, port, tls, clock, signal } = options
  signal?.throwIfAborted()
  const giveUp = new AbortController()
  const timer = clock.after(limits.connectTimeoutMs, () => giveUp.abort(connectTimeout(options, limits)))
  const onAbort = () => giveUp.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await network.connect({ host, port, ...(tls !== undefined && { tls }), signal: giveUp.signal })
  } finally {
    clock.cancel(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

function greet(stream: ByteStream, options: DialOptions, limits: ConnectionLimits): Promise<Connection> {
  const { clock, signal } = options
  const hello = typeof options.hello === 'function' ? options.hello() : options.hello
  return new Promise((resolve, reject) => {
    const onAbort = () => settle(() => reject(toError(signal?.reason)))
    const settle = (finish: () => void) => {
      waiting.cancel()
      signal?.removeEventListener('abort', onAbort)
      finish()
    }
    const waiting = awaitFirstFrame({
      stream,
      clock,
      timeoutMs: limits.handshakeTimeoutMs,
      kinds: [FrameKind.welcome, FrameKind.rejected],
      onMessage: (message, reader) => settle(() => open(message, reader)),
      onFailure: (error) => settle(() => reject(error)),
    })
    const open = (message: Message, reader: FrameReader) => {
      const objection = objectionTo(message, hello)
      if (objection !== undefined) return reject(objection)
      const remote = message as Welcome
      resolve(new Connection({ stream, reader, remote, accepts: acceptedGroups(hello.role, 'dialer'), limits, clock }))
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    const writer = new ByteWriter()
    encodeFrame(hello, writer)
    stream.write(writer.finish())
  })
}

function objectionTo(message: Message, hello: Hello): Error | undefined {
  if (message.kind === 'rejected') return new HandshakeRejectedError(message.code, message.message)
  if (message.kind !== 'welcome') return new ProtocolError(`a welcome was expected and a ${message.kind} came`)
  if (hello.clusterId === undefined || hello.clusterId === message.clusterId) return undefined
  return new HandshakeRejectedError(
    RejectionCode.wrongCluster,
    `we look for cluster "${hello.clusterId}" and found "${message.clusterId}"; check the addresses`,
  )
}

function connectTimeout({ host, port }: DialOptions, limits: ConnectionLimits): ConnectTimeoutError {
  return new ConnectTimeoutError(
    `${host}:${port} did not take the connection within ${limits.connectTimeoutMs} ms; is the machine up and the port open?`,
  )
}
