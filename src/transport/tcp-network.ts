import net from 'node:net'
import tls from 'node:tls'
import { toError } from '../base/index.ts'
import { ConnectFailedError, TlsFailedError } from './errors.ts'
import type { ByteStream, ConnectOptions, ListenOptions, Network, NetworkListener, TlsOptions } from './network.ts'
import { SocketStream } from './socket-stream.ts'
import { asTlsFailure } from './tls-failure.ts'

/**
 * The real network.
 *
 * @param tlsOptions when given, every stream is TLS
 */
export function tcpNetwork(tlsOptions?: TlsOptions): Network {
  return {
    listen: async (options, onStream) => listenTcp({ ...(tlsOptions && { tls: tlsOptions }), ...options }, onStream),
    connect: async (options) => connectTcp({ ...(tlsOptions && { tls: tlsOptions }), ...options }),
  }
}

function listenTcp(options: ListenOptions, onStream: (stream: ByteStream) => void): Promise<NetworkListener> {
  const unfinished = new Map<string, net.Socket>()
  const server =
    options.tls === undefined ? plainServer(onStream) : tlsServer(options.tls, options, unfinished, onStream)
  if (options.streamsMax !== undefined) server.maxConnections = options.streamsMax
  server.on('drop', (dropped) => {
    const reason = new ConnectFailedError(`the cap of ${options.streamsMax} open connections is reached`)
    options.onRefused?.(reason, `${dropped?.remoteAddress}:${dropped?.remotePort}`)
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenFailure(options, error)))
    server.listen({ host: options.host, port: options.port }, () => {
      server.removeAllListeners('error')
      // A later error (out of file descriptors at accept) concerns one stranger, not the listener.
      server.on('error', (error) => options.onRefused?.(error, 'unknown'))
      resolve({ port: (server.address() as net.AddressInfo).port, close: () => closeServer(server, unfinished) })
    })
  })
}

function plainServer(onStream: (stream: ByteStream) => void): net.Server {
  return net.createServer({ noDelay: true, pauseOnConnect: true }, (socket) => onStream(new SocketStream(socket)))
}

/**
 * @param unfinished gets the sockets whose TLS handshake goes on, by remote address: nobody else could end them at close
 */
function tlsServer(
  options: TlsOptions,
  listen: ListenOptions,
  unfinished: Map<string, net.Socket>,
  onStream: (stream: ByteStream) => void,
): net.Server {
  if (options.key === undefined || options.cert === undefined) {
    throw new TlsFailedError('a TLS listener needs a private key and a certificate; give both `key` and `cert`')
  }
  const mutual = options.requestClientCertificate === true
  if (mutual && options.ca === undefined) {
    throw new TlsFailedError(
      'mutual TLS needs `ca`, the authority that signs client certificates; without it anybody gets in',
    )
  }
  const server = tls.createServer({
    ...checkedMaterial(options),
    requestCert: mutual,
    rejectUnauthorized: mutual,
    noDelay: true,
    ...(listen.tlsHandshakeTimeoutMs !== undefined && { handshakeTimeout: listen.tlsHandshakeTimeoutMs }),
  })
  server.on('connection', (socket: net.Socket) => {
    const address = remoteOf(socket)
    unfinished.set(address, socket)
    socket.once('close', () => unfinished.delete(address))
  })
  server.on('secureConnection', (socket) => {
    unfinished.delete(remoteOf(socket))
    onStream(new SocketStream(socket))
  })
  server.on('tlsClientError', (error, socket) => {
    listen.onRefused?.(asTlsFailure(error, 'listen') ?? error, remoteOf(socket))
    socket.destroy()
  })
  return server
}

function remoteOf(socket: net.Socket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`
}

function closeServer(server: net.Server, unfinished: ReadonlyMap<string, net.Socket>): Promise<void> {
  for (const socket of unfinished.values()) socket.destroy()
  return new Promise((resolve) => server.close(() => resolve()))
}

function connectTcp(options: ConnectOptions): Promise<ByteStream> {
  const { host, port, signal } = options
  if (signal?.aborted === true) return Promise.reject(signal.reason)
  const socket =
    options.tls === undefined ? net.connect({ host, port, noDelay: true }) : connectTls(options, options.tls)
  return new Promise((resolve, reject) => {
    const onAbort = () => fail(toError(signal?.reason))
    const onError = (error: Error) => fail(connectFailure(options, error))
    const settle = () => {
      signal?.removeEventListener('abort', onAbort)
      socket.off('error', onError)
    }
    const fail = (error: Error) => {
      settle()
      socket.on('error', () => {}).destroy()
      reject(error)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    socket.on('error', onError)
    socket.once(options.tls === undefined ? 'connect' : 'secureConnect', () => {
      settle()
      resolve(new SocketStream(socket))
    })
  })
}

function connectTls({ host, port }: ConnectOptions, options: TlsOptions): tls.TLSSocket {
  // SNI knows no addresses; the certificate is checked against the dialled address all the same.
  const serverName = options.serverName ?? (net.isIP(host) === 0 ? host : undefined)
  const socket = tls.connect({ host, port, ...checkedMaterial(options), ...(serverName && { servername: serverName }) })
  return socket.setNoDelay(true)
}

function material(options: TlsOptions): tls.SecureContextOptions {
  return {
    minVersion: 'TLSv1.3',
    ...(options.key !== undefined && { key: options.key }),
    ...(options.cert !== undefined && { cert: options.cert }),
    ...(options.ca !== undefined && { ca: options.ca }),
  }
}

/** @throws TlsFailedError when a PEM text cannot be read, or key and certificate are not a pair */
function checkedMaterial(options: TlsOptions): tls.SecureContextOptions {
  const pem = material(options)
  try {
    tls.createSecureContext(pem)
  } catch (error) {
    const reason = toError(error).message
    throw new TlsFailedError(
      `the TLS key, certificate or authority cannot be used: ${reason}; give PEM texts that belong together`,
      {
        cause: error,
      },
    )
  }
  return pem
}

function listenFailure({ host, port }: ListenOptions, error: Error): Error {
  return new ConnectFailedError(
    `cannot listen on ${host}:${port}: ${error.message}; is another process using the port, or is the address not this machine's?`,
    { cause: error },
  )
}

function connectFailure(options: ConnectOptions, error: Error): Error {
  const { host, port } = options
  const tlsFailure = options.tls === undefined ? undefined : asTlsFailure(error, 'dial')
  if (tlsFailure !== undefined) return tlsFailure
  // Several addresses were tried: the aggregate's own message is empty.
  const reason =
    error instanceof AggregateError ? error.errors.map((each) => toError(each).message).join('; ') : error.message
  return new ConnectFailedError(`cannot connect to ${host}:${port}: ${reason}; is a coordinator running there?`, {
    cause: error,
  })
}
