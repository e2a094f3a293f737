import { toError } from '../../base/index.ts'
import type { Disk } from '../../wal/index.ts'
import { codeOf } from '../checks/fatal-errors.ts'
import { SimDisk } from '../disk/sim-disk.ts'
import type { Process } from '../kernel/process.ts'
import type { Death, DiskedWorld, SimProcess, Victim } from '../kernel/types.ts'

/** A participant's program while it runs. */
export interface Running {
  /** Resolves with what it can't go on after. */
  readonly failed: Promise<Error>
  /** SIGTERM. */
  close(): Promise<void>
  /** What keeps it from rest. */
  unsettled(): readonly string[]
}

/** The program on a machine: resolves when it is open. */
export type Program = (process: SimProcess, disk: Disk) => Promise<Running>

/** How long a supervisor waits before it starts a program that ended by itself. */
const SUPERVISOR_MS = 300
/** With these the program says that its disk refused. */
const DISK_CODES: ReadonlySet<string> = new Set(['WAL_FAILED', 'KV_STORE_FAILED', 'EIO', 'ENOSPC'])

/** One participant's machine: its disk, and the program on it, which comes and goes. */
export class ParticipantMachine implements Victim {
  readonly kind = 'participant'
  readonly name: string
  readonly host: string
  readonly disk: SimDisk
  readonly #world: DiskedWorld
  readonly #program: Program
  #running: Running | undefined
  #errorsBefore = 0

  constructor(world: DiskedWorld, name: string, host: string, program: Program) {
    this.#world = world
    this.name = name
    this.host = host
    this.#program = program
    this.disk = new SimDisk(world, world.random(`disk of ${name}`))
  }

  restart(): void {
    const { name, host } = this
    if (this.#world.process(name) !== undefined) return
    this.#running = undefined
    this.#errorsBefore = this.disk.errorsGiven
    this.#world.spawn({
      name,
      host,
      main: (process) => this.#main(process),
      onDeath: (death) => this.#died(death),
    })
  }

  /** SIGTERM. A supervisor starts it again. */
  stop(): void {
    const process = this.#world.process(this.name)
    if (process === undefined) return
    this.#world.note(this.name, 'is asked to stop (SIGTERM)')
    this.#world.mark('participant: stops in good order')
    const exit = (): void => process.exit()
    if (this.#running === undefined) exit()
    else this.#world.dispatch(process as Process, () => void this.#running?.close().then(exit, exit))
  }

  unsettled(): readonly string[] {
    if (this.#running === undefined) return [`${this.name} is down`]
    return this.#running.unsettled().map((what) => `${this.name} ${what}`)
  }

  async #main(process: SimProcess): Promise<void> {
    try {
      const running = await this.#program(process, this.disk.attach(process as Process))
      if (!process.alive) return
      this.#running = running
      this.#world.note(this.name, 'is open')
      this.#fatal(process, await running.failed)
    } catch (thrown) {
      this.#fatal(process, toError(thrown))
    }
  }

  /** As the command does: it says why, and ends. Only a disk that refused is an excuse. */
  #fatal(process: SimProcess, error: Error): void {
    if (!process.alive) return
    const code = codeOf(error)
    this.#world.mark(`participant: fatal ${code}`)
    this.#world.note(this.name, () => `can not go on: ${error.message}`)
    if (!DISK_CODES.has(code) || this.disk.errorsGiven === this.#errorsBefore) {
      this.#world.fail('fatal', `${this.name} ended by itself: ${error.stack ?? error.message}`)
    }
    process.exit()
  }

  #died(death: Death): void {
    this.#running = undefined
    this.disk.processDied(death)
    if (death === 'exit') this.#world.after(SUPERVISOR_MS, () => this.restart())
  }
}
