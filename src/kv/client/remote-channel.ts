import { type Clock, type ClusterId, systemClock, toError } from '../../base/index.ts'
import { type Connection, Link, type Network, type TlsOptions, tcpNetwork } from '../../transport/index.ts'
import { closed, type KvError, unavailable } from './errors.ts'
import type { KvChannel, KvLine } from './line.ts'
import { kvHello, RemoteLine } from './remote-line.ts'

/** While somebody waits, a participant that is down is dialled this often. */
const HURRY_MS = 200
/** Any timer that holds the process; how long does not matter. */
const HOLD_MS = 60_000

/** What a channel needs. */
export interface RemoteChannelParts {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly tls: TlsOptions | undefined
  readonly clusterId: ClusterId | undefined
  readonly clock?: Clock
  readonly network?: Network
  /** From 0 to below 1: jitter only. */
  readonly random?: () => number
  /** Keeps the process from ending; what it gives lets go. Default: a timer of Node's, for a clock's own timers do not. */
  readonly hold?: () => () => void
}

interface Waiter {
  readonly resolve: (line: KvLine) => void
  readonly reject: (error: Error) => void
}

/** Keeps one connection to a participant, from the first use on; another one after each that is lost. */
export class RemoteChannel implements KvChannel {
  readonly #parts: RemoteChannelParts
  readonly #clock: Clock
  readonly #waiters = new Set<Waiter>()
  #link: Link | undefined
  #line: RemoteLine | undefined
  #lastError: Error | undefined
  #isClosed = false

  constructor(parts: RemoteChannelParts) {
    this.#parts = parts
    this.#clock = parts.clock ?? systemClock
  }

  line(timeoutMs: number, signal?: AbortSignal): Promise<KvLine> {
    if (this.#isClosed) return Promise.reject(closed(this.#parts.name))
    if (signal?.aborted === true) return Promise.reject(toError(signal.reason))
    if (this.#line?.isOpen === true) return Promise.resolve(this.#line)
    this.#link ??= this.#dial()
    this.#link.hurry()
    return this.#awaitLine(timeoutMs, signal)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#link?.close('the application closed it')
    this.#line?.lost(closed(this.#parts.name))
    this.#line = undefined
    for (const waiter of [...this.#waiters]) waiter.reject(closed(this.#parts.name))
  }

  #awaitLine(timeoutMs: number, signal: AbortSignal | undefined): Promise<KvLine> {
    return new Promise((resolve, reject) => {
      // Between two attempts nothing else holds the process.
      const { hold = holdProcess } = this.#parts
      const letGo = hold()
      const leave = (): void => {
        letGo()
        this.#waiters.delete(waiter)
        this.#clock.cancel(timer)
        signal?.removeEventListener('abort', cancel)
      }
      const fail = (error: Error): void => {
        leave()
        reject(error)
      }
      const cancel = (): void => fail(toError(signal?.reason))
      const timer = this.#clock.after(Math.max(1, timeoutMs), () => fail(this.#unavailable()))
      const waiter: Waiter = {
        resolve: (line) => {
          leave()
          resolve(line)
        },
        reject: fail,
      }
      signal?.addEventListener('abort', cancel, { once: true })
      this.#waiters.add(waiter)
    })
  }

  #dial(): Link {
    const { name, host, port, tls, clusterId, network = tcpNetwork(), random = Math.random } = this.#parts
    return new Link({
      network,
      host,
      port,
      ...(tls !== undefined && { tls }),
      clock: this.#clock,
      seed: Math.floor(random() * 2 ** 32),
      hello: () => kvHello(name, clusterId),
      onUp: (connection) => this.#up(connection),
      onDown: (error) => this.#down(error),
      onMessage: (message) => this.#line?.receive(message),
    })
  }

  #up(connection: Connection): void {
    const line = new RemoteLine(this.#parts.name, connection)
    this.#line = line
    this.#lastError = undefined
    for (const waiter of [...this.#waiters]) waiter.resolve(line)
  }

  #down(error: Error): void {
    this.#lastError = error
    this.#line?.lost(error)
    this.#line = undefined
    if (this.#waiters.size === 0) return
    // A restart takes a moment; a wrong name, address or certificate stays wrong.
    if ((error as { retryable?: boolean }).retryable === true) this.#clock.after(HURRY_MS, () => this.#link?.hurry())
    else for (const waiter of [...this.#waiters]) waiter.reject(this.#unavailable())
  }

  #unavailable(): KvError {
    const { name, host, port } = this.#parts
    const why = this.#lastError?.message ?? 'no connection in time'
    return unavailable(name, `${host}:${port}`, why, this.#lastError)
  }
}

function holdProcess(): () => void {
  const timer = setInterval(() => {}, HOLD_MS)
  return () => clearInterval(timer)
}
