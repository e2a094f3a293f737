import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { plainEnvironment } from '../support/program.support.ts'
import { nowNs } from './journal.ts'
import type { ApplicationNews, ApplicationOrders, Order } from './messages.ts'

const PROGRAM = fileURLToPath(new URL('./application.ts', import.meta.url))

/** One life of an application: what it wrote down, whose threads were its, and when it was over. */
export interface Life {
  readonly slot: number
  readonly journal: string
  /** Undefined while it runs. */
  endedNs: number | undefined
}

export interface ApplicationsOptions {
  readonly directory: string
  /** So many run at a time. Whoever is killed has its successor in the same slot. */
  readonly slots: number
  readonly epoch: bigint
  readonly common: Pick<ApplicationOrders, 'coordinators' | 'stores' | 'workers' | 'seed'>
  readonly onAppends: (count: number) => void
}

/** A process that has started and waits for its orders. */
interface Spare {
  readonly child: ChildProcess
  readonly ready: Promise<unknown>
}

/** The application processes: started, killed, and replaced. One is always held in readiness, because a start takes its time. */
export class Applications {
  readonly lives: Life[] = []
  readonly #options: ApplicationsOptions
  readonly #running = new Map<number, ChildProcess>()
  #spare: Spare | undefined
  #generation = 0
  #isStopping = false
  /** The first that ended by itself, if one did: then the run proves nothing. */
  failure: string | undefined

  constructor(options: ApplicationsOptions) {
    this.#options = options
  }

  /** Resolves when all are at work. */
  async startAll(): Promise<void> {
    const spares = Array.from({ length: this.#options.slots }, makeSpare)
    this.#spare = makeSpare()
    await Promise.all([...spares, this.#spare].map(({ ready }) => ready))
    spares.forEach(({ child }, slot) => {
      this.#begin(slot, child)
    })
  }

  /** From now on these keys are used. */
  use(generation: number): void {
    this.#generation = generation
    for (const child of this.#running.values()) send(child, { kind: 'generation', generation })
  }

  /** Kills one with SIGKILL, amid its transactions, and puts another in its place. */
  async kill(slot: number): Promise<void> {
    const child = this.#running.get(slot)
    if (child === undefined || this.#spare === undefined) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
    if (this.#isStopping) return
    this.#begin(slot, this.#spare.child)
    this.#spare = makeSpare()
  }

  /** Lets all end their transactions; kills those that take longer than `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true
    const children = [...this.#running.values()]
    const gone = Promise.all(children.map((child) => once(child, 'exit')))
    this.#spare?.child.kill('SIGKILL')
    for (const child of children) send(child, { kind: 'stop' })
    const timer = setTimeout(() => children.map((child) => child.kill('SIGKILL')), graceMs)
    await gone
    clearTimeout(timer)
  }

  #begin(slot: number, child: ChildProcess): void {
    const { directory, epoch, common, onAppends } = this.#options
    const number = this.lives.length + 1
    const journal = join(directory, `application-${number}.jsonl`)
    const life: Life = { slot, journal, endedNs: undefined }
    // It may be killed before it has written anything.
    writeFileSync(journal, '')
    this.lives.push(life)
    this.#running.set(slot, child)
    child.on('message', (news: ApplicationNews) => {
      if (news.kind === 'appends') onAppends(news.count)
    })
    child.on('exit', (code, signal) => {
      life.endedNs = nowNs(epoch)
      this.#running.delete(slot)
      if (code !== 0 && signal !== 'SIGKILL')
        this.failure ??= `application ${number} ended by itself (${signal ?? `exit code ${code}`})`
    })
    const seed = common.seed * 1_000 + number
    const generation = this.#generation
    send(child, { kind: 'start', ...common, seed, number, journal, epoch: String(epoch), generation })
  }
}

function makeSpare(): Spare {
  const child = fork(PROGRAM, [], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: plainEnvironment(),
    // Ctrl-C must reach the stage only.
    detached: true,
  })
  // A send to a process that was just killed is no news.
  child.on('error', () => {})
  return { child, ready: Promise.race([once(child, 'message'), once(child, 'exit')]) }
}

function send(child: ChildProcess, order: Order): void {
  if (child.connected) child.send(order, () => {})
}
