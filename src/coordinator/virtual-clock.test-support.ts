import type { Clock, Timer } from '../base/index.ts'

interface Waiting {
  dueMs: number
  readonly order: number
  readonly periodMs: number | undefined
  readonly task: () => void
}

/** A clock that stands still until a test moves it. */
export class VirtualClock implements Clock {
  #nowMs = 1_000
  #jumpedMs = 0
  #order = 0
  readonly #waiting = new Set<Waiting>()

  monotonicMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return 1_750_000_000_000 + this.#nowMs + this.#jumpedMs
  }

  /** Somebody sets the wall clock. */
  jump(ms: number): void {
    this.#jumpedMs += ms
  }

  after(delayMs: number, task: () => void): Timer {
    return this.#add(delayMs, undefined, task)
  }

  every(periodMs: number, task: () => void): Timer {
    return this.#add(periodMs, periodMs, task)
  }

  cancel({ timer }: Timer): void {
    this.#waiting.delete(timer as Waiting)
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#waiting.size
  }

  /** Moves the time on and runs what falls due, in order; promises settle in between. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms
    await settle()
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      if (next.periodMs === undefined) this.#waiting.delete(next)
      else next.dueMs += next.periodMs
      next.task()
      await settle()
    }
    this.#nowMs = untilMs
  }

  #add(delayMs: number, periodMs: number | undefined, task: () => void): Timer {
    const waiting = { dueMs: this.#nowMs + delayMs, order: this.#order++, periodMs, task }
    this.#waiting.add(waiting)
    return { timer: waiting }
  }

  #next(untilMs: number): Waiting | undefined {
    let first: Waiting | undefined
    for (const waiting of this.#waiting) {
      if (waiting.dueMs > untilMs) continue
      const earlier = first === undefined || waiting.dueMs < first.dueMs
      if (earlier || (waiting.dueMs === first?.dueMs && waiting.order < first.order)) first = waiting
    }
    return first
  }
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}
