import { type Clock, type Prng, type Timer, toError } from '../../base/index.ts'
import type { Network } from '../../transport/index.ts'
import type { QueuedEvent } from './event-queue.ts'
import type { HostClock } from './host-clock.ts'
import type { Channels, Death, SimProcess, SpawnOptions } from './types.ts'

/** What a process needs of its world. */
export interface ProcessWorld {
  readonly nowMs: number
  schedule(owner: Process, delayMs: number, task: () => void): QueuedEvent<Process | undefined>
  /** At the end of this turn, in the order of the calls. */
  scheduleLater(owner: Process, task: () => void): void
  /** The process is gone. Called once, after its state says so. */
  died(process: Process, death: Death): void
  crashed(process: Process, error: Error): void
  note(actor: string, what: string): void
}

/** The seams to the network that a process gets. */
export interface ProcessNets {
  readonly network: Network
  readonly channels: Channels
}

/** One run of one simulated process. See SimProcess. */
export class Process implements SimProcess {
  readonly name: string
  readonly host: string
  readonly incarnation: number
  readonly random: Prng
  readonly clock: Clock
  readonly network: Network
  readonly channels: Channels
  readonly later: (task: () => void) => void
  /** How long a turn of its event loop lasts: what comes in meanwhile belongs to the same turn. */
  readonly turnMs: number
  readonly options: SpawnOptions
  readonly hostClock: HostClock
  /** A small number that names this incarnation in the fingerprint of the run. */
  readonly number: number
  /** Timers and completions that came due while it was paused, in order; and what came over the network. */
  readonly backlog: { readonly due: QueuedEvent<Process | undefined>[]; readonly arrived: (() => void)[] } = {
    due: [],
    arrived: [],
  }
  /** Sees each use of a seam: a way to end the process at any of its awaits. */
  trap: ((seam: 'task' | 'timer' | 'later' | 'send' | 'disk') => void) | undefined
  readonly #world: ProcessWorld
  #alive = true
  #paused = false

  constructor(
    world: ProcessWorld,
    options: SpawnOptions,
    parts: { incarnation: number; number: number; random: Prng; hostClock: HostClock },
    nets: (process: Process) => ProcessNets,
  ) {
    this.#world = world
    this.options = options
    this.name = options.name
    this.host = options.host
    this.incarnation = parts.incarnation
    this.number = parts.number
    this.random = parts.random
    this.hostClock = parts.hostClock
    this.turnMs = parts.random.below(4) * 0.02
    this.clock = new ProcessClock(world, this)
    this.later = (task) => {
      this.trap?.('later')
      world.scheduleLater(this, task)
    }
    const { network, channels } = nets(this)
    this.network = network
    this.channels = channels
  }

  get alive(): boolean {
    return this.#alive
  }

  get paused(): boolean {
    return this.#paused
  }

  readonly randomFill = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.random.below(256)
  }

  /** The first macrotask. */
  run(): void {
    try {
      const running = this.options.main(this)
      running?.catch((thrown: unknown) => this.#crash(thrown))
    } catch (thrown) {
      this.#crash(thrown)
    }
  }

  exit(): void {
    this.#die('exit')
  }

  kill(death: 'killed' | 'power'): void {
    this.#die(death)
  }

  pause(): void {
    if (!this.#alive || this.#paused) return
    this.#paused = true
    this.#world.note(this.name, 'is stopped (SIGSTOP)')
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    if (!this.#alive) return
    this.#world.note(this.name, 'goes on (SIGCONT)')
    // Node looks at its timers before it reads its sockets: the worst case for a timeout, and the usual one.
    for (const event of this.backlog.due.splice(0)) this.#world.scheduleLater(this, () => event.task?.())
    for (const task of this.backlog.arrived.splice(0)) this.#world.scheduleLater(this, task)
  }

  jumpWall(byMs: number): void {
    this.hostClock.jumpWall(byMs)
    this.#world.note(this.name, `its wall clock jumps by ${byMs} ms`)
  }

  #die(death: Death): void {
    if (!this.#alive) return
    this.#alive = false
    this.backlog.due.length = 0
    this.backlog.arrived.length = 0
    this.#world.died(this, death)
  }

  #crash(thrown: unknown): void {
    if (this.#alive) this.#world.crashed(this, toError(thrown))
  }
}

/** A timer of a process: an event that may come again. */
interface SimTimer {
  event: QueuedEvent<Process | undefined> | undefined
}

class ProcessClock implements Clock {
  readonly #world: ProcessWorld
  readonly #process: Process
  readonly #bornMs: number

  constructor(world: ProcessWorld, process: Process) {
    this.#world = world
    this.#process = process
    this.#bornMs = world.nowMs
  }

  monotonicMs(): number {
    return this.#process.hostClock.monotonicMs(this.#world.nowMs, this.#bornMs)
  }

  wallMs(): number {
    return this.#process.hostClock.wallMs(this.#world.nowMs)
  }

  after(delayMs: number, task: () => void): Timer {
    return { timer: { event: this.#set(delayMs, task) } satisfies SimTimer }
  }

  every(periodMs: number, task: () => void): Timer {
    const timer: SimTimer = { event: undefined }
    const turn = (): void => {
      // As Node does: the next one counts from this one's beginning.
      timer.event = this.#set(periodMs, turn)
      task()
    }
    timer.event = this.#set(periodMs, turn)
    return { timer }
  }

  cancel({ timer }: Timer): void {
    const { event } = timer as SimTimer
    if (event !== undefined) event.task = undefined
  }

  #set(delayMs: number, task: () => void): QueuedEvent<Process | undefined> {
    this.#process.trap?.('timer')
    // Node's timers have whole milliseconds, at least one.
    const wholeMs = delayMs >= 1 ? Math.trunc(delayMs) : 1
    return this.#world.schedule(this.#process, this.#process.hostClock.trueDelay(wholeMs), task)
  }
}
