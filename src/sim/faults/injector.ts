import { HEALTHY } from '../disk/conditions.ts'
import type { SimFleet } from '../fleet/fleet.ts'
import type { SimNode } from '../fleet/node.ts'
import type { Victim, Workload } from '../kernel/types.ts'
import type { SimWorld } from '../kernel/world.ts'
import { CALM } from '../network/conditions.ts'
import type { Fault, FaultAction, Target } from './fault.ts'
import type { Plan } from './plan.ts'

/** Makes the planned faults happen, and takes each back when its time is over. */
export class Injector {
  readonly #world: SimWorld
  readonly #fleet: SimFleet
  readonly #victims: ReadonlyMap<string, Victim>
  readonly #plan: Plan
  #healed = false

  constructor(world: SimWorld, fleet: SimFleet, workload: Workload, plan: Plan) {
    this.#world = world
    this.#fleet = fleet
    this.#victims = new Map(workload.victims.map((victim) => [victim.name, victim]))
    this.#plan = plan
  }

  start(): void {
    for (const fault of this.#plan.faults) this.#world.after(fault.atMs, () => this.#inject(fault))
  }

  /** Everything is well again, and everybody is up. */
  heal(): void {
    this.#healed = true
    this.#world.weather.heal()
    for (const node of this.#fleet.nodes) {
      node.disk.conditions = HEALTHY
      node.disk.trap = undefined
      node.supervised = true
      node.process?.resume()
      node.start()
    }
    for (const victim of this.#victims.values()) {
      this.#world.process(victim.name)?.resume()
      victim.restart()
    }
  }

  #inject({ id, action }: Fault): void {
    if (this.#healed) return
    this.#world.note('FAULT', () => `#${id} ${JSON.stringify(action)}`)
    this.#world.mark(`fault ${action.kind}`)
    this.#carryOut(action)
  }

  #carryOut(action: FaultAction): void {
    switch (action.kind) {
      case 'crash':
        return this.#crash(this.#node(action.target), action.death, action.downMs)
      case 'blackout':
        for (const node of this.#fleet.nodes) this.#crash(node, 'power', action.downMs)
        return
      case 'crashInDisk':
        return this.#crashInDisk(this.#node(action.target), action)
      case 'restart':
        return this.#restart(this.#node(action.target), action.downMs)
      case 'pause':
        return this.#pause(this.#node(action.target), action.forMs)
      case 'partition':
        return this.#partition(action)
      case 'cut':
        return this.#cut([[this.#host(action.from), this.#host(action.to)]], action.forMs)
      case 'reset':
        return this.#world.weather.reset(this.#host(action.a) ?? '', this.#host(action.b) ?? '')
      case 'swallow':
        return this.#world.weather.swallow(this.#host(action.from) ?? '', this.#host(action.to) ?? '')
      case 'weather':
        this.#world.weather.conditions = { ...CALM, ...action.conditions }
        return this.#until(action.forMs, () => {
          this.#world.weather.conditions = CALM
        })
      case 'slowDisk':
        return this.#disk(action.target, { latencyMs: action.latencyMs, jitterMs: action.latencyMs }, action.forMs)
      case 'badDisk':
        return this.#disk(action.target, { writeError: action.chance }, action.forMs)
      case 'fullDisk': {
        const node = this.#node(action.target)
        if (node === undefined) return
        return this.#disk(node.nodeId, { capacityBytes: node.disk.usedBytes + action.roomBytes }, action.forMs)
      }
      case 'wallJump':
        return this.#node(action.target)?.process?.jumpWall(action.byMs)
    }
  }

  #crash(node: SimNode | undefined, death: 'killed' | 'power', downMs: number): void {
    if (node?.process === undefined) return
    node.crash(death)
    this.#until(downMs, () => node.start())
  }

  #crashInDisk(node: SimNode | undefined, action: Extract<FaultAction, { kind: 'crashInDisk' }>): void {
    if (node === undefined) return
    let left = action.operations
    node.disk.trap = () => {
      if (--left > 0) return 'done'
      node.disk.trap = undefined
      this.#crash(node, action.death, action.downMs)
      return 'never'
    }
  }

  #restart(node: SimNode | undefined, downMs: number): void {
    if (node?.process === undefined) return
    node.supervised = false
    node.stop()
    const startAgain = (): void => {
      if (this.#healed) return
      if (node.process !== undefined) {
        this.#until(100, startAgain)
        return
      }
      node.supervised = true
      node.start()
    }
    this.#until(downMs, startAgain)
  }

  #pause(node: SimNode | undefined, forMs: number): void {
    const process = node?.process
    if (process === undefined) return
    process.pause()
    this.#until(forMs, () => process.resume())
  }

  #partition({ side, oneWay, forMs }: Extract<FaultAction, { kind: 'partition' }>): void {
    const hosts = this.#hosts()
    const inside = new Set(side.map((target) => this.#host(target)))
    const cuts: [string, string][] = []
    for (const from of hosts) {
      for (const to of hosts) {
        if (inside.has(from) === inside.has(to)) continue
        if (!oneWay || inside.has(from)) cuts.push([from, to])
      }
    }
    this.#cut(cuts, forMs)
  }

  #cut(pairs: readonly (readonly [string | undefined, string | undefined])[], forMs: number): void {
    const { weather } = this.#world
    for (const [from, to] of pairs) if (from !== undefined && to !== undefined && from !== to) weather.block(from, to)
    this.#until(forMs, () => {
      for (const [from, to] of pairs) if (from !== undefined && to !== undefined) weather.unblock(from, to)
    })
  }

  #disk(target: Target, conditions: Partial<typeof HEALTHY>, forMs: number): void {
    const node = this.#node(target)
    if (node === undefined) return
    node.disk.conditions = { ...HEALTHY, ...conditions }
    this.#until(forMs, () => {
      node.disk.conditions = HEALTHY
    })
  }

  /** Afterwards, unless everything was healed before. */
  #until(forMs: number, undo: () => void): void {
    this.#world.after(forMs, () => {
      if (!this.#healed) undo()
    })
  }

  #node(target: Target): SimNode | undefined {
    if (target === 'leader') return this.#fleet.nodes.find(({ server }) => server?.coordinator.isLeading === true)
    return this.#fleet.nodes.find(({ nodeId }) => nodeId === target)
  }

  #host(target: Target): string | undefined {
    return this.#node(target)?.host ?? this.#victims.get(String(target))?.host
  }

  #hosts(): readonly string[] {
    return [...this.#fleet.nodes, ...this.#victims.values()].map(({ host }) => host)
  }
}
