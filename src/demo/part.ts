import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'

/** A process of the stage: what to run, and where its output goes. */
export interface PartPlan {
  /** As people call it: `coordinator 2`. */
  readonly name: string
  /** Node's arguments. */
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly logFile: string
}

/** How long a process may take to end in order, milliseconds. */
const END_MS_MAX = 3_000

/** One process of the stage, which is killed and started again. */
export class Part {
  readonly name: string
  readonly #plan: PartPlan
  readonly #onUnexpectedEnd: (line: string) => void
  #child: ChildProcess | undefined
  #stopping = false

  /** Does not start it. `onUnexpectedEnd` hears when it ends although nobody wanted it to. */
  constructor(plan: PartPlan, onUnexpectedEnd: (line: string) => void) {
    this.name = plan.name
    this.#plan = plan
    this.#onUnexpectedEnd = onUnexpectedEnd
  }

  get isRunning(): boolean {
    return this.#child !== undefined
  }

  /** Nothing when it runs, or has been stopped for good. */
  start(): void {
    if (this.isRunning || this.#stopping) return
    const { args, env, logFile } = this.#plan
    const log = openSync(logFile, 'a')
    // The channel ends the process when this one is gone, even by SIGKILL.
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...process.env, ...env },
      // Ctrl-C must reach the stage only: it ends its parts in order.
      detached: true,
    })
    closeSync(log)
    this.#child = child
    child.on('error', () => {})
    child.on('exit', (code, signal) => {
      this.#child = undefined
      if (signal !== 'SIGKILL' && !this.#stopping) this.#endedByItself(signal ?? `exit code ${code}`)
    })
  }

  /** SIGKILL: no handler runs, nothing is flushed. Resolves when the process is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  /** Ends it for good, as an operator would, then harder. */
  async stop(): Promise<void> {
    this.#stopping = true
    const child = this.#child
    if (child === undefined) return
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), END_MS_MAX)
    await gone
    clearTimeout(timer)
  }

  #endedByItself(how: string): void {
    const lines = readFileSync(this.#plan.logFile, 'utf8').trimEnd().split('\n').slice(-3).join('\n')
    this.#onUnexpectedEnd(`${this.name} ended by itself (${how}):\n${lines}`)
  }
}
