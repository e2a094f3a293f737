import type net from 'node:net'
import tls from 'node:tls'
import type { ByteStream, StreamHandlers } from './network.ts'
import { asTlsFailure } from './tls-failure.ts'

const DEAF: StreamHandlers = { onData: () => {}, onClose: () => {} }

/** A TCP or TLS socket as a ByteStream. */
export class SocketStream implements ByteStream {
  readonly remoteAddress: string
  readonly certificateName: string | undefined
  readonly #socket: net.Socket
  #handlers = DEAF
  #flowing = false
  #error: Error | undefined
  #closed = false

  constructor(socket: net.Socket) {
    this.#socket = socket
    this.remoteAddress = formatAddress(socket)
    this.certificateName = socket instanceof tls.TLSSocket ? commonName(socket) : undefined
    // Paused until somebody takes the data; an error before that is kept for the one who will.
    socket.pause()
    socket.on('error', (error) => {
      this.#error = asStreamError(socket, error)
    })
    socket.on('close', () => {
      this.#closed = true
      if (this.#flowing) this.#handlers.onClose(this.#error)
    })
  }

  get bytesQueued(): number {
    return this.#socket.writableLength
  }

  receive(handlers: StreamHandlers): void {
    this.#handlers = handlers
    if (this.#flowing) return
    this.#flowing = true
    if (this.#closed) {
      queueMicrotask(() => this.#handlers.onClose(this.#error))
      return
    }
    this.#socket.on('data', (chunk: Buffer) => this.#handlers.onData(chunk))
    this.#socket.on('drain', () => this.#handlers.onDrain?.())
    this.#socket.resume()
  }

  write(buffer: Buffer): boolean {
    return this.#socket.write(buffer)
  }

  close(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

function formatAddress(socket: net.Socket): string {
  const { remoteAddress = 'unknown', remotePort = 0 } = socket
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`
}

function commonName(socket: tls.TLSSocket): string | undefined {
  if (!socket.authorized) return undefined
  // Node types say a certificate is always there; without one it is an empty object.
  const subject = socket.getPeerCertificate().subject as { CN?: string | string[] } | undefined
  const name = subject?.CN
  return Array.isArray(name) ? name[0] : name
}

/** TLS 1.3 refuses a client's certificate after its own handshake is done: the alert comes as an error of the open stream. */
function asStreamError(socket: net.Socket, error: Error): Error {
  const { code } = error as NodeJS.ErrnoException
  if (!(socket instanceof tls.TLSSocket) || code === 'ECONNRESET') return error
  return asTlsFailure(error, 'dial') ?? error
}
