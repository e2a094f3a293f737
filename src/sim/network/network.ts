import type { Prng } from '../../base/index.ts'
import {
  type ByteStream,
  ConnectFailedError,
  type ConnectOptions,
  type ListenOptions,
  type Network,
  type NetworkListener,
} from '../../transport/index.ts'
import type { Process, ProcessNets } from '../kernel/process.ts'
import type { Channel, Channels, Death, NetworkWeather } from '../kernel/types.ts'
import { SimChannel } from './channel.ts'
import { CALM, type NetworkConditions } from './conditions.ts'
import { FrameShuffler } from './frame-shuffler.ts'
import { Flow, Route } from './route.ts'
import { SimStream } from './stream.ts'

/** What the network needs of its world. */
export interface NetworkWorld {
  readonly nowMs: number
  readonly hash: { bytes(bytes: Uint8Array): void }
  random(name: string): Prng
  after(delayMs: number, task: () => void): unknown
  schedule(process: Process, delayMs: number, task: () => void): unknown
  dispatch(process: Process, task: () => void): void
  note(actor: string, what: string | (() => string)): void
}

interface PortHolder<T> {
  readonly process: Process
  readonly onConnection: (connection: T) => void
}

/** After so long without a sign of life TCP's keepalive ends a connection, as database servers and drivers set it. */
const KEEPALIVE_MS = 10_000
/** How long a driver of a simulated database waits for a connection. */
const CHANNEL_CONNECT_MS = 10_000

/** The network between all hosts, and its faults. */
export class SimNetwork implements NetworkWeather {
  conditions: NetworkConditions = CALM
  /** Hosts whose connections among each other carry Raft: their frames may be shuffled. */
  readonly fleetHosts = new Set<string>()
  readonly #world: NetworkWorld
  readonly #prng: Prng
  readonly #routes = new Map<string, Map<string, Route>>()
  readonly #dark = new Set<string>()
  readonly #ports = new Map<string, PortHolder<ByteStream>>()
  readonly #names = new Map<string, PortHolder<Channel>>()
  /** Where a name was heard last: a connection attempt goes there even when nobody listens now. */
  readonly #nameHosts = new Map<string, string>()
  readonly #streams = new Set<SimStream>()
  readonly #channels = new Set<SimChannel>()
  #nextPort = 40_000

  constructor(world: NetworkWorld) {
    this.#world = world
    this.#prng = world.random('network')
  }

  // --------------------------------------------------------------- weather

  block(from: string, to: string): void {
    this.#route(from, to).blocks++
  }

  unblock(from: string, to: string): void {
    const route = this.#route(from, to)
    // Others may have cut it as well; and a healed world has taken back all.
    if (route.blocks > 0 && --route.blocks === 0) route.refresh()
  }

  reset(a: string, b: string): void {
    for (const end of this.#endsBetween(a, b)) end.breakDown()
  }

  /** A middlebox forgets the connections from one host to the other: what is sent on them vanishes. */
  swallow(from: string, to: string): void {
    for (const end of this.#endsBetween(from, to)) {
      if (end.process.host !== from) continue
      end.out.swallow()
      this.#keepAlive(end)
    }
  }

  heal(): void {
    this.conditions = CALM
    for (const routes of this.#routes.values()) {
      for (const route of routes.values()) {
        route.blocks = 0
        route.refresh()
      }
    }
  }

  // ------------------------------------------------------- for the processes

  /** The seams of a process that starts. */
  connectProcess(process: Process): ProcessNets {
    if (this.#dark.delete(process.host)) this.#setDark(process.host, false)
    return {
      network: {
        listen: (options, onStream) => this.#listen(process, options, onStream),
        connect: (options) => this.#connect(process, options),
      } satisfies Network,
      channels: {
        listen: (address, onChannel) => this.#listenChannels(process, address, onChannel),
        connect: (address) => this.#connectChannel(process, address),
      } satisfies Channels,
    }
  }

  processDied(process: Process, death: Death): void {
    if (death === 'power') {
      this.#dark.add(process.host)
      this.#setDark(process.host, true)
    }
    for (const ports of [this.#ports, this.#names]) {
      for (const [key, holder] of ports) if (holder.process === process) ports.delete(key)
    }
    for (const end of [...this.#streams, ...this.#channels]) {
      if (end.process !== process) continue
      // Unread bytes in a dead socket make the kernel send an RST, otherwise a FIN.
      const how = death === 'power' ? 'nothing' : death === 'exit' || this.#prng.chance(0.5) ? 'fin' : 'reset'
      end.orphan(how)
      if (death === 'power') this.#keepAlive(end)
    }
  }

  /** Streams have heartbeats of their own; who uses channels relies on the system's. */
  #keepAlive(end: SimStream | SimChannel): void {
    if (!(end instanceof SimChannel)) return
    this.#world.after(KEEPALIVE_MS, () => {
      end.broken()
      end.peer.broken()
    })
  }

  // ------------------------------------------------- for streams and channels

  dispatch(process: Process, task: () => void): void {
    this.#world.dispatch(process, task)
  }

  schedule(process: Process, delayMs: number, task: () => void): void {
    this.#world.schedule(process, delayMs, task)
  }

  arrived(chunk: Buffer): void {
    this.#world.hash.bytes(chunk)
  }

  splitAt(size: number): number | undefined {
    return size > 1 && this.#prng.chance(this.conditions.split) ? 1 + this.#prng.below(size - 1) : undefined
  }

  breaks(): boolean {
    return this.conditions.break > 0 && this.#prng.chance(this.conditions.break)
  }

  gone(stream: SimStream): void {
    this.#streams.delete(stream)
  }

  channelGone(channel: SimChannel): void {
    this.#channels.delete(channel)
  }

  // ---------------------------------------------------------------- streams

  #listen(
    process: Process,
    { host, port }: ListenOptions,
    onStream: (s: ByteStream) => void,
  ): Promise<NetworkListener> {
    if (!process.alive) return new Promise(() => {})
    const chosen = port === 0 ? this.#nextPort++ : port
    const key = `${host}:${chosen}`
    if (this.#ports.has(key)) {
      return Promise.reject(new ConnectFailedError(`cannot listen on ${key}: the port is in use`))
    }
    const holder = { process, onConnection: onStream }
    this.#ports.set(key, holder)
    const close = async (): Promise<void> => {
      if (this.#ports.get(key) === holder) this.#ports.delete(key)
    }
    return Promise.resolve({ port: chosen, close })
  }

  #connect(process: Process, { host, port, signal }: ConnectOptions): Promise<ByteStream> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason)
      if (!process.alive) return
      let settled = false
      const settle = (): boolean => {
        if (settled) return false
        settled = true
        signal?.removeEventListener('abort', onAbort)
        return true
      }
      const onAbort = (): void => {
        if (settle()) reject(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      const [there, back] = this.#flows(process.host, host)
      there.send(() => {
        const holder = this.#ports.get(`${host}:${port}`)
        if (holder === undefined || settled) {
          const refused = new ConnectFailedError(`cannot connect to ${host}:${port}: nobody listens`)
          back.send(() => this.#world.dispatch(process, () => settle() && reject(refused)))
          return
        }
        const [near, far] = this.#pair(process, holder.process, there, back, `${host}:${port}`)
        back.send(() => {
          this.#world.dispatch(process, () => {
            if (settle()) resolve(near)
            // The caller gave up while the answer was under way.
            else near.destroy()
          })
        })
        this.#world.dispatch(holder.process, () => holder.onConnection(far))
      })
    })
  }

  #pair(dialer: Process, listener: Process, there: Flow, back: Flow, address: string): [SimStream, SimStream] {
    const raft = this.fleetHosts.has(dialer.host) && this.fleetHosts.has(listener.host)
    const shuffler = raft ? new FrameShuffler(this.#prng, () => this.conditions.frames) : undefined
    const near = new SimStream(this, dialer, address, there, shuffler)
    const far = new SimStream(this, listener, `${dialer.host}:${this.#nextPort++}`, back, shuffler)
    near.peer = far
    far.peer = near
    this.#streams.add(near).add(far)
    return [near, far]
  }

  // --------------------------------------------------------------- channels

  #listenChannels(process: Process, address: string, onConnection: (channel: Channel) => void): void {
    if (!process.alive) return
    if (this.#names.has(address)) throw new Error(`somebody listens at ${address} already`)
    this.#names.set(address, { process, onConnection })
    this.#nameHosts.set(address, process.host)
  }

  #connectChannel(process: Process, address: string): Promise<Channel> {
    return new Promise((resolve, reject) => {
      if (!process.alive) return
      let settled = false
      const settle = (): boolean => {
        const first = !settled
        settled = true
        process.clock.cancel(timer)
        return first
      }
      const timer = process.clock.after(CHANNEL_CONNECT_MS, () => settle() && reject(posixError('ETIMEDOUT', address)))
      const [there, back] = this.#flows(process.host, this.#nameHosts.get(address) ?? address)
      there.send(() => {
        const holder = this.#names.get(address)
        if (holder === undefined || settled) {
          back.send(() => this.#world.dispatch(process, () => settle() && reject(posixError('ECONNREFUSED', address))))
          return
        }
        const near = new SimChannel(this, process, there)
        const far = new SimChannel(this, holder.process, back)
        near.peer = far
        far.peer = near
        this.#channels.add(near).add(far)
        const handOver = (): void => {
          if (!settle()) near.close()
          else if (near.isOpen) resolve(near)
          // It broke while the answer was on its way, and nobody had a handler there yet.
          else reject(posixError('ECONNRESET', address))
        }
        back.send(() => this.#world.dispatch(process, handOver))
        this.#world.dispatch(holder.process, () => holder.onConnection(far))
      })
    })
  }

  // ----------------------------------------------------------------- routes

  #flows(from: string, to: string): [Flow, Flow] {
    return [new Flow(this.#route(from, to)), new Flow(this.#route(to, from))]
  }

  #route(from: string, to: string): Route {
    let routes = this.#routes.get(from)
    if (routes === undefined) {
      routes = new Map()
      this.#routes.set(from, routes)
    }
    let route = routes.get(to)
    if (route === undefined) {
      route = new Route(this.#world, this.#prng, () => this.conditions, from, to)
      route.isDark = this.#dark.has(from) || this.#dark.has(to)
      routes.set(to, route)
    }
    return route
  }

  #setDark(host: string, dark: boolean): void {
    for (const [from, routes] of this.#routes) {
      for (const [to, route] of routes) {
        if (from !== host && to !== host) continue
        route.isDark = this.#dark.has(from) || this.#dark.has(to) || (dark && (from === host || to === host))
        route.refresh()
      }
    }
  }

  *#endsBetween(a: string, b: string): Iterable<SimStream | SimChannel> {
    for (const end of [...this.#streams, ...this.#channels]) {
      const from = end.process.host
      const to = end.peer.process.host
      if ((from === a && to === b) || (from === b && to === a)) yield end
    }
  }
}

function posixError(code: string, address: string): Error {
  return Object.assign(new Error(`connect ${code} ${address}`), { code })
}
