import type { SimDisk } from '../disk/sim-disk.ts'
import type { SimFleet } from '../fleet/fleet.ts'
import type { SimNode } from '../fleet/node.ts'
import type { Process } from '../kernel/process.ts'
import type { Victim } from '../kernel/types.ts'
import type { SimWorld } from '../kernel/world.ts'
import { FaultAtlas } from './atlas.ts'
import type { Target } from './fault.ts'

/** Whatever a fault hits: a coordinator, a database or an application. */
export interface Hurtable {
  readonly name: string
  readonly host: string
  /** Starts it after its death. */
  readonly start: () => void
  readonly process: () => Process | undefined
}

/** Whose moment it is, and who else was there. */
export interface Occasion {
  readonly subject: SimNode
  readonly bystander: SimNode | undefined
}

/** What all faults need. */
export class FaultContext {
  readonly world: SimWorld
  readonly fleet: SimFleet
  readonly atlas: FaultAtlas
  readonly #victims: ReadonlyMap<string, Victim>
  healed = false
  /** The moment that the ambush under way is about. */
  occasion: Occasion | undefined

  constructor(world: SimWorld, fleet: SimFleet, victims: readonly Victim[]) {
    this.world = world
    this.fleet = fleet
    this.atlas = new FaultAtlas(
      () => fleet.nodes,
      () => fleet.raftChecks.configurations.all,
      (nodeId) => fleet.raftChecks.promisedBefore(nodeId),
    )
    this.#victims = new Map(victims.map((victim) => [victim.name, victim]))
  }

  get victims(): Iterable<Victim> {
    return this.#victims.values()
  }

  /** Afterwards, unless everything was healed before. */
  until(forMs: number, undo: () => void): void {
    this.world.after(forMs, () => {
      if (!this.healed) undo()
    })
  }

  node(target: Target): SimNode | undefined {
    if (target === 'subject') return this.occasion?.subject
    if (target === 'bystander') return this.occasion?.bystander
    if (target === 'leader') return this.fleet.nodes.find(({ server }) => server?.coordinator.isLeading === true)
    return this.fleet.nodes.find(({ nodeId }) => nodeId === target)
  }

  /** Undefined: there is no such thing in this run, or nobody leads. */
  hurtable(target: Target): Hurtable | undefined {
    const node = this.node(target)
    if (node !== undefined) {
      const { name, host } = node
      return { name, host, start: () => node.start(), process: () => node.process }
    }
    const victim = this.victim(target)
    if (victim === undefined) return undefined
    const { name, host } = victim
    return { name, host, start: () => victim.restart(), process: () => this.world.process(name) }
  }

  /** A machine's disk, where faults may hurt it. */
  disk(target: Target): SimDisk | undefined {
    return this.node(target)?.disk ?? this.victim(target)?.disk
  }

  host(target: Target): string | undefined {
    return this.hurtable(target)?.host
  }

  /** `database:2`, `participant:3` and `application:1` count among their kind, whatever their names; the rest of the count goes round. */
  victim(target: Target): Victim | undefined {
    const [, kind, number] = /^(database|application|participant):(\d+)$/.exec(String(target)) ?? []
    const all = [...this.#victims.values()].filter((victim) => victim.kind === kind)
    return all.length === 0 ? undefined : all[(Number(number) - 1) % all.length]
  }
}
