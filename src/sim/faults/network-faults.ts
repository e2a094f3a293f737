import type { NodeId } from '../../base/index.ts'
import { CALM } from '../network/conditions.ts'
import type { FaultContext } from './context.ts'
import type { FaultAction } from './fault.ts'

type Action<Kind extends FaultAction['kind']> = Extract<FaultAction, { kind: Kind }>

/** One side is cut off from everybody else. */
export function partition(context: FaultContext, { side, oneWay, reachable, forMs }: Action<'partition'>): void {
  const inside = new Set(side.map((target) => context.host(target)))
  const others = reachable ? [] : context.victims
  const hosts = [...context.fleet.nodes, ...others].map(({ host }) => host)
  const cuts: [string, string][] = []
  for (const from of hosts) {
    for (const to of hosts) {
      if (inside.has(from) !== inside.has(to) && (!oneWay || inside.has(from))) cuts.push([from, to])
    }
  }
  block(context, cuts, forMs)
}

/**
 * Cuts the coordinators in two while a joint configuration is in force: on one side a majority of the new voters, on the
 * other a majority of the old ones. The subject is on the new side if it belongs to both.
 */
export function splitJoint(context: FaultContext, { forMs }: Action<'splitJoint'>): void {
  const [incoming, outgoing] = context.fleet.raftChecks.configurations.inForce
  if (incoming === undefined || outgoing === undefined) return
  const subject = context.occasion?.subject.nodeId
  const shared = incoming.filter((voter) => outgoing.includes(voter))
  shared.sort((a, b) => Number(b === subject) - Number(a === subject))
  const newcomers = incoming.filter((voter) => !outgoing.includes(voter))
  const missing = Math.floor(incoming.length / 2) + 1 - newcomers.length
  const newSide = new Set<NodeId>([...newcomers, ...shared.slice(0, Math.max(0, missing))])
  const cuts: [string, string][] = []
  for (const one of context.fleet.nodes) {
    for (const other of context.fleet.nodes) {
      if (newSide.has(one.nodeId) !== newSide.has(other.nodeId)) cuts.push([one.host, other.host])
    }
  }
  block(context, cuts, forMs)
}

/** One direction between two. */
export function cut(context: FaultContext, { from, to, forMs }: Action<'cut'>): void {
  const [a, b] = [context.host(from), context.host(to)]
  if (a !== undefined && b !== undefined && a !== b) block(context, [[a, b]], forMs)
}

export function reset(context: FaultContext, { a, b }: Action<'reset'>): void {
  const [one, other] = [context.host(a), context.host(b)]
  if (one !== undefined && other !== undefined) context.world.weather.reset(one, other)
}

export function swallow(context: FaultContext, { from, to }: Action<'swallow'>): void {
  const [a, b] = [context.host(from), context.host(to)]
  if (a !== undefined && b !== undefined) context.world.weather.swallow(a, b)
}

export function weather(context: FaultContext, { conditions, forMs }: Action<'weather'>): void {
  const network = context.world.weather
  network.conditions = { ...CALM, ...conditions }
  context.until(forMs, () => {
    network.conditions = CALM
  })
}

function block(context: FaultContext, cuts: readonly (readonly [string, string])[], forMs: number): void {
  const network = context.world.weather
  for (const [from, to] of cuts) network.block(from, to)
  context.until(forMs, () => {
    for (const [from, to] of cuts) network.unblock(from, to)
  })
}
