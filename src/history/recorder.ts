import { assert } from '../base/index.ts'
import type { EventType, History, HistoryEvent, Operation } from './events.ts'

/**
 * Writes a history down, event by event, in the order of time. Invariants, as Jepsen's checkers demand them:
 *
 * 1. `index` counts from 0 without a gap, and time never goes back.
 * 2. A process has one transaction under way at most.
 * 3. A process whose transaction ended with `info` is never heard of again: its thread goes on under the next number, which is
 *    higher by the number of threads. So `process mod threads` is always the thread.
 *
 * @example
 * const recorder = new HistoryRecorder(2)
 * recorder.invoke(0, 10, [{ kind: 'append', key: 1, value: 1 }])
 * recorder.complete(0, 25, 'ok', [{ kind: 'append', key: 1, value: 1 }])
 * recorder.events
 */
export class HistoryRecorder {
  readonly #events: HistoryEvent[] = []
  readonly #processes: number[]
  /** What each thread has under way. */
  readonly #open: (readonly Operation[] | undefined)[]
  #lastNs = 0

  /** @param threads how many transactions may be under way at a time, at least 1 */
  constructor(threads: number) {
    assert(Number.isInteger(threads) && threads > 0, 'a history has at least one thread')
    this.#processes = Array.from({ length: threads }, (_, thread) => thread)
    this.#open = Array.from({ length: threads }, () => undefined)
  }

  get events(): History {
    return this.#events
  }

  /** Whether a thread has a transaction under way. */
  isBusy(thread: number): boolean {
    return this.#open[thread] !== undefined
  }

  /** A thread begins a transaction. To be told before anything of it can have happened. */
  invoke(thread: number, timeNs: number, operations: readonly Operation[]): void {
    assert(!this.isBusy(thread), `thread ${thread} has a transaction under way`)
    this.#open[thread] = operations
    this.#push(thread, timeNs, 'invoke', operations, undefined)
  }

  /**
   * A thread heard of its transaction's end.
   *
   * @param operations with what was read, when it is `ok`; else those of the invocation are written down again
   */
  complete(
    thread: number,
    timeNs: number,
    type: Exclude<EventType, 'invoke'>,
    operations?: readonly Operation[],
    error?: string,
  ): void {
    const invoked = this.#open[thread]
    assert(invoked !== undefined, `thread ${thread} has no transaction under way`)
    assert((type === 'ok') === (operations !== undefined), 'what was read is known when it is ok, and only then')
    this.#open[thread] = undefined
    this.#push(thread, timeNs, type, operations ?? invoked, error)
    if (type === 'info') this.#processes[thread]! += this.#processes.length
  }

  /** Something was done to the system. */
  fault(timeNs: number, f: string, value: string): void {
    this.#move(timeNs)
    this.#events.push({ kind: 'fault', index: this.#events.length, timeNs, f, value })
  }

  /** Nobody will hear any more of these threads' transactions: their process died, or the run is over. */
  abandon(threads: Iterable<number>, timeNs: number, error: string): void {
    for (const thread of threads) {
      if (this.isBusy(thread)) this.complete(thread, timeNs, 'info', undefined, error)
    }
  }

  #push(
    thread: number,
    timeNs: number,
    type: EventType,
    operations: readonly Operation[],
    error: string | undefined,
  ): void {
    this.#move(timeNs)
    const process = this.#processes[thread]
    assert(process !== undefined, `there is no thread ${thread}`)
    const index = this.#events.length
    this.#events.push({
      kind: 'client',
      index,
      timeNs,
      process,
      type,
      operations,
      ...(error === undefined ? {} : { error }),
    })
  }

  #move(timeNs: number): void {
    assert(timeNs >= this.#lastNs, 'a history is written down in the order of time')
    this.#lastNs = timeNs
  }
}
