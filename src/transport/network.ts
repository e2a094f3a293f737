/** Where to listen or to connect to. */
export interface Endpoint {
  /** A name or an address; brackets are not needed around IPv6. */
  readonly host: string
  /** 0 when listening: any free port. */
  readonly port: number
}

/** What a stream tells its user. */
export interface StreamHandlers {
  /** The chunk belongs to the receiver: the network never writes into it again. */
  readonly onData: (chunk: Buffer) => void
  /** Comes once, and nothing after it. Undefined: an orderly end. */
  readonly onClose: (error: Error | undefined) => void
  /** All that was queued has left. */
  readonly onDrain?: () => void
}

/** An ordered, reliable stream of bytes to one other party, as TCP gives it. */
export interface ByteStream {
  /** `address:port` of the other end. */
  readonly remoteAddress: string
  /** The common name in the other side's certificate, when TLS verified one. */
  readonly certificateName: string | undefined
  /** Bytes taken by `write` that have not left yet. A peer that stopped reading shows only here. */
  readonly bytesQueued: number
  /** Directs all later events to `handlers`. The first call starts the flow: nothing that came before it is lost. */
  receive(handlers: StreamHandlers): void
  /** Queues `buffer`, which must not be changed afterwards. False: more is queued than should be. */
  write(buffer: Buffer): boolean
  /** Sends what is queued, then ends the stream. */
  close(): void
  /** Ends the stream now; what is queued is lost. */
  destroy(): void
}

export interface NetworkListener {
  readonly port: number
  /** Takes no more streams. Those that exist go on. */
  close(): Promise<void>
}

/** How `Network.listen` behaves. */
export interface ListenOptions extends Endpoint {
  /** Replaces the network's own TLS settings. */
  readonly tls?: TlsOptions
  /** Streams at one time, those within a TLS handshake included. */
  readonly streamsMax?: number
  /** How long a TLS handshake may take. */
  readonly tlsHandshakeTimeoutMs?: number
  /** Somebody came and did not become a stream: no TLS, a bad certificate, too many. */
  readonly onRefused?: (error: Error, remoteAddress: string) => void
}

/** How `Network.connect` behaves. */
export interface ConnectOptions extends Endpoint {
  /** Replaces the network's own TLS settings. */
  readonly tls?: TlsOptions
  /** Gives up when it aborts; the promise rejects with its reason. This is how a caller sets a timeout, by its own clock. */
  readonly signal?: AbortSignal
}

/** The seam to the network: TCP and TLS in production, memory in tests and in the simulator. */
export interface Network {
  listen(options: ListenOptions, onStream: (stream: ByteStream) => void): Promise<NetworkListener>
  /** @throws ConnectFailedError, TlsFailedError, or the signal's reason */
  connect(options: ConnectOptions): Promise<ByteStream>
}

/** TLS 1.3 with PEM texts. */
export interface TlsOptions {
  /** Private key: needed to listen, and to dial a listener that asks for a certificate. */
  readonly key?: string | Buffer
  /** Certificate chain of `key`. */
  readonly cert?: string | Buffer
  /** Who is trusted, instead of the system's authorities. */
  readonly ca?: string | Buffer
  /** Mutual TLS: only dialers with a certificate signed by `ca` get in. */
  readonly requestClientCertificate?: boolean
  /** The name to look for in the listener's certificate instead of the dialled host. */
  readonly serverName?: string
}
