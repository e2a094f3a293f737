import type { Clock } from '../base/index.ts'
import { ConnectFailedError } from './errors.ts'
import type { ByteStream, ConnectOptions, ListenOptions, Network, NetworkListener, StreamHandlers } from './network.ts'

/** How a memory network behaves. */
export interface MemoryNetworkOptions {
  /** Every chunk takes so long, by `clock`. Without a clock it comes within the same turn. */
  readonly delayMs?: number
  readonly clock?: Clock
}

/** A network inside the process, for tests. Ports name listeners; hosts are ignored. */
export interface MemoryNetwork extends Network {
  /** Cuts the cable to this listener: connects hang, and bytes wait in both directions, with no error, as in real life. */
  cut(port: number): void
  /** Mends it: what waited flows on. */
  mend(port: number): void
  /** Breaks every stream to this listener with an error at both ends. */
  reset(port: number): void
}

/** Makes a network of its own; listeners of different networks do not see each other. */
export function memoryNetwork(options: MemoryNetworkOptions = {}): MemoryNetwork {
  return new MemoryWorld(options)
}

class MemoryWorld implements MemoryNetwork {
  readonly #options: MemoryNetworkOptions
  readonly #listeners = new Map<number, (stream: ByteStream) => void>()
  readonly #cables = new Map<number, Cable>()
  #nextPort = 1

  constructor(options: MemoryNetworkOptions) {
    this.#options = options
  }

  listen(options: ListenOptions, onStream: (stream: ByteStream) => void): Promise<NetworkListener> {
    while (this.#listeners.has(this.#nextPort)) this.#nextPort += 1
    const port = options.port === 0 ? this.#nextPort : options.port
    if (this.#listeners.has(port)) {
      return Promise.reject(new ConnectFailedError(`cannot listen on port ${port}: it is in use`))
    }
    this.#listeners.set(port, onStream)
    return Promise.resolve({
      port,
      close: () => {
        this.#listeners.delete(port)
        return Promise.resolve()
      },
    })
  }

  connect({ port, signal }: ConnectOptions): Promise<ByteStream> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason)
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      this.#cable(port).deliver(() => {
        if (signal?.aborted === true) return
        const onStream = this.#listeners.get(port)
        if (onStream === undefined)
          return reject(new ConnectFailedError(`cannot connect to port ${port}: nobody listens`))
        const [near, far] = pair(this.#cable(port))
        onStream(far)
        resolve(near)
      })
    })
  }

  cut(port: number): void {
    this.#cable(port).cut()
  }

  mend(port: number): void {
    this.#cable(port).mend()
  }

  reset(port: number): void {
    this.#cable(port).reset()
  }

  #cable(port: number): Cable {
    const known = this.#cables.get(port)
    if (known !== undefined) return known
    const cable = new Cable(this.#options)
    this.#cables.set(port, cable)
    return cable
  }
}

/** Carries all that goes to and from one listener, in order. */
class Cable {
  readonly streams = new Set<MemoryStream>()
  readonly #options: MemoryNetworkOptions
  #waiting: (() => void)[] = []
  #whole = true

  constructor(options: MemoryNetworkOptions) {
    this.#options = options
  }

  deliver(parcel: () => void): void {
    const { clock, delayMs = 0 } = this.#options
    const arrive = () => {
      this.#waiting.push(parcel)
      this.#flush()
    }
    if (clock === undefined) queueMicrotask(arrive)
    else clock.after(delayMs, arrive)
  }

  cut(): void {
    this.#whole = false
  }

  mend(): void {
    this.#whole = true
    this.#flush()
  }

  reset(): void {
    this.#waiting = []
    for (const stream of [...this.streams]) stream.end(new Error('the connection was reset'))
  }

  #flush(): void {
    while (this.#whole && this.#waiting.length > 0) this.#waiting.shift()!()
  }
}

function pair(cable: Cable): [MemoryStream, MemoryStream] {
  const near = new MemoryStream(cable, 'memory:listener')
  const far = new MemoryStream(cable, 'memory:dialer')
  near.peer = far
  far.peer = near
  return [near, far]
}

class MemoryStream implements ByteStream {
  readonly remoteAddress: string
  readonly certificateName = undefined
  peer: MemoryStream | undefined
  readonly #cable: Cable
  #handlers: StreamHandlers | undefined
  #early: Buffer[] = []
  #bytesQueued = 0
  #started = false
  #open = true
  #closing = false
  #reason: Error | undefined

  constructor(cable: Cable, remoteAddress: string) {
    this.#cable = cable
    this.remoteAddress = remoteAddress
    cable.streams.add(this)
  }

  get bytesQueued(): number {
    return this.#bytesQueued
  }

  receive(handlers: StreamHandlers): void {
    const first = this.#handlers === undefined
    this.#handlers = handlers
    if (!first) return
    queueMicrotask(() => {
      this.#started = true
      for (let chunk = this.#early.shift(); chunk !== undefined; chunk = this.#early.shift())
        this.#handlers?.onData(chunk)
      if (!this.#open) this.#handlers?.onClose(this.#reason)
    })
  }

  write(buffer: Buffer): boolean {
    if (!this.#open || this.#closing) return false
    this.#bytesQueued += buffer.length
    this.#cable.deliver(() => {
      this.#bytesQueued -= buffer.length
      this.peer?.arrive(buffer)
      if (this.#bytesQueued === 0) this.#handlers?.onDrain?.()
    })
    return true
  }

  close(): void {
    if (this.#closing || !this.#open) return
    this.#closing = true
    this.#cable.deliver(() => {
      this.peer?.end(undefined)
      this.end(undefined)
    })
  }

  destroy(): void {
    if (!this.#open) return
    const { peer } = this
    this.#cable.deliver(() => peer?.end(undefined))
    queueMicrotask(() => this.end(undefined))
  }

  /** Bytes from the other end. */
  arrive(chunk: Buffer): void {
    if (!this.#open) return
    if (this.#started) this.#handlers?.onData(chunk)
    else this.#early.push(chunk)
  }

  /** The stream is over. */
  end(error: Error | undefined): void {
    if (!this.#open) return
    this.#open = false
    this.#reason = error
    this.#cable.streams.delete(this)
    if (this.#started) this.#handlers?.onClose(error)
  }
}
