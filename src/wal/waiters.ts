interface Waiter {
  readonly position: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Those who wait until everything before a position is durable, or nothing will be any more. */
export class Waiters {
  #waiters: Waiter[] = []

  /** Resolves when the byte at `position` is durable. */
  wait(position: number): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ position, resolve, reject }))
  }

  /** Everything before `durableEnd` is durable. */
  wake(durableEnd: number): void {
    if (this.#waiters.length === 0) return
    const ready = this.#waiters.filter(({ position }) => position < durableEnd)
    this.#waiters = this.#waiters.filter(({ position }) => position >= durableEnd)
    for (const { resolve } of ready) resolve()
  }

  /** Nothing more will be durable. */
  fail(error: Error): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const { reject } of waiters) reject(error)
  }
}
