import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { WorkerAnswer, WorkerRequest } from './worker.ts'

const PROGRAM = fileURLToPath(new URL('./worker.ts', import.meta.url))

/** Most of what a run makes dies young: a larger nursery saves a tenth of the time. In MiB. */
const YOUNG_SPACE = '--max-semi-space-size=64'

/** Runs simulations in processes: one run at a time in each, for a run owns its process's timers and error handlers. */
export class WorkerPool {
  readonly #workers: ChildProcess[]

  /** @param execArgv flags of Node for the workers; by default this process's own, with the loader that runs TypeScript */
  constructor(size = availableParallelism(), execArgv: readonly string[] = process.execArgv) {
    this.#workers = Array.from({ length: size }, () => fork(PROGRAM, { execArgv: [...execArgv, YOUNG_SPACE] }))
  }

  /**
   * Gives each worker a request after the other until `next` has no more, and resolves when all are answered.
   *
   * @param next undefined: there is nothing more to do
   */
  async run(next: () => WorkerRequest | undefined, onAnswer: (answer: WorkerAnswer) => void): Promise<void> {
    await Promise.all(this.#workers.map((worker) => feed(worker, next, onAnswer)))
  }

  close(): void {
    for (const worker of this.#workers) worker.disconnect()
  }
}

async function feed(
  worker: ChildProcess,
  next: () => WorkerRequest | undefined,
  onAnswer: (answer: WorkerAnswer) => void,
): Promise<void> {
  for (let request = next(); request !== undefined; request = next()) onAnswer(await ask(worker, request))
}

function ask(worker: ChildProcess, request: WorkerRequest): Promise<WorkerAnswer> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`a worker ended (${code}) at seed ${request.seed}`))
    worker.once('exit', onExit)
    worker.once('message', (answer: WorkerAnswer) => {
      worker.off('exit', onExit)
      resolve(answer)
    })
    worker.send(request)
  })
}
