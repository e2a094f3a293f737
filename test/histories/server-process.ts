import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { plainEnvironment, program } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

export interface ServerProcessOptions {
  /** For people. */
  readonly name: string
  /** The compiled program's arguments. */
  readonly args: readonly string[]
  readonly logFile: string
  /** Node's own flags before the program. */
  readonly nodeFlags?: readonly string[]
  /** Whether it answers, and so is up. */
  readonly answers: () => Promise<boolean>
}

/** A coordinator or a participant as an operator runs it; it is killed and started again on its data. */
export class ServerProcess {
  readonly name: string
  readonly #options: ServerProcessOptions
  #child: ChildProcess | undefined

  constructor(options: ServerProcessOptions) {
    this.#options = options
    this.name = options.name
  }

  /** Starts it unless it runs. Resolves at once; see `up`. */
  start(): void {
    if (this.#child !== undefined) return
    const { args, logFile, nodeFlags = [] } = this.#options
    const log = openSync(logFile, 'a')
    // The channel ends it when this process is gone, even by SIGKILL.
    const child = spawn(process.execPath, [...nodeFlags, program(), ...args], {
      stdio: ['ignore', log, log, 'ipc'],
      env: plainEnvironment(),
      // Ctrl-C must reach the stage only: it ends the others in order.
      detached: true,
    })
    closeSync(log)
    this.#child = child
    child.on('error', () => {})
    child.on('exit', () => {
      if (this.#child === child) this.#child = undefined
    })
  }

  /** Resolves when it answers. */
  async up(): Promise<void> {
    await until(`${this.name} answers`, this.#options.answers)
  }

  /** SIGKILL: no handler runs, nothing is flushed. Resolves when the process is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
}
