/**
 * A seeded generator (sfc32, Chris Doty-Humphrey, PractRand). Pure cores get their randomness from one of these,
 * so a seed replays a run exactly. Not for secrets.
 */
export class Prng {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** @param seed any integer; its low 53 bits count */
  constructor(seed: number) {
    this.#a = seed >>> 0
    this.#b = Math.floor(seed / 2 ** 32) >>> 0
    this.#c = 0x9e3779b9
    // The state mixes slowly from a small seed: the first outputs of near seeds resemble each other.
    for (let i = 0; i < 12; i++) this.uint32()
  }

  /** A whole number from 0 to 2^32 - 1. */
  uint32(): number {
    const result = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + result
    this.#c |= 0
    return result >>> 0
  }

  /** A whole number from 0 to `bound - 1`. */
  below(bound: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * bound)
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.uint32() / 2 ** 32 < probability
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }
}
