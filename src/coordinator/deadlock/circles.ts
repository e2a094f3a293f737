import { type BranchId, type Txid, WaitForGraph } from '../../base/index.ts'
import type { LockWait } from '../../resources/index.ts'
import type { TransactionWait, WaitingTransaction } from '../../transport/index.ts'

/** What one look at everything saw. */
export interface Observation {
  /** The waits of each database that was asked. */
  readonly databases: ReadonlyMap<string, readonly LockWait[]>
  /** The waits that each key-value participant told since the look before. */
  readonly stores: ReadonlyMap<string, readonly TransactionWait[]>
}

/** One transaction waits for another in one place. */
export interface Edge {
  readonly waiter: Txid
  readonly blocker: Txid
  readonly participant: string
  readonly branch: BranchId
  /** The waiter's statement that waits. */
  readonly statement: number
  /** The same in two looks only if it is the same wait of the same statement for the same transaction. */
  readonly key: string
}

/** Transactions of which each waits for the next, and the last for the first. */
export interface Circle {
  readonly victim: Txid
  /** From each to the next. */
  readonly edges: readonly Edge[]
}

/** A wait as both kinds of participant tell it: by sessions, or by txids. */
interface Wait {
  readonly node: string
  readonly wait: string
  readonly blockers: readonly string[]
}

/**
 * Who waits for whom, by txid: what applications said of their sessions, joined with what databases said of waits between
 * sessions. A session of nobody that was reported may stand between two: then the one waits for the other through it.
 */
export function edgesOf(
  transactions: Iterable<WaitingTransaction>,
  { databases, stores }: Observation,
): ReadonlyMap<string, Edge> {
  const places = new Map<string, readonly Wait[]>()
  for (const [name, waits] of stores) {
    places.set(
      name,
      waits.map(({ txid, wait, blockers }) => ({ node: txid, wait: String(wait), blockers })),
    )
  }
  for (const [name, waits] of databases) {
    places.set(
      name,
      waits.map(({ session, wait, blockers }) => ({ node: session, wait, blockers })),
    )
  }
  const all = [...transactions]
  const edges = new Map<string, Edge>()
  for (const [participant, waits] of places) {
    for (const edge of edgesAt(participant, all, waits, stores.has(participant))) edges.set(edge.key, edge)
  }
  return edges
}

function* edgesAt(
  participant: string,
  transactions: readonly WaitingTransaction[],
  waits: readonly Wait[],
  isStore: boolean,
): Generator<Edge> {
  const here = transactions.flatMap(({ txid, branches }) =>
    branches
      .filter((each) => each.participant === participant && (isStore || each.session !== ''))
      .map(({ branch, session, statement }) => ({ txid, branch, statement, node: isStore ? txid : session })),
  )
  const owners = new Map(here.map(({ node, txid }) => [node, txid]))
  const waitOf = new Map(waits.map((wait) => [wait.node, wait]))
  for (const { txid: waiter, branch, statement, node } of here) {
    const wait = waitOf.get(node)
    if (statement === 0 || wait === undefined) continue
    for (const blocker of reachable(wait, waitOf, owners)) {
      if (blocker === waiter) continue
      const key = [participant, node, branch, statement, wait.wait, waiter, blocker].join(' ')
      yield { waiter, blocker, participant, branch, statement, key }
    }
  }
}

/** The transactions that a wait is for: directly, or through nodes that belong to none of them. */
function reachable(
  { blockers }: Wait,
  waitOf: ReadonlyMap<string, Wait>,
  owners: ReadonlyMap<string, Txid>,
): ReadonlySet<Txid> {
  const found = new Set<Txid>()
  const seen = new Set(blockers)
  // A set keeps the order, and a loop over it reaches what is added meanwhile.
  for (const node of seen) {
    const owner = owners.get(node)
    if (owner !== undefined) found.add(owner)
    else for (const next of waitOf.get(node)?.blockers ?? []) seen.add(next)
  }
  return found
}

/** The circles among these edges, each with another victim: the victim of one is no part of those that are found after it. */
export function circlesOf(edges: Iterable<Edge>): readonly Circle[] {
  const graph = new WaitForGraph()
  const between = new Map<string, Edge>()
  for (const edge of onlyCircular([...edges])) {
    graph.add(edge.key, edge.waiter, [edge.blocker])
    between.set(`${edge.waiter} ${edge.blocker}`, edge)
  }
  const circles: Circle[] = []
  for (const waiter of new Set([...between.values()].map((edge) => edge.waiter))) {
    for (let found = graph.deadlockOf(waiter); found !== undefined; found = graph.deadlockOf(waiter)) {
      const { circle, victim } = found
      circles.push({
        victim,
        edges: circle.map((txid, index) => between.get(`${txid} ${circle[(index + 1) % circle.length]}`)!),
      })
      graph.remove(victim)
    }
  }
  return circles
}

/**
 * Leaves out every edge to a transaction that waits for nobody, and so on, until none is left or only those that lead into a
 * circle. Linear, and as a rule all that has to be done: among a thousand who wait there is hardly ever a circle.
 */
function onlyCircular(edges: readonly Edge[]): readonly Edge[] {
  const waitsLeft = new Map<Txid, number>()
  const towards = new Map<Txid, Edge[]>()
  for (const edge of edges) {
    waitsLeft.set(edge.waiter, (waitsLeft.get(edge.waiter) ?? 0) + 1)
    const others = towards.get(edge.blocker)
    if (others === undefined) towards.set(edge.blocker, [edge])
    else others.push(edge)
  }
  const free = [...towards.keys()].filter((txid) => !waitsLeft.has(txid))
  for (const txid of free) {
    for (const { waiter } of towards.get(txid) ?? []) {
      const left = waitsLeft.get(waiter)! - 1
      waitsLeft.set(waiter, left)
      if (left === 0) free.push(waiter)
    }
  }
  const gone = new Set(free)
  return edges.filter(({ waiter, blocker }) => !gone.has(waiter) && !gone.has(blocker))
}

/** `A waits for B in flights, B waits for A in hotels`. */
export function describe({ edges }: Circle): string {
  return edges
    .map(({ waiter, blocker, participant }) => `${waiter} waits for ${blocker} in "${participant}"`)
    .join(', ')
}
