import type { NodeId, Prng } from '../../base/index.ts'
import { isVoterIn } from '../configuration.ts'
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
  readonly #damaged = new Set<NodeId>()

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
    node.disk.damage(this.#random.chance(0.5) ? 0 : this.#random.below(node.disk.entries.length + 1))
    this.#world.checks.forgetVotes(node.id)
    this.#world.checks.mark('damaged')
    this.#damaged.add(node.id)
    node.start()
  }

  /**
   * The worst that a lost vote can do: a voter elects another leader, forgets that, and is at once asked by the old leader,
   * who knows of nothing. The votes are on their way still, or the new leader has committed something already.
   */
  betray(old: WorldNode): void {
    if (old.raft?.status().role !== 'leader') return
    const others = this.#world.nodes.filter(
      ({ id, raft }) => id !== old.id && raft !== undefined && isVoterIn(old.configuration, id),
    )
    if (others.length < 2) return
    // Who was rebuilt once has the end of that doubt in its log, and may lose it now.
    const rebuilt = others.findIndex(({ id, disk }) => this.#damaged.has(id) && !disk.isDoubtful)
    const at = rebuilt >= 0 && this.#random.chance(0.7) ? rebuilt : this.#random.below(others.length)
    const voter = others[at]!
    const usurper = others[(at + 1) % others.length]!
    const isElection = this.#random.chance(0.5)
    const isDone = () =>
      isElection ? voter.disk.hardState.votedFor === usurper.id : usurper.raft?.status().serving === true
    for (let round = 0; round < 4 * this.#world.options.electionTimeoutTicks && !isDone(); round++) {
      for (const node of [voter, usurper]) node.step({ kind: 'tick' })
      this.#exchange([voter, usurper], isElection ? 1 : 4)
    }
    if (!isDone()) return
    this.#world.checks.mark(isElection ? 'forgottenVote' : 'forgottenLeader')
    if (!isElection) {
      usurper.step({ kind: 'propose', proposals: [new Uint8Array(3)] })
      this.#exchange([voter, usurper], 4)
    }
    this.damage(voter)
    old.step({ kind: 'propose', proposals: [new Uint8Array(3)] })
    for (let round = this.#random.below(this.#world.options.electionTimeoutTicks); round >= 0; round--) {
      for (const node of [old, voter]) node.step({ kind: 'tick' })
      this.#exchange([old, voter], 4)
    }
    this.#world.read(old)
    this.#exchange([old, voter], 4)
    // What is left of the other leader's messages arrives now, or whenever the schedule will.
    if (this.#random.chance(0.5)) this.#exchange([voter, usurper], 4)
  }

  /** Delivers among these nodes, whose disks keep up; what is to or from others stays on its way. */
  #exchange(nodes: readonly WorldNode[], turns: number): void {
    const ids = new Set(nodes.map(({ id }) => id))
    for (let turn = 0; turn < turns; turn++) {
      for (const node of nodes) {
        node.completeWrites(node.pendingWrites.length)
        node.completeLoad(0, 1000, false)
        node.snapshots.settle(false)
      }
      const inside = this.#world.network.filter(({ from, to }) => ids.has(from) && ids.has(to))
      this.#world.network = this.#world.network.filter((message) => !inside.includes(message))
      for (const message of inside) this.#world.node(message.to).step({ kind: 'receive', message })
    }
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
