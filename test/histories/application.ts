import { setTimeout as pause } from 'node:timers/promises'
import { Prng } from '../../src/base/index.ts'
import { ListAppender } from './carry-out.ts'
import { Journal } from './journal.ts'
import type { ApplicationNews, ApplicationOrders, Order } from './messages.ts'
import { makePlan } from './plan.ts'
import { Concordat, kv } from './product.ts'

const REPORT_MS = 20
/** Elements of an application: its number times this, and counted up. */
const ELEMENTS_MAX = 1_000_000

/** One application process of the list-append workload: workers that each run one transaction after another, until it is killed. */
class Application {
  readonly #orders: ApplicationOrders
  readonly #journal: Journal
  #generation: number
  #elements = 0
  #appends = 0
  #isStopping = false

  constructor(orders: ApplicationOrders) {
    this.#orders = orders
    this.#generation = orders.generation
    this.#journal = new Journal(orders.journal, BigInt(orders.epoch))
  }

  async run(): Promise<void> {
    const { coordinators, number, stores, workers, seed } = this.#orders
    const concordat = new Concordat({ coordinators, name: `app${number}` })
    const handles = stores.map((store) => kv({ ...store, timeoutMs: 2_000 }))
    const appender = new ListAppender(concordat, handles)
    const timer = setInterval(() => this.#report(), REPORT_MS)
    await Promise.all(
      Array.from({ length: workers }, (_, worker) => this.#work(appender, worker, new Prng(seed * 100 + worker))),
    )
    clearInterval(timer)
    await Promise.all([concordat.close(), ...handles.map((handle) => handle.close())])
  }

  use(generation: number): void {
    this.#generation = generation
  }

  stop(): void {
    this.#isStopping = true
  }

  async #work(appender: ListAppender, worker: number, prng: Prng): Promise<void> {
    const element = (): number => this.#orders.number * ELEMENTS_MAX + ++this.#elements
    while (!this.#isStopping) {
      const plan = makePlan(prng, this.#generation, this.#orders.stores.length, element)
      const { operations } = plan
      this.#journal.write({ worker, type: 'invoke', operations })
      const end = await appender.carryOut(plan)
      this.#journal.write({ worker, ...end })
      if (end.type === 'ok') this.#appends += operations.filter(({ kind }) => kind === 'append').length
      else await pause(prng.between(2, 30))
    }
  }

  #report(): void {
    if (this.#appends === 0) return
    const news: ApplicationNews = { kind: 'appends', count: this.#appends }
    this.#appends = 0
    // When the stage is gone the channel breaks before `disconnect` says so.
    process.send?.(news, undefined, undefined, () => {})
  }
}

let application: Application | undefined
process.on('disconnect', () => process.exit(1))
// Ctrl-C reaches the whole terminal group: the stage decides when applications stop.
process.on('SIGINT', () => {})
process.on('message', (order: Order) => {
  if (order.kind === 'stop') application?.stop()
  else if (order.kind === 'generation') application?.use(order.generation)
  else {
    application = new Application(order)
    application.run().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  }
})
const ready: ApplicationNews = { kind: 'ready' }
process.send?.(ready, undefined, undefined, () => {})
