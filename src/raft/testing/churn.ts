import type { NodeId, Prng } from '../../base/index.ts'
import { decodeConfiguration } from '../configuration-codec.ts'
import { hasQuorum, type Voters } from '../quorum.ts'
import { type ConfigurationTarget, EntryKind } from '../types.ts'
import type { World, WorldNode } from './world.ts'

const NODES_MAX = 8

/**
 * Random changes of the members, new nodes, and nodes that lose a part of their disk. Removed nodes stay in the world and
 * go on talking. Nothing here may break safety. But it stays within what leaves a group alive: a quorum that is not in
 * doubt.
 */
export class Churn {
  readonly #world: World
  readonly #random: Prng

  constructor(world: World, random: Prng) {
    this.#world = world
    this.#random = random
  }

  /** A new node comes up and waits to be added. */
  join(): void {
    const { nodes } = this.#world
    if (nodes.length < NODES_MAX) this.#world.join((nodes.length + 1) as NodeId)
  }

  /** Somebody wants other members. */
  change(asked: WorldNode): void {
    if (asked.raft === undefined) return
    const target = this.#drawTarget(asked)
    const healthy = { voters: target.voters, votersOutgoing: [] }
    if (!hasQuorum(healthy, (voter) => !this.#isInDoubt(voter))) return
    const force = this.#random.chance(0.3)
    asked.step({ kind: 'changeConfiguration', target, context: new Uint8Array(0), force })
  }

  /** A node goes down, and comes up with its vote and the end of its log lost. */
  damage(node: WorldNode): void {
    const isLost = (voter: NodeId) => voter === node.id || this.#isInDoubt(voter)
    if (!this.#configurationsAhead().every((voters) => hasQuorum(voters, (voter) => !isLost(voter)))) return
    if (node.raft !== undefined) node.crash(this.#random.below(4))
    node.disk.damage(this.#random.below(node.disk.entries.length + 1))
    this.#world.checks.forgetVotes(node.id)
    this.#world.checks.mark('damaged')
    node.start()
  }

  #isInDoubt(voter: NodeId): boolean {
    return this.#world.nodes.find(({ id }) => id === voter)?.disk.isDoubtful ?? true
  }

  /** What is in force, and what may come in force. */
  #configurationsAhead(): Voters[] {
    const { checks, nodes } = this.#world
    const entries = nodes.flatMap(({ log }) => log).filter(({ kind }) => kind === EntryKind.configuration)
    return [checks.configuration, ...entries.map(({ data }) => decodeConfiguration(data).configuration)]
  }

  /** Mostly one or two nodes differ from what is. */
  #drawTarget(asked: WorldNode): ConfigurationTarget {
    const { configuration } = asked.raft!.status()
    const target = new Map<NodeId, 'voter' | 'learner'>()
    for (const voter of configuration.voters) target.set(voter, 'voter')
    for (const learner of configuration.learners) target.set(learner, 'learner')
    for (let left = this.#random.pick([1, 1, 1, 2, 3]); left > 0; left--) {
      const { id } = this.#random.pick(this.#world.nodes)
      const part = this.#random.pick(['voter', 'voter', 'learner', 'learner', 'absent'] as const)
      // Ids of removed nodes come back now and then, and must be refused.
      if (configuration.retired.includes(id) && this.#random.chance(0.8)) continue
      if (part === 'absent') target.delete(id)
      else target.set(id, part)
    }
    const pick = (part: string) => [...target].filter(([, as]) => as === part).map(([id]) => id)
    return { voters: pick('voter'), learners: pick('learner') }
  }
}
