import type { Process } from '../kernel/process.ts'
import type { Channel } from '../kernel/types.ts'
import type { Flow } from './route.ts'

/** What a channel needs of its network. */
export interface ChannelNetwork {
  dispatch(process: Process, task: () => void): void
  breaks(): boolean
  channelGone(channel: SimChannel): void
}

/** One end of a connection that carries values. See Channel. */
export class SimChannel implements Channel {
  readonly process: Process
  readonly out: Flow
  peer!: SimChannel
  onMessage: ((value: unknown) => void) | undefined
  onClose: ((error: Error | undefined) => void) | undefined
  readonly #network: ChannelNetwork
  #open = true

  constructor(network: ChannelNetwork, process: Process, out: Flow) {
    this.#network = network
    this.process = process
    this.out = out
  }

  get isOpen(): boolean {
    return this.#open
  }

  send(value: unknown): void {
    if (!this.#open || !this.process.alive) return
    if (this.#network.breaks()) this.breakDown()
    else this.out.send(() => this.peer.#arrive(value))
  }

  close(): void {
    if (!this.#open || !this.process.alive) return
    this.#drop()
    this.out.send(() => this.peer.#finished())
  }

  /** The process is gone; its kernel tells the other side, unless the power is gone as well. */
  orphan(how: 'fin' | 'reset' | 'nothing'): void {
    if (!this.#open) return
    this.#drop()
    if (how === 'fin') this.out.send(() => this.peer.#finished())
    else if (how === 'reset') this.out.route.sendLoose(0, () => this.peer.broken())
  }

  /** Ends the connection with an error at both ends. */
  breakDown(): void {
    const { route } = this.out
    route.schedule(route.latencyMs(), () => this.broken())
    route.sendLoose(0, () => this.peer.broken())
  }

  /** An RST came. */
  broken(): void {
    this.#end(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))
  }

  #arrive(value: unknown): void {
    if (!this.#open) {
      this.out.send(() => this.peer.broken())
      return
    }
    this.#network.dispatch(this.process, () => {
      if (this.#open) this.onMessage?.(value)
    })
  }

  #finished(): void {
    this.#end(undefined)
  }

  #end(error: Error | undefined): void {
    if (!this.#open) return
    this.#network.dispatch(this.process, () => {
      if (!this.#open) return
      this.#drop()
      this.onClose?.(error)
    })
  }

  #drop(): void {
    this.#open = false
    this.#network.channelGone(this)
  }
}
