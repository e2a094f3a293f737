import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

/** What a simulated run must not touch, with the name under which it is reported. */
interface Forbidden {
  readonly holder: Record<string, unknown>
  readonly key: string
  readonly name: string
}

/** Something in a run read the machine's clock, randomness or timers: the seed does not decide everything then. */
export class LeakError extends Error {
  override readonly name = 'LeakError'

  constructor(what: string) {
    super(`${what} was used inside the simulated world; take it from a parameter instead (clock, random, later)`)
  }
}

const globals = globalThis as unknown as Record<string, unknown>
const FORBIDDEN: readonly Forbidden[] = [
  ...['setTimeout', 'setInterval', 'setImmediate'].map((key) => ({ holder: globals, key, name: key })),
  { holder: Date as unknown as Record<string, unknown>, key: 'now', name: 'Date.now' },
  { holder: Math as unknown as Record<string, unknown>, key: 'random', name: 'Math.random' },
  { holder: performance as unknown as Record<string, unknown>, key: 'now', name: 'performance.now' },
  { holder: process as unknown as Record<string, unknown>, key: 'hrtime', name: 'process.hrtime' },
  { holder: AbortSignal as unknown as Record<string, unknown>, key: 'timeout', name: 'AbortSignal.timeout' },
  ...['randomBytes', 'randomFillSync', 'randomFill', 'randomUUID', 'randomInt'].map((key) => ({
    holder: crypto as unknown as Record<string, unknown>,
    key,
    name: `crypto.${key}`,
  })),
]

/**
 * Makes the machine's clock, randomness and timers unusable while simulated code runs. Code outside of it (the test
 * runner's, between two batches) keeps them.
 *
 * A leak is reported as well as thrown: whoever called may catch the error.
 */
export class Guard {
  #active = false
  #onLeak: (error: LeakError) => void = () => {}
  readonly #originals = new Map<Forbidden, unknown>()

  /** Puts the traps in place. Call `remove` at the end of the run. */
  install(onLeak: (error: LeakError) => void): void {
    this.#onLeak = onLeak
    for (const forbidden of FORBIDDEN) {
      const { holder, key } = forbidden
      const original = holder[key] as (...parameters: unknown[]) => unknown
      this.#originals.set(forbidden, original)
      holder[key] = this.#trap(forbidden.name, original)
    }
    syncBuiltinESMExports()
  }

  remove(): void {
    for (const [{ holder, key }, original] of this.#originals) holder[key] = original
    this.#originals.clear()
    syncBuiltinESMExports()
  }

  /** Simulated code runs from now on. */
  enter(): void {
    this.#active = true
  }

  leave(): void {
    this.#active = false
  }

  #trap(name: string, original: (...parameters: unknown[]) => unknown): unknown {
    const trap = (...parameters: unknown[]): unknown => {
      if (!this.#active) return original.apply(undefined, parameters)
      const error = new LeakError(name)
      this.#onLeak(error)
      throw error
    }
    // performance.now and hrtime.bigint must keep working outside.
    return name === 'performance.now' ? this.#bound(trap, original) : Object.assign(trap, original)
  }

  #bound(trap: (...parameters: unknown[]) => unknown, original: (...parameters: unknown[]) => unknown): unknown {
    return () => (this.#active ? trap() : original.call(performance))
  }
}
