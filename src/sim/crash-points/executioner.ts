import { FAILPOINTS, type FailpointHit, type FailpointName } from '../../base/index.ts'
import type { FaultContext, Hurtable } from '../faults/context.ts'
import { seedOf } from '../kernel/hash.ts'
import type { Process } from '../kernel/process.ts'
import type { RowCheck } from './row-check.ts'
import type { Scenario } from './scenarios.ts'
import type { Way } from './ways.ts'

export interface ExecutionerParts {
  readonly point: FailpointName
  readonly way: Way
  readonly scenario: Scenario
  readonly context: FaultContext
  readonly row: RowCheck
  /** Whether everything that the dead one left behind is done. */
  readonly othersAreDone: () => boolean
}

/** A process is started again so long after its death. */
const DOWN_MS = 20
/** Nobody dies before: the first leader is elected by then. */
const FROM_MS = 600
/** How often it is looked whether others have finished. */
const LOOK_MS = 50
/** An application that leaves work behind stays away for so long. */
const PRECEDING_DOWN_MS = 3_000

/** Lies in wait at one point, and does what the way asks for when somebody comes there. */
export class Executioner {
  died: { readonly who: string; readonly atMs: number; readonly txid: string | undefined } | undefined
  diedAgain: string | undefined
  /** Everybody is back, or on the way. */
  isOver = false
  /** Called once, when the last crash has happened. */
  onCrash: () => void = () => {}
  readonly #parts: ExecutionerParts
  #preceded = false
  /** In the way `again`: who comes up and is to die once more. */
  #onItsWay: Hurtable | undefined

  constructor(parts: ExecutionerParts) {
    this.#parts = parts
  }

  /** A process is at a point; what it does from here on nobody sees when it dies. */
  reached(hit: FailpointHit): void {
    const { point, scenario, context } = this.#parts
    const { world } = context
    const process = world.current
    if (process?.alive !== true) return
    if (this.#onItsWay !== undefined) return this.#dieAgainAt(hit, process)
    if (this.died !== undefined || world.nowMs < (scenario.fromMs ?? FROM_MS)) return
    if (scenario.precededBy !== undefined && !this.#preceded) return this.#precede(hit, process)
    if (hit.name !== point || (FAILPOINTS[point].recovery === true && process.incarnation === 1 && isStart(point)))
      return
    this.#crash(hit, process)
  }

  #precede(hit: FailpointHit, process: Process): void {
    const { scenario, context } = this.#parts
    if (hit.name !== scenario.precededBy || !process.name.startsWith('app-')) return
    this.#preceded = true
    process.kill('killed')
    const victim = hurtableOf(context, process.name)
    context.world.after(PRECEDING_DOWN_MS, () => victim?.start())
  }

  #crash(hit: FailpointHit, process: Process): void {
    const { context, way, row } = this.#parts
    const { world } = context
    const victim = hurtableOf(context, process.name)
    if (victim === undefined) return
    const target = way === 'server' ? hurtableOf(context, hit.place ?? '') : victim
    if (target === undefined) return
    this.died = {
      who: way === 'connection' ? `${victim.name} – ${hit.place}` : target.name,
      atMs: world.nowMs,
      txid: hit.txid,
    }
    row.crashed(hit, process)
    world.note(process.name, () => `is at ${hit.name} of ${hit.txid ?? 'nothing'}: ${way}`)
    this.#carryOut(hit, victim, target)
    if (way !== 'again') world.after(0, () => this.onCrash())
  }

  #carryOut({ place }: FailpointHit, victim: Hurtable, target: Hurtable): void {
    const { context, way } = this.#parts
    const { world } = context
    switch (way) {
      case 'restart':
      case 'server':
        target.process()?.kill('killed')
        world.after(DOWN_MS, () => this.#end(target))
        break
      case 'power':
        target.process()?.kill('power')
        world.after(DOWN_MS, () => this.#end(target))
        break
      case 'takeover':
        target.process()?.kill('killed')
        this.#awaitOthers(target)
        break
      case 'again':
        target.process()?.kill('killed')
        world.after(DOWN_MS, () => this.#comeUp(target))
        break
      case 'connection':
        world.weather.reset(victim.host, hurtableOf(context, place ?? '')?.host ?? '')
        this.isOver = true
        break
    }
  }

  /** It starts for the last time. */
  #end(target: Hurtable): void {
    target.start()
    this.isOver = true
  }

  #awaitOthers(target: Hurtable): void {
    const { context, othersAreDone } = this.#parts
    const { world } = context
    const look = (): void => {
      if (context.healed && othersAreDone()) this.#end(target)
      else world.after(LOOK_MS, look)
    }
    world.after(LOOK_MS, look)
  }

  /** It starts, and dies at a point of its recovery, or at one of the first uses of a seam where it has none. */
  #comeUp(target: Hurtable): void {
    const { context, point } = this.#parts
    target.start()
    this.#onItsWay = target
    const process = target.process()
    if (process === undefined || target.name.startsWith('node-')) return
    let left = 2 + (seedOf(context.world.seed, point) % 12)
    process.trap = (seam) => {
      if (--left > 0) return
      process.trap = undefined
      this.#diesAgain(process, `use of a seam (${seam})`)
    }
  }

  #dieAgainAt(hit: FailpointHit, process: Process): void {
    if (process.name !== this.#onItsWay?.name || FAILPOINTS[hit.name].recovery !== true) return
    // Where in the recovery differs from row to row.
    const { point, context } = this.#parts
    const wanted =
      FAILPOINTS[point].recovery === true ? point : RECOVERY[seedOf(context.world.seed, point) % RECOVERY.length]
    if (hit.name === wanted || hit.name === 'raft.start.restored') this.#diesAgain(process, hit.name)
  }

  #diesAgain(process: Process, where: string): void {
    const target = this.#onItsWay
    if (target === undefined) return
    this.#onItsWay = undefined
    this.diedAgain = where
    process.kill('power')
    const { world } = this.#parts.context
    world.after(0, () => this.onCrash())
    world.after(DOWN_MS, () => this.#end(target))
  }
}

const RECOVERY = ['raft.start.before-read', 'raft.start.log-read', 'raft.start.restored'] as const

function isStart(point: FailpointName): boolean {
  return point.includes('.start.')
}

function hurtableOf({ world, fleet, victims }: FaultContext, name: string): Hurtable | undefined {
  const node = fleet.nodes.find((each) => each.name === name)
  if (node !== undefined) return { name, host: node.host, start: () => node.start(), process: () => node.process }
  for (const victim of victims) {
    if (victim.name !== name) continue
    return { name, host: victim.host, start: () => victim.restart(), process: () => world.process(name) }
  }
  return undefined
}
