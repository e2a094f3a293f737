/** Work for one instance: so much of it at a time, the rest waits in the order of its coming; no key twice. */
export class CallLane {
  readonly #atOnce: number
  readonly #waitingMax: number
  readonly #waiting = new Map<string, () => Promise<void>>()
  readonly #running = new Set<string>()

  /**
   * @param atOnce pieces of work at a time
   * @param waitingMax pieces that wait, at most
   */
  constructor(atOnce: number, waitingMax: number) {
    this.#atOnce = atOnce
    this.#waitingMax = waitingMax
  }

  /**
   * Does `work` when it is its turn. It must not reject. A key that waits or runs already is not taken again.
   *
   * @returns false when too much waits: nothing will be done
   */
  offer(key: string, work: () => Promise<void>): boolean {
    if (this.#running.has(key) || this.#waiting.has(key)) return true
    if (this.#waiting.size >= this.#waitingMax) return false
    this.#waiting.set(key, work)
    this.#next()
    return true
  }

  /** What waits under this key is not needed any more. */
  drop(key: string): void {
    this.#waiting.delete(key)
  }

  clear(): void {
    this.#waiting.clear()
  }

  #next(): void {
    for (const [key, work] of this.#waiting) {
      if (this.#running.size >= this.#atOnce) return
      this.#waiting.delete(key)
      this.#running.add(key)
      void work().finally(() => {
        this.#running.delete(key)
        this.#next()
      })
    }
  }
}
