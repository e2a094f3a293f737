/** A pending timer; hand it to `Clock.cancel`. */
export type Timer = { readonly timer: unknown }

/**
 * The seam to time. Shells take it as a parameter; the simulator has its own. Pure cores get ticks instead.
 */
export interface Clock {
  /** Monotonic milliseconds (fractional) from an arbitrary start. Deadlines and ages are measured with it. */
  monotonicMs(): number
  /** Milliseconds since 1970. Only for ids and for what people read: it can jump. */
  wallMs(): number
  /** Calls `task` once after `delayMs`. Does not keep the process alive. */
  after(delayMs: number, task: () => void): Timer
  /** Calls `task` every `periodMs` until cancelled. Does not keep the process alive. */
  every(periodMs: number, task: () => void): Timer
  cancel(timer: Timer): void
}

/** The machine's own clock. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, task) => ({ timer: setTimeout(task, delayMs).unref() }),
  every: (periodMs, task) => ({ timer: setInterval(task, periodMs).unref() }),
  // Node cancels intervals and timeouts alike with either function.
  cancel: ({ timer }) => clearTimeout(timer as NodeJS.Timeout),
}

/** Resolves after `delayMs` of `clock`'s time. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve))
}
