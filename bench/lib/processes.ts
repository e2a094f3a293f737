import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'

/** Processes of one benchmark, which end with it. */
export class Processes {
  readonly #children: ChildProcess[] = []

  constructor() {
    // The last resort, when this process ends without `stop`: SIGKILL, for nothing here is worth keeping.
    process.once('exit', () => {
      for (const child of this.#children) child.kill('SIGKILL')
    })
  }

  start(program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options })
    child.on('error', (error) => console.error(`bench: ${program}: ${error.message}`))
    this.#children.push(child)
    return child
  }

  /** Asks all of them to end, and after ten seconds makes them. */
  async stop(): Promise<void> {
    await Promise.all(this.#children.map(end))
    this.#children.length = 0
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.kill('SIGTERM')
  })
}
