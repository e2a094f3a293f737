import { CALM } from '../network/conditions.ts'
import type { FaultContext } from './context.ts'
import type { FaultAction } from './fault.ts'

type Action<Kind extends FaultAction['kind']> = Extract<FaultAction, { kind: Kind }>

/** One side is cut off from everybody else. */
export function partition(context: FaultContext, { side, oneWay, forMs }: Action<'partition'>): void {
  const inside = new Set(side.map((target) => context.host(target)))
  const hosts = [...context.fleet.nodes, ...context.victims].map(({ host }) => host)
  const cuts: [string, string][] = []
  for (const from of hosts) {
    for (const to of hosts) {
      if (inside.has(from) !== inside.has(to) && (!oneWay || inside.has(from))) cuts.push([from, to])
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
