/**
 * 32-bit hashing for tables and state digests. Not for secrets: it only has to be quick, well mixed and the same on
 * every replica for ever, because a branch digest outlives the process that made it.
 */

/** The finaliser of MurmurHash3 (Austin Appleby, public domain): every input bit reaches every output bit. */
export function mix32(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** Folds one more 32-bit word into a running hash (MurmurHash3's body). Order counts. */
export function fold32(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51)
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593)
  const h = hash ^ k
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
}

/** Hashes a text by its UTF-16 units: no encoding step, and equal strings are equal everywhere. */
export function hashText(text: string, seed: number): number {
  let h = fold32(seed, text.length)
  // FNV-1a steps within, one strong mix at the end: names are short, so a cheap step counts more than a good one.
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return mix32(h)
}

/**
 * Two 32-bit lanes fed with the same words. Sums of finished lanes (mod 2^32) give a digest of a *set*, whatever the
 * order in which its members came.
 */
export class Hasher {
  low = 0x243f6a88
  high = 0x85a308d3

  word(value: number): void {
    this.low = fold32(this.low, value)
    this.high = fold32(this.high, value ^ 0x13198a2e)
  }

  /** A whole number below 2^53. */
  number(value: number): void {
    this.word(Math.floor(value / 2 ** 32))
    this.word(value | 0)
  }

  text(value: string): void {
    this.low = hashText(value, this.low)
    this.high = hashText(value, this.high)
  }

  /** An optional text: absent and empty differ. */
  optional(value: string | undefined): void {
    this.word(value === undefined ? 0 : 1)
    if (value !== undefined) this.text(value)
  }

  /** Sixteen hex digits of everything that was fed in. */
  hex(): string {
    return toHex(mix32(this.low)) + toHex(mix32(this.high))
  }
}

function toHex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}
