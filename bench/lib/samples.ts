/** One line of a result: how many a second, and how long one took. */
export interface Rate {
  readonly callers: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Latencies of one kind, in milliseconds, and the time in which they were gathered. */
export class Samples {
  #latencies: number[] = []
  #elapsedMs = 0

  add(latencyMs: number): void {
    this.#latencies.push(latencyMs)
  }

  get count(): number {
    return this.#latencies.length
  }

  /** Adds another stretch of measuring. */
  merge({ latencies, elapsedMs }: Stretch): void {
    // Not `push(...)`: an argument list of a million overflows the stack.
    this.#latencies = this.#latencies.concat(latencies)
    this.#elapsedMs += elapsedMs
  }

  stretch(elapsedMs: number): Stretch {
    return { latencies: this.#latencies, elapsedMs }
  }

  rate(callers: number): Rate {
    const sorted = Float64Array.from(this.#latencies).sort()
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    return { callers, perSecond: (this.count / this.#elapsedMs) * 1000, p50Ms: at(0.5), p99Ms: at(0.99) }
  }
}

/** What one stretch of measuring gave. */
export interface Stretch {
  readonly latencies: readonly number[]
  readonly elapsedMs: number
}

/**
 * Runs `callers` loops of `once` for `seconds`; each loop waits for one call before the next.
 *
 * @param more further reason to go on, for runs that end by count: then `seconds` may be infinite
 */
export async function drive(
  callers: number,
  seconds: number,
  once: (caller: number) => Promise<void>,
  more: () => boolean = () => true,
): Promise<Stretch> {
  const samples = new Samples()
  const started = performance.now()
  const end = started + seconds * 1000
  const loop = async (caller: number): Promise<void> => {
    for (let begun = performance.now(); begun < end && more(); ) {
      await once(caller)
      const now = performance.now()
      samples.add(now - begun)
      begun = now
    }
  }
  await Promise.all(Array.from({ length: callers }, (_, caller) => loop(caller)))
  return samples.stretch(performance.now() - started)
}
