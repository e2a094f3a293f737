import { Prng, toError } from '../../base/index.ts'
import { SimNetwork } from '../network/network.ts'
import { EventQueue, type QueuedEvent } from './event-queue.ts'
import { seedOf, TraceHash } from './hash.ts'
import { HostClock } from './host-clock.ts'
import { drive, type Stepper } from './loop.ts'
import { Process, type ProcessWorld } from './process.ts'
import type { Cancel, Death, SpawnOptions, World } from './types.ts'

/** A check that failed, or something that escaped. The first one counts. */
export interface Failure {
  readonly check: string
  readonly what: string
  readonly atMs: number
  readonly error?: Error | undefined
}

/** A line of the story. */
export interface Note {
  readonly atMs: number
  readonly actor: string
  readonly what: string
}

export interface SimWorldOptions {
  readonly seed: number
  /** Gets every line of the story; without it none is made. */
  readonly onNote?: ((note: Note) => void) | undefined
  /** Ends the run as failed after so many macrotasks: something goes round in circles. */
  readonly stepsMax?: number
}

const STEPS_MAX = 50_000_000
/** A tie that comes before all drawn ones: first come, first served. */
const IN_ORDER = -1

/** The simulated world: time, processes and the network between them. See World. */
export class SimWorld implements World, ProcessWorld, Stepper {
  readonly seed: number
  readonly hash = new TraceHash()
  readonly marks = new Map<string, number>()
  readonly weather: SimNetwork
  /** Called after each macrotask and all of its microtasks, with the process whose it was. */
  onStep: ((owner: Process | undefined) => void) | undefined
  failure: Failure | undefined
  steps = 0
  nowMs = 0
  readonly #options: SimWorldOptions
  readonly #queue = new EventQueue<Process | undefined>()
  readonly #ties: Prng
  readonly #streams = new Map<string, Prng>()
  readonly #processes = new Map<string, Process>()
  readonly #incarnations = new Map<string, number>()
  readonly #hosts = new Map<string, HostClock>()
  #untilMs = 0
  #stopped = false
  #processCount = 0
  #current: Process | undefined

  constructor(options: SimWorldOptions) {
    this.#options = options
    this.seed = options.seed
    this.#ties = this.random('ties')
    this.weather = new SimNetwork(this)
  }

  get failed(): boolean {
    return this.failure !== undefined
  }

  /** The process whose macrotask runs. */
  get current(): Process | undefined {
    return this.#current
  }

  /** True when somebody reads the story. */
  get traced(): boolean {
    return this.#options.onNote !== undefined
  }

  random(name: string): Prng {
    let stream = this.#streams.get(name)
    if (stream === undefined) {
      stream = new Prng(seedOf(this.seed, name))
      this.#streams.set(name, stream)
    }
    return stream
  }

  after(delayMs: number, task: () => void): Cancel {
    const event = this.#queue.add(this.nowMs + delayMs, this.#ties.uint32(), undefined, task)
    return () => {
      event.task = undefined
    }
  }

  spawn(options: SpawnOptions): Process {
    const { name, host } = options
    if (this.#processes.has(name)) throw new Error(`a process called ${name} is running already`)
    const incarnation = (this.#incarnations.get(name) ?? 0) + 1
    this.#incarnations.set(name, incarnation)
    const process = new Process(
      this,
      options,
      {
        incarnation,
        number: ++this.#processCount,
        random: new Prng(seedOf(this.seed, `${name}#${incarnation}`)),
        hostClock: this.#hostClock(host, options.clock),
      },
      (made) => this.weather.connectProcess(made),
    )
    this.#processes.set(name, process)
    this.note(name, () => `starts (run ${incarnation})`)
    this.schedule(process, 0, () => process.run())
    return process
  }

  process(name: string): Process | undefined {
    return this.#processes.get(name)
  }

  /** Runs macrotasks until true time `untilMs`, a failure, or `stop()`. */
  async run(untilMs: number): Promise<void> {
    this.#untilMs = untilMs
    this.#stopped = false
    await drive(this, this.traced)
  }

  /** Ends the present `run` after this macrotask. */
  stop(): void {
    this.#stopped = true
  }

  note(actor: string, what: string | (() => string)): void {
    const { onNote } = this.#options
    if (onNote !== undefined) onNote({ atMs: this.nowMs, actor, what: typeof what === 'string' ? what : what() })
  }

  mark(name: string): void {
    this.marks.set(name, (this.marks.get(name) ?? 0) + 1)
  }

  fail(check: string, what: string, error?: Error): void {
    if (this.failure !== undefined) return
    this.failure = { check, what, atMs: this.nowMs, error }
    this.note('CHECK', `${check} failed: ${what}`)
  }

  // ------------------------------------------------------------ for the kernel

  schedule(owner: Process | undefined, delayMs: number, task: () => void): QueuedEvent<Process | undefined> {
    return this.#queue.add(this.nowMs + delayMs, this.#ties.uint32(), owner, task)
  }

  scheduleLater(owner: Process, task: () => void): void {
    this.#queue.add(this.nowMs + owner.turnMs, IN_ORDER, owner, task)
  }

  /** Runs `task` as a part of this macrotask on behalf of `process`; or when it goes on, or never. */
  dispatch(process: Process, task: () => void): void {
    if (!process.alive) return
    if (process.paused) {
      process.backlog.arrived.push(task)
      return
    }
    this.hash.word(process.number)
    this.#current = process
    process.trap?.('task')
    if (process.alive) task()
  }

  died(process: Process, death: Death): void {
    this.#processes.delete(process.name)
    this.note(process.name, () => describe(death))
    this.hash.word(-process.number)
    this.weather.processDied(process, death)
    const { onDeath } = process.options
    if (onDeath !== undefined) this.after(0, () => onDeath(death))
  }

  crashed(process: Process, error: Error): void {
    this.fail('uncaught', `${process.name} ended with ${error.stack ?? error.message}`, error)
  }

  step(): boolean {
    // Here, not behind the task: by now its microtasks have run as well.
    this.onStep?.(this.#current)
    if (this.#stopped || this.failure !== undefined) return false
    const event = this.#queue.takeDue(this.#untilMs)
    if (event === undefined) {
      if (Number.isFinite(this.#untilMs)) this.nowMs = this.#untilMs
      return false
    }
    this.nowMs = event.at
    this.#execute(event)
    if (++this.steps > (this.#options.stepsMax ?? STEPS_MAX)) this.fail('runaway', `more than ${this.steps} steps`)
    return true
  }

  escaped(error: Error): void {
    const process = this.#current
    // What a dead process still does to itself concerns nobody.
    if (process !== undefined && !process.alive && error.name !== 'LeakError') return
    this.fail('uncaught', `in ${process?.name ?? 'the world'}: ${error.stack ?? error.message}`, error)
  }

  #execute(event: QueuedEvent<Process | undefined>): void {
    const { owner, task } = event
    if (owner !== undefined) {
      if (!owner.alive) return
      if (owner.paused) {
        owner.backlog.due.push(event)
        return
      }
      owner.trap?.('task')
      if (!owner.alive) return
    }
    this.hash.number(event.at)
    this.hash.word(owner?.number ?? 0)
    this.#current = owner
    // A timer that fires can't be cancelled any more.
    event.task = undefined
    try {
      task!()
    } catch (thrown) {
      this.escaped(toError(thrown))
    }
  }

  #hostClock(host: string, clock: SpawnOptions['clock']): HostClock {
    let known = this.#hosts.get(host)
    if (known === undefined) {
      known = new HostClock(clock?.rate, clock?.wallOffsetMs)
      this.#hosts.set(host, known)
    }
    return known
  }
}

function describe(death: Death): string {
  if (death === 'exit') return 'ends'
  return death === 'killed' ? 'is killed (kill -9)' : 'loses its power'
}
