import { assert } from '../../base/index.ts'
import { OrderedMap } from './ordered-map.ts'

/**
 * What a lock covers: the keys from `from` on and before `to`, also those that do not exist yet, so that there are no
 * phantoms. Without `to` it has no end. A single key is the span up to the next possible key.
 */
export interface Span {
  readonly from: string
  readonly to: string | undefined
}

/** The span that holds one key and nothing else. */
export function keySpan(key: string): Span {
  return { from: key, to: `${key}\0` }
}

/** The half-open range `[from, to)`. It must hold at least one possible key. */
export function rangeSpan(from: string, to: string | undefined): Span {
  assert(to === undefined || from < to, 'a range has room for a key')
  return { from, to }
}

/** What its texts take. */
export function spanBytes({ from, to }: Span): number {
  return from.length + (to?.length ?? 0)
}

export function overlap(a: Span, b: Span): boolean {
  return (b.to === undefined || a.from < b.to) && (a.to === undefined || b.from < a.to)
}

/** Whether every key of `inner` is in `outer`. */
export function covers(outer: Span, inner: Span): boolean {
  if (inner.from < outer.from) return false
  return outer.to === undefined || (inner.to !== undefined && inner.to <= outer.to)
}

function isKey({ from, to }: Span): boolean {
  return to !== undefined && to.length === from.length + 1 && to === `${from}\0`
}

/** Things that lie on spans. Single keys are found by their order; ranges, of which there are few, one by one. */
export class SpanIndex<T extends { readonly span: Span }> {
  readonly #keys = new OrderedMap<Set<T>>()
  readonly #ranges = new Set<T>()

  add(item: T): void {
    if (!isKey(item.span)) {
      this.#ranges.add(item)
      return
    }
    const there = this.#keys.get(item.span.from)
    if (there === undefined) this.#keys.set(item.span.from, new Set([item]))
    else there.add(item)
  }

  remove(item: T): void {
    if (this.#ranges.delete(item)) return
    const there = this.#keys.get(item.span.from)
    there?.delete(item)
    if (there?.size === 0) this.#keys.delete(item.span.from)
  }

  /** All items that share a possible key with `span`. */
  overlapping(span: Span): T[] {
    const found = [...this.#ranges].filter((item) => overlap(item.span, span))
    if (isKey(span)) {
      found.push(...(this.#keys.get(span.from) ?? []))
      return found
    }
    for (const [, items] of this.#keys.entries(span.from, span.to)) for (const item of items) found.push(item)
    return found
  }
}
