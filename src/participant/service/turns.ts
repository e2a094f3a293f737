/** Lets so many pieces of work run at a time; the others wait in the order of their coming. */
export class Turns {
  #free: number
  readonly #waiting: (() => void)[] = []

  /** @param atOnce pieces of work at a time */
  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** What `work` comes to, once it had its turn. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free += 1
      else next()
    }
  }
}
