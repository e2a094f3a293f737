import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

type Answer = { readonly value: unknown } | { readonly error: string }

/** A load process: one job at a time goes there, its result comes back. */
export class Worker<Job, Result> {
  readonly #child: ChildProcess

  /** @param file beside bench/main.ts */
  constructor(file: string, profile: string | undefined) {
    const execArgv = ['--import', 'ts-blank-space/register', ...profileFlags(profile)]
    this.#child = fork(fileURLToPath(new URL(`../${file}`, import.meta.url)), [], {
      execArgv,
      // Stdout carries our tables.
      stdio: ['ignore', 2, 2, 'ipc'],
      serialization: 'advanced',
    })
  }

  run(job: Job): Promise<Result> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new Error('the load process ended before its job'))
      this.#child.once('exit', gone)
      this.#child.once('message', (answer: Answer) => {
        this.#child.off('exit', gone)
        if ('error' in answer) reject(new Error(answer.error))
        else resolve(answer.value as Result)
      })
      this.#child.send(job as object)
    })
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = new Promise((resolve) => this.#child.once('exit', resolve))
    if (this.#child.connected) this.#child.disconnect()
    await gone
  }
}

/** The other side of a Worker. The process ends when its parent is gone. */
export function serveJobs<Job, Result>(carryOut: (job: Job) => Promise<Result>): void {
  process.on('message', (job: Job) => {
    carryOut(job).then(
      (value) => process.send?.({ value }),
      (error: unknown) => process.send?.({ error: String((error as Error).stack ?? error) }),
    )
  })
  process.once('disconnect', () => process.exit(0))
}

/** Node's flags for a CPU profile in `directory`. */
export function profileFlags(directory: string | undefined): readonly string[] {
  return directory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${directory}`]
}
