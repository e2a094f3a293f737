import { assert } from '../../base/index.ts'
import { components } from './components.ts'
import { Edge, type Graph } from './graph.ts'

/** So many nodes of a component are tried as the beginning of its shortest cycle: in larger ones it may be not quite the shortest. */
const STARTS_MAX = 64
/** So many reads of what was overwritten later are tried. */
const READS_MAX = 4_096

const { ww, wr, rw, realtime, link } = Edge

/** Finds cycles in the components of a graph. */
export class CycleSearch {
  readonly #graph: Graph
  #component: readonly number[] = []
  /** By node: whether the search that runs now may go there. */
  readonly #inside: Uint8Array
  /** By node: the edge by which it was reached, in the walk whose number is in `#walked`. */
  readonly #by: Int32Array
  readonly #walked: Int32Array
  #walk = 0

  constructor(graph: Graph) {
    this.#graph = graph
    this.#inside = new Uint8Array(graph.nodes)
    this.#by = new Int32Array(graph.nodes)
    this.#walked = new Int32Array(graph.nodes)
  }

  /**
   * The worst cycle of a component, and among these a shortest: first those without the order of time, and of these first
   * those of writes alone, with reads of what was written, with one read of what was overwritten, with more.
   *
   * @returns the cycle's edges in their order
   */
  worst(component: readonly number[]): readonly number[] {
    this.#component = component
    for (const time of [0, realtime]) {
      const found =
        this.#shortest(ww | time) ??
        this.#shortest(ww | wr | time) ??
        this.#withOneRead(ww | wr | time) ??
        this.#shortest(ww | wr | rw | time)
      if (found !== undefined) return found
    }
    assert(false, 'a strongly connected component has a cycle')
  }

  /** A shortest cycle of these edges only. */
  #shortest(kinds: number): readonly number[] | undefined {
    const parts = components(this.#graph, kinds | link, this.#component)
    const smallest = parts.toSorted((a, b) => a.length - b.length)[0]
    if (smallest === undefined) return undefined
    this.#only(smallest)
    let best: readonly number[] | undefined
    for (const node of smallest.slice(0, STARTS_MAX)) {
      const found = this.#path(node, node, kinds | link, best === undefined ? Infinity : this.#cost(best))
      if (found !== undefined) best = found
    }
    return best
  }

  /** A shortest cycle of these edges and exactly one rw. */
  #withOneRead(kinds: number): readonly number[] | undefined {
    const { first, kind, to } = this.#graph
    this.#only(this.#component)
    let best: readonly number[] | undefined
    let tried = 0
    for (const node of this.#component) {
      for (let edge = first[node]!; edge < first[node + 1]!; edge++) {
        if (kind[edge] !== rw || this.#inside[to[edge]!] === 0) continue
        if (++tried > READS_MAX) return best
        const back = this.#path(to[edge]!, node, kinds | link, best === undefined ? Infinity : this.#cost(best) - 1)
        if (back !== undefined) best = [edge, ...back]
      }
    }
    return best
  }

  #only(nodes: readonly number[]): void {
    this.#inside.fill(0)
    for (const node of nodes) this.#inside[node] = 1
  }

  #cost(edges: readonly number[]): number {
    return edges.filter((edge) => this.#graph.kind[edge] !== link).length
  }

  /** A shortest way, at least one edge long and cheaper than `below`. Links cost nothing. */
  #path(from: number, target: number, allowed: number, below: number): readonly number[] | undefined {
    const { first, to, kind } = this.#graph
    const walk = ++this.#walk
    let level = [from]
    for (let cost = 0; cost < below && level.length > 0; cost++) {
      const next: number[] = []
      // Links lead to more of the same level.
      for (let at = 0; at < level.length; at++) {
        const node = level[at]!
        for (let edge = first[node]!; edge < first[node + 1]!; edge++) {
          const found = to[edge]!
          const isLink = kind[edge] === link
          if ((kind[edge]! & allowed) === 0 || this.#inside[found] === 0 || this.#walked[found] === walk) continue
          if (!isLink && cost + 1 >= below) continue
          this.#walked[found] = walk
          this.#by[found] = edge
          if (found === target) return this.#wayBack(from, target)
          if (isLink) level.push(found)
          else next.push(found)
        }
      }
      level = next
    }
    return undefined
  }

  #wayBack(from: number, target: number): readonly number[] {
    const edges: number[] = []
    let node = target
    do {
      const edge = this.#by[node]!
      edges.push(edge)
      node = this.#graph.from[edge]!
    } while (node !== from)
    return edges.reverse()
  }
}
