import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Prng } from '../base/index.ts'
import type { ApplicationNews, ApplicationOrders } from './messages.ts'

const PROGRAM = fileURLToPath(new URL('./application.js', import.meta.url))

/** The application processes: started, killed, and replaced. */
export class Applications {
  readonly #common: Omit<ApplicationOrders, 'kind' | 'name' | 'seed' | 'horizon'>
  readonly #onNews: (news: ApplicationNews) => void
  readonly #running = new Map<string, ChildProcess>()
  #started = 0
  #horizon = 0
  #stopping = false

  constructor(
    common: Omit<ApplicationOrders, 'kind' | 'name' | 'seed' | 'horizon'>,
    onNews: (news: ApplicationNews) => void,
  ) {
    this.#common = common
    this.#onNews = onNews
  }

  get names(): readonly string[] {
    return [...this.#running.keys()]
  }

  start(): void {
    const number = ++this.#started
    const name = `app${number}`
    const child = fork(PROGRAM, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#running.set(name, child)
    child.on('message', (news: ApplicationNews) => this.#onNews(news))
    // A send to a process that was just killed is no news.
    child.on('error', () => {})
    child.on('exit', () => this.#running.delete(name))
    this.#send(child, { kind: 'start', name, seed: number, horizon: this.#horizon, ...this.#common })
  }

  /** Kills one process with SIGKILL while its bookings are under way, and starts another. Returns its name. */
  async killOne(prng: Prng): Promise<string | undefined> {
    if (this.#running.size === 0 || this.#stopping) return undefined
    const name = prng.pick(this.names)
    const child = this.#running.get(name)!
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
    this.start()
    return name
  }

  moveTo(horizon: number): void {
    this.#horizon = horizon
    for (const child of this.#running.values()) this.#send(child, { kind: 'horizon', horizon })
  }

  /** Lets every process end its bookings; kills those that take longer than `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    const children = [...this.#running.values()]
    const gone = children.map((child) => once(child, 'exit'))
    for (const child of children) this.#send(child, { kind: 'stop' })
    const timer = setTimeout(() => this.killAll(), graceMs)
    await Promise.all(gone)
    clearTimeout(timer)
  }

  killAll(): void {
    this.#stopping = true
    for (const child of this.#running.values()) child.kill('SIGKILL')
  }

  #send(child: ChildProcess, message: object): void {
    if (child.connected) child.send(message, () => {})
  }
}
