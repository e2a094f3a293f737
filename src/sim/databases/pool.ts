import { type Clock, toError } from '../../base/index.ts'

/** What a pool needs to know of a client. */
export interface Poolable {
  /** False once its connection is gone. */
  readonly isUsable: boolean
}

interface Waiter<Client> {
  readonly resolve: (client: Client) => void
  readonly reject: (error: Error) => void
}

/** How a driver's pool behaves, whatever the driver: at most so many connections, and a queue for those who come later. */
export class SimPool<Client extends Poolable> {
  readonly #max: number
  readonly #open: () => Promise<Client>
  readonly #shut: (client: Client) => void
  readonly #idle: Client[] = []
  readonly #waiting: Waiter<Client>[] = []
  readonly #all = new Set<Client>()
  #opening = 0
  #isEnded = false

  constructor(max: number, open: () => Promise<Client>, shut: (client: Client) => void) {
    this.#max = max
    this.#open = open
    this.#shut = shut
  }

  take(): Promise<Client> {
    if (this.#isEnded) return Promise.reject(new Error('Cannot use a pool after calling end on the pool'))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#serve()
    })
  }

  giveBack(client: Client): void {
    if (!this.#all.has(client)) return
    if (client.isUsable && !this.#isEnded) this.#idle.push(client)
    else this.discard(client)
    this.#serve()
  }

  /** Closes the client's connection and forgets it. */
  discard(client: Client): void {
    if (!this.#all.delete(client)) return
    const index = this.#idle.indexOf(client)
    if (index >= 0) this.#idle.splice(index, 1)
    this.#shut(client)
    this.#serve()
  }

  end(): void {
    this.#isEnded = true
    for (const client of [...this.#idle]) this.discard(client)
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const client = this.#idle.pop()
      if (client !== undefined) {
        if (client.isUsable) this.#waiting.shift()!.resolve(client)
        else this.discard(client)
        continue
      }
      if (this.#all.size + this.#opening >= this.#max || this.#opening >= this.#waiting.length) return
      void this.#openOne()
    }
  }

  async #openOne(): Promise<void> {
    this.#opening += 1
    try {
      const client = await this.#open()
      this.#opening -= 1
      this.#all.add(client)
      this.giveBack(client)
    } catch (thrown) {
      this.#opening -= 1
      this.#waiting.shift()?.reject(toError(thrown))
      this.#serve()
    }
  }
}

/** `work`, or a rejection after `limitMs`; what comes later goes to `giveBack`. */
export function withinTime<T>(
  clock: Clock,
  limitMs: number,
  work: Promise<T>,
  late: () => Error,
  giveBack: (value: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isOver = false
    const timer = clock.after(limitMs, () => {
      isOver = true
      reject(late())
    })
    work.then(
      (value) => {
        clock.cancel(timer)
        if (isOver) giveBack(value)
        else resolve(value)
      },
      (error) => {
        clock.cancel(timer)
        reject(error)
      },
    )
  })
}
