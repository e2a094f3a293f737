import type { NodeId } from '../../base/index.ts'
import type { FaultContext, Occasion } from './context.ts'
import type { Ambush, Fault, Moment } from './fault.ts'

/** Faults that lie in wait for a moment, and what else they need to know of it. */
export class Ambushes {
  readonly #context: FaultContext
  readonly #inject: (fault: Fault) => void
  #waiting: { readonly fault: Fault; readonly ambush: Ambush; left: number }[] = []

  /** @param inject called for each in its time, with `context.occasion` set */
  constructor(context: FaultContext, inject: (fault: Fault) => void) {
    this.#context = context
    this.#inject = inject
  }

  lay(fault: Fault, ambush: Ambush): void {
    this.#waiting.push({ fault, ambush, left: ambush.nth })
  }

  reached(moment: Moment, nodeId: NodeId, to?: NodeId): void {
    const due = this.#waiting.filter((each) => each.ambush.moment === moment && --each.left === 0)
    if (due.length === 0) return
    this.#waiting = this.#waiting.filter((each) => !due.includes(each))
    const { world } = this.#context
    const occasion = this.#occasionOf(nodeId, to)
    if (occasion === undefined) return
    world.mark(`ambush: ${moment}`)
    for (const { fault, ambush } of due) {
      world.after(ambush.afterMs, () => {
        this.#context.occasion = occasion
        this.#inject(fault)
        this.#context.occasion = undefined
      })
    }
  }

  #occasionOf(nodeId: NodeId, to: NodeId | undefined): Occasion | undefined {
    const { world, fleet } = this.#context
    const subject = fleet.nodes.find((node) => node.nodeId === nodeId)
    if (subject === undefined) return undefined
    const listener = fleet.nodes.find((node) => node.nodeId === to)
    if (listener !== undefined) return { subject, bystander: listener }
    const others = fleet.nodes.filter((node) => node !== subject && node.process?.paused === false)
    return { subject, bystander: others.length === 0 ? undefined : world.random('ambushes').pick(others) }
  }
}
