import type { Graph } from './graph.ts'

/**
 * The strongly connected components with more than one node: every cycle lies within one of them (Tarjan 1972, with a stack of
 * its own instead of recursion: a chain of a hundred thousand transactions is ordinary).
 *
 * @param allowed a mask: other edges don't count
 * @param within only these nodes count; all when left out
 */
export function components(graph: Graph, allowed: number, within?: readonly number[]): readonly (readonly number[])[] {
  const { nodes, first, to, kind } = graph
  const UNSEEN = 0
  /** When a node was found, from 1; `nodes + 1` once its component is complete, or when it does not count. */
  const done = nodes + 1
  const found = new Int32Array(nodes)
  if (within !== undefined) {
    found.fill(done)
    for (const node of within) found[node] = UNSEEN
  }
  /** The earliest node that can be reached from a node and is not complete. */
  const low = new Int32Array(nodes)
  const next = new Int32Array(nodes)
  const open: number[] = []
  const path: number[] = []
  const result: (readonly number[])[] = []
  let clock = 0
  const enter = (node: number): void => {
    found[node] = low[node] = ++clock
    next[node] = first[node]!
    open.push(node)
    path.push(node)
  }
  const leave = (node: number): void => {
    path.pop()
    const parent = path.at(-1)
    if (parent !== undefined && low[node]! < low[parent]!) low[parent] = low[node]!
    if (low[node] !== found[node]) return
    const members = open.splice(open.lastIndexOf(node))
    for (const member of members) found[member] = done
    if (members.length > 1) result.push(members)
  }
  const roots = within ?? { length: nodes }
  for (let index = 0; index < roots.length; index++) {
    const root = within === undefined ? index : within[index]!
    if (found[root] !== UNSEEN) continue
    enter(root)
    while (path.length > 0) {
      const node = path.at(-1)!
      const edge = next[node]!
      if (edge === first[node + 1]) {
        leave(node)
        continue
      }
      next[node]!++
      if ((kind[edge]! & allowed) === 0) continue
      const target = to[edge]!
      if (found[target] === UNSEEN) enter(target)
      else if (found[target] !== done && found[target]! < low[node]!) low[node] = found[target]!
    }
  }
  return result
}
