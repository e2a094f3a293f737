import { unreachable } from '../../base/index.ts'
import { HEALTHY } from '../disk/conditions.ts'
import { Ambushes } from './ambushes.ts'
import type { FaultContext } from './context.ts'
import { badDisk, bitFlip, fullDisk, misdirect, slowDisk } from './disk-faults.ts'
import type { Fault, FaultAction } from './fault.ts'
import { cut, partition, reset, splitJoint, swallow, weather } from './network-faults.ts'
import {
  addMember,
  demote,
  promote,
  removeMember,
  replaceMember,
  swapMember,
  transfer,
  upgrade,
} from './operator-faults.ts'
import { blackout, crash, crashAt, pause, restart, wallJump } from './process-faults.ts'

/** Makes the planned faults happen, and takes each back when its time is over. */
export class Injector {
  readonly #context: FaultContext
  readonly #faults: readonly Fault[]
  readonly #ambushes: Ambushes

  constructor(context: FaultContext, faults: readonly Fault[]) {
    this.#context = context
    this.#faults = faults
    this.#ambushes = new Ambushes(context, (fault) => this.#inject(fault))
  }

  start(): void {
    const { world, fleet } = this.#context
    for (const fault of this.#faults) {
      const { ambush, atMs } = fault
      world.after(atMs, () => (ambush === undefined ? this.#inject(fault) : this.#ambushes.lay(fault, ambush)))
    }
    fleet.raftChecks.onMoment = (...moment) => this.#ambushes.reached(...moment)
  }

  /** Everything is well again, and everybody is up. */
  heal(): void {
    const { world, fleet, victims } = this.#context
    this.#context.healed = true
    world.weather.heal()
    for (const node of fleet.nodes) {
      node.disk.conditions = HEALTHY
      node.disk.misdirectBy = undefined
      node.supervised = true
      node.process?.resume()
      node.start()
    }
    for (const victim of victims) {
      if (victim.disk !== undefined) victim.disk.conditions = HEALTHY
      world.process(victim.name)?.resume()
      victim.restart()
    }
  }

  #inject({ id, action }: Fault): void {
    const { world, healed } = this.#context
    if (healed) return
    world.note('FAULT', () => `#${id} ${JSON.stringify(action)}`)
    world.mark(`fault ${action.kind}`)
    carryOut(this.#context, action)
  }
}

function carryOut(context: FaultContext, action: FaultAction): void {
  switch (action.kind) {
    case 'crash':
      return crash(context, action)
    case 'blackout':
      return blackout(context, action)
    case 'crashAt':
      return crashAt(context, action)
    case 'restart':
      return restart(context, action)
    case 'pause':
      return pause(context, action)
    case 'partition':
      return partition(context, action)
    case 'splitJoint':
      return splitJoint(context, action)
    case 'cut':
      return cut(context, action)
    case 'reset':
      return reset(context, action)
    case 'swallow':
      return swallow(context, action)
    case 'weather':
      return weather(context, action)
    case 'slowDisk':
      return slowDisk(context, action)
    case 'badDisk':
      return badDisk(context, action)
    case 'fullDisk':
      return fullDisk(context, action)
    case 'bitFlip':
      return bitFlip(context, action)
    case 'misdirect':
      return misdirect(context, action)
    case 'transfer':
      return transfer(context, action)
    case 'addMember':
      return addMember(context, action)
    case 'removeMember':
      return removeMember(context, action)
    case 'demote':
      return demote(context, action)
    case 'promote':
      return promote(context, action)
    case 'replaceMember':
      return replaceMember(context, action)
    case 'swapMember':
      return swapMember(context, action)
    case 'upgrade':
      return upgrade(context, action)
    case 'wallJump':
      return wallJump(context, action)
    default:
      return unreachable(action)
  }
}
