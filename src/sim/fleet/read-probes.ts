import type { Prng } from '../../base/index.ts'
import type { SimWorld } from '../kernel/world.ts'
import type { SimFleet } from './fleet.ts'
import type { SimNode } from './node.ts'

/** Average pause between two reads. */
const PAUSE_MS = 250

/**
 * Reads at random coordinators, leaders or not, and checks that each read is linearizable: when it ends, its node has
 * applied whatever any node had applied when it began (thesis §6.4). Asked of a process that is stopped, a read begins at
 * the very moment when the process goes on, and believes in the world before.
 */
export class ReadProbes {
  readonly #world: SimWorld
  readonly #fleet: SimFleet
  readonly #random: Prng

  constructor(world: SimWorld, fleet: SimFleet) {
    this.#world = world
    this.#fleet = fleet
    this.#random = world.random('reads')
  }

  start(): void {
    this.#world.after(this.#random.below(2 * PAUSE_MS), () => {
      this.#read(this.#random.pick(this.#fleet.nodes))
      this.start()
    })
  }

  #read(node: SimNode): void {
    const { process, server } = node
    if (process === undefined || server === undefined) return
    const { raftChecks } = this.#fleet
    this.#world.dispatch(process, () => {
      const floor = raftChecks.committedIndex
      server.replica.readBarrier().then(
        () => {
          const { appliedIndex } = server.replica
          if (!process.alive || appliedIndex >= floor) return
          const what = `${node.name} answers a read at ${appliedIndex} that began when ${floor} was applied elsewhere`
          this.#world.fail('linearizableRead', what)
        },
        () => {},
      )
    })
  }
}
