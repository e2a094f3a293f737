import { assert } from '../../base/index.ts'

/** Kinds of edges, as bits of a mask. */
export const Edge = {
  /** Two appends to a key, the second right behind the first. */
  ww: 1,
  /** Who appended an element, and who read up to it. */
  wr: 2,
  /** Who read up to some place, and who appended the element behind it. */
  rw: 4,
  /** Who was over, into the chain of all ends. */
  realtime: 8,
  /** Within and out of helper nodes: it costs nothing and depends on nothing. */
  link: 16,
} as const

export const ALL_EDGES = 31

/** No key, for an edge that has none. */
export const NO_KEY = -1

/**
 * A directed graph that is filled once and then read: its edges lie in typed arrays, by the node from which they lead, so that
 * millions of them are no burden. An edge is its number.
 */
export class Graph {
  readonly nodes: number
  /** The edges from node n are `first[n]` … `first[n + 1] - 1`. */
  readonly first: Int32Array
  readonly from: Int32Array
  readonly to: Int32Array
  readonly kind: Uint8Array
  /** Which key an edge is about, or `NO_KEY`. */
  readonly key: Int32Array
  /** Where in that key's order. */
  readonly position: Int32Array

  constructor(nodes: number, edges: EdgeList) {
    this.nodes = nodes
    const { count } = edges
    this.first = new Int32Array(nodes + 1)
    for (let edge = 0; edge < count; edge++) this.first[edges.at(edge, 0) + 1]!++
    for (let node = 0; node < nodes; node++) this.first[node + 1]! += this.first[node]!
    this.from = new Int32Array(count)
    this.to = new Int32Array(count)
    this.kind = new Uint8Array(count)
    this.key = new Int32Array(count)
    this.position = new Int32Array(count)
    const next = this.first.slice()
    for (let edge = 0; edge < count; edge++) {
      const from = edges.at(edge, 0)
      const place = next[from]!++
      this.from[place] = from
      this.to[place] = edges.at(edge, 1)
      this.kind[place] = edges.at(edge, 2)
      this.key[place] = edges.at(edge, 3)
      this.position[place] = edges.at(edge, 4)
    }
  }
}

const FIELDS = 5

/** Edges in the order in which they are found. */
export class EdgeList {
  #data = new Int32Array(FIELDS * 1024)
  count = 0

  add(from: number, to: number, kind: number, key: number = NO_KEY, position = 0): void {
    assert(from !== to, 'no transaction depends on itself')
    const at = this.count * FIELDS
    if (at === this.#data.length) {
      const larger = new Int32Array(this.#data.length * 2)
      larger.set(this.#data)
      this.#data = larger
    }
    this.#data[at] = from
    this.#data[at + 1] = to
    this.#data[at + 2] = kind
    this.#data[at + 3] = key
    this.#data[at + 4] = position
    this.count++
  }

  at(edge: number, field: number): number {
    return this.#data[edge * FIELDS + field]!
  }
}
