import { type Clock, Prng, systemClock, type Timer } from '../../base/index.ts'
import type { Channel, Channels } from '../kernel/types.ts'
import type { Host } from './host.ts'

/** Channels inside the process, over the machine's own clock: to run simulated databases in ordinary tests. */
export class Loopback {
  readonly #listeners = new Map<string, (channel: Channel) => void>()

  /** A process of its own: `kill` resets its channels and stops its timers. */
  host(seed = 1): LoopbackHost {
    return new LoopbackHost(this.#listeners, seed)
  }
}

/** One process of a `Loopback`. */
export class LoopbackHost implements Host {
  readonly random: Prng
  readonly clock: Clock
  readonly channels: Channels
  readonly #listeners: Map<string, (channel: Channel) => void>
  readonly #own = new Set<End>()
  readonly #listening = new Set<string>()
  alive = true

  constructor(listeners: Map<string, (channel: Channel) => void>, seed: number) {
    this.#listeners = listeners
    this.random = new Prng(seed)
    this.clock = {
      ...systemClock,
      after: (delayMs, task): Timer => systemClock.after(delayMs, () => this.alive && task()),
      every: (periodMs, task): Timer => systemClock.every(periodMs, () => this.alive && task()),
    }
    this.channels = {
      listen: (address, onChannel) => {
        this.#listening.add(address)
        this.#listeners.set(address, (far) => {
          this.#own.add(far as End)
          onChannel(far)
        })
      },
      connect: (address) => this.#connect(address),
    }
  }

  kill(): void {
    this.alive = false
    for (const address of this.#listening) this.#listeners.delete(address)
    for (const end of this.#own) end.reset()
  }

  async #connect(address: string): Promise<Channel> {
    await new Promise(setImmediate)
    const onChannel = this.#listeners.get(address)
    if (onChannel === undefined)
      throw Object.assign(new Error(`connect ECONNREFUSED ${address}`), { code: 'ECONNREFUSED' })
    const [near, far] = [new End(), new End()]
    near.peer = far
    far.peer = near
    this.#own.add(near)
    onChannel(far)
    return near
  }
}

class End implements Channel {
  peer: End | undefined
  isOpen = true
  onMessage: ((value: unknown) => void) | undefined
  onClose: ((error: Error | undefined) => void) | undefined

  send(value: unknown): void {
    if (!this.isOpen) return
    setImmediate(() => this.peer?.isOpen && this.peer.onMessage?.(value))
  }

  close(): void {
    if (!this.isOpen) return
    this.isOpen = false
    setImmediate(() => this.peer?.end(undefined))
  }

  reset(): void {
    const error = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
    this.isOpen = false
    this.peer?.end(error)
  }

  end(error: Error | undefined): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.onClose?.(error)
  }
}
