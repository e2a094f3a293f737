import { assert } from '../../base/index.ts'
import { OrderedMap, type Span } from '../locks/index.ts'
import { KvStoreFailedError } from './errors.ts'
import type { Effect } from './records.ts'
import type { KvStore } from './store.ts'

/** What a key costs in memory beside its bytes, about. */
const ENTRY_BYTES = 64

type Layer = OrderedMap<Buffer | undefined>

/**
 * All that is committed: the store, and above it in memory what was committed since the store was written last.
 *
 * While the store is being written, what goes there stands still in a layer of its own, below the newest: so it does not
 * matter for a reader whether the store has it already.
 */
export class Data {
  readonly store: KvStore
  /** Told when the store can't be read, beside the reader: what is damaged must not go on. */
  onFailure: ((error: KvStoreFailedError) => void) | undefined
  #newest: Layer = new OrderedMap()
  #frozen: Layer | undefined
  #bytes = 0

  constructor(store: KvStore) {
    this.store = store
  }

  /** Bytes of memory that the newest layer takes, about. */
  get bytes(): number {
    return this.#bytes
  }

  get(key: string): Buffer | undefined {
    for (const layer of [this.#newest, this.#frozen]) if (layer?.has(key)) return layer.get(key)
    try {
      return this.store.get(key)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** Keys and values in order. Nothing may change while it is walked. */
  *entries(span: Span): Generator<readonly [string, Buffer]> {
    const layers = [this.#newest.entries(span.from, span.to)]
    if (this.#frozen !== undefined) layers.push(this.#frozen.entries(span.from, span.to))
    for (const [key, value] of merged([...layers, this.#stored(span)])) {
      if (value !== undefined) yield [key, value]
    }
  }

  apply(effects: readonly Effect[]): void {
    for (const { key, value } of effects) {
      this.#newest.set(key, value)
      this.#bytes += ENTRY_BYTES + key.length + (value?.length ?? 0)
    }
  }

  /** What was committed so far stands still from now on, to be written to the store; the effects to write. */
  freeze(): Iterable<readonly [string, Buffer | undefined]> {
    assert(this.#frozen === undefined, 'one write of the store at a time')
    this.#frozen = this.#newest
    this.#newest = new OrderedMap()
    this.#bytes = 0
    return this.#frozen.entries()
  }

  /** The store has what stood still. */
  thaw(): void {
    this.#frozen = undefined
  }

  *#stored(span: Span): Generator<readonly [string, Buffer]> {
    try {
      yield* this.store.entries(span)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  #failed(error: unknown): unknown {
    if (error instanceof KvStoreFailedError) this.onFailure?.(error)
    return error
  }
}

/** Several ordered rows as one; of entries with the same key, the first row's counts. */
export function* merged<V>(rows: readonly Iterable<readonly [string, V]>[]): Generator<readonly [string, V]> {
  const walks = rows.map((row) => row[Symbol.iterator]())
  const heads = walks.map((walk) => walk.next())
  try {
    for (;;) {
      let first: readonly [string, V] | undefined
      for (const head of heads) if (!head.done && (first === undefined || head.value[0] < first[0])) first = head.value
      if (first === undefined) return
      yield first
      for (const [index, head] of heads.entries()) {
        if (!head.done && head.value[0] === first[0]) heads[index] = walks[index]!.next()
      }
    }
  } finally {
    for (const walk of walks) walk.return?.()
  }
}
