/** A running 64-bit fingerprint of a run (two FNV-1a lanes): two runs that did the same have the same. */
export class TraceHash {
  #low = 0x811c9dc5
  #high = 0x9747b28c
  readonly #float = new Float64Array(1)
  readonly #words = new Uint32Array(this.#float.buffer)

  /** Mixes a whole number (its low 32 bits). */
  word(value: number): void {
    this.#low = Math.imul(this.#low ^ value, 0x01000193)
    this.#high = Math.imul(this.#high ^ (value + (this.#low >>> 15)), 0x85ebca6b)
  }

  /** Mixes a floating-point number, all its bits. */
  number(value: number): void {
    this.#float[0] = value
    this.word(this.#words[0]!)
    this.word(this.#words[1]!)
  }

  /** Mixes bytes: a sample of a long chunk, for the end of one run must not differ where the middle is equal. */
  bytes(bytes: Uint8Array): void {
    const { length } = bytes
    const step = length <= SAMPLE_BYTES ? 1 : Math.ceil(length / SAMPLE_BYTES)
    for (let i = 0; i < length; i += step) this.word(bytes[i]!)
    this.word(length)
  }

  text(text: string): void {
    for (let i = 0; i < text.length; i++) this.word(text.charCodeAt(i))
    this.word(text.length)
  }

  /** Sixteen hex digits. */
  get digest(): string {
    return hex(this.#high) + hex(this.#low)
  }
}

const SAMPLE_BYTES = 64

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}

/** A seed for a generator of its own, from a run's seed and a name. Whole number below 2^53. */
export function seedOf(seed: number, name: string): number {
  const hash = new TraceHash()
  hash.number(seed)
  hash.text(name)
  return Number.parseInt(hash.digest.slice(0, 13), 16)
}
