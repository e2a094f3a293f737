/** A chunk that has grown to this size is cut in two. Finding is logarithmic; insertion moves at most this many keys. */
const CHUNK_KEYS_MAX = 512

/**
 * A map from strings whose keys can also be walked in order (of UTF-16 code units, which for keys of latin1 characters
 * is the order of their bytes). Walk it without changing it.
 */
export class OrderedMap<V> {
  readonly #values = new Map<string, V>()
  /** All keys in order, in chunks of which none is empty. */
  readonly #chunks: string[][] = []

  get size(): number {
    return this.#values.size
  }

  get(key: string): V | undefined {
    return this.#values.get(key)
  }

  has(key: string): boolean {
    return this.#values.has(key)
  }

  set(key: string, value: V): void {
    if (!this.#values.has(key)) this.#insert(key)
    this.#values.set(key, value)
  }

  delete(key: string): boolean {
    if (!this.#values.delete(key)) return false
    const at = this.#chunkOf(key)
    const chunk = this.#chunks[at]!
    chunk.splice(lowerBound(chunk, key), 1)
    if (chunk.length === 0) this.#chunks.splice(at, 1)
    return true
  }

  /** The entries from `from` on, before `to` (or up to the end), in order. */
  *entries(from = '', to?: string): Generator<readonly [string, V]> {
    for (let at = this.#chunkOf(from); at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at]!
      for (let i = lowerBound(chunk, from); i < chunk.length; i++) {
        const key = chunk[i]!
        if (to !== undefined && key >= to) return
        yield [key, this.#values.get(key)!]
      }
    }
  }

  #insert(key: string): void {
    const at = this.#chunkOf(key)
    const chunk = this.#chunks[at]
    if (chunk === undefined) {
      this.#chunks.push([key])
      return
    }
    chunk.splice(lowerBound(chunk, key), 0, key)
    if (chunk.length > CHUNK_KEYS_MAX) this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK_KEYS_MAX / 2))
  }

  /** The last chunk that begins at or before `key`, else the first. */
  #chunkOf(key: string): number {
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#chunks[middle]![0]! <= key) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }
}

/** The index of the first key that is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}
