import { assert, type NodeId, Prng } from '../../base/index.ts'
import { membersOf, votersOf } from '../configuration.ts'
import { entriesBytes } from '../positions.ts'
import type { RaftMessage } from '../types.ts'
import { Churn } from './churn.ts'
import { drawOptions, drawWeights, type Weights } from './weights.ts'
import { World, type WorldNode } from './world.ts'

/** A random life of one group, wholly determined by its seed. */
export class Schedule {
  readonly world: World
  readonly #random: Prng
  readonly #weights: Weights
  readonly #lossRate: number
  readonly #duplicateRate: number
  readonly #reorderRate: number
  /** Entries that a compaction keeps. */
  readonly #tail: number
  readonly #churn: Churn
  /** A node without room takes none of the entries that it is sent, so often. */
  readonly #full: NodeId
  readonly #stripRate: number
  /** Which side of the partition each node is on; all on one side when the network is whole. */
  #sides = new Map<NodeId, number>()

  constructor(seed: number) {
    const random = new Prng(seed)
    this.#random = random
    this.world = new World(seed, drawOptions(random), entriesBytes)
    this.#weights = drawWeights(random)
    this.#lossRate = random.pick([0, 0.02, 0.1, 0.3])
    this.#duplicateRate = random.pick([0, 0.05, 0.2])
    this.#reorderRate = random.pick([0, 0.1, 0.5, 1])
    this.#tail = random.pick([0, 0, 2, 6])
    this.#churn = new Churn(this.world, random)
    this.#full = random.pick(this.world.nodes).id
    this.#stripRate = random.pick([0, 0, 0, 0.5, 0.95])
  }

  /** Lets `steps` random things happen. The checks run after each. */
  run(steps: number): void {
    for (let i = 0; i < steps; i++) this.#act()
  }

  /**
   * Ends all faults; then a leader must emerge, all changes of the members must come to their end, all doubt must be over,
   * and a new proposal must be applied by every member.
   */
  heal(): void {
    this.#sides.clear()
    for (const node of this.world.nodes) if (node.raft === undefined) node.start()
    const before = this.world.checks.committed.length
    let proposedBy: WorldNode | undefined
    let isDone = false
    for (let round = 0; round < 800 && !isDone; round++) {
      this.#calmRound(this.world.nodes)
      const leader = this.#presentLeader()
      // A leader that hands over, or falls, may take the proposal with it.
      if (leader !== undefined && leader !== proposedBy) this.#propose(leader)
      proposedBy = leader
      isDone = leader !== undefined && this.#isSettled(leader, before)
    }
    assert(proposedBy !== undefined, 'Liveness: no leader serves after the network healed')
    assert(isDone, 'Liveness: a new proposal is not applied everywhere, or a change of the members has no end')
    // A forwarded read whose message was lost is refused after an election timeout.
    for (let round = 0; round < 2 * this.world.options.electionTimeoutTicks; round++) this.#calmRound(this.world.nodes)
    assert(this.world.checks.unansweredReads === 0, 'Liveness: a read was never answered')
  }

  /** Who leads the newest term, serves, and stays. Nodes that were removed may have gone on to later terms. */
  #presentLeader(): WorldNode | undefined {
    return this.world.nodes.find(({ raft }) => {
      const { serving, currentTerm, transferTarget, configuration } = raft!.status()
      if (!serving || transferTarget !== undefined) return false
      return votersOf(configuration).every((voter) => this.world.node(voter).raft!.status().currentTerm <= currentTerm)
    })
  }

  #isSettled(leader: WorldNode, before: number): boolean {
    const { configuration, changePending, followers } = leader.raft!.status()
    if (changePending || configuration.rebuilding.length > 0) return false
    if (followers.some(({ doubtful, nodeId }) => doubtful && configuration.voters.includes(nodeId))) return false
    const members = this.world.nodes.filter(({ id }) => membersOf(configuration).includes(id))
    return members.every((node) => node.appliedCount > before && node.appliedCount === leader.log.length)
  }

  #act(): void {
    const { nodes, network } = this.world
    const node = this.#random.pick(nodes)
    switch (this.#draw()) {
      case 'tick':
        node.step({ kind: 'tick' })
        break
      case 'timeout':
        this.#timeOut(node)
        break
      case 'deliver':
        for (let i = this.#random.between(1, 4); i > 0; i--) this.#deliver(network)
        break
      case 'write':
        node.completeWrites(this.#random.between(1, 3))
        break
      case 'load':
        node.completeLoad(this.#random.below(2), this.#random.between(1, 8), this.#random.chance(0.5))
        break
      case 'propose':
        this.#propose(this.#random.chance(0.8) ? this.#someLeader(node) : node)
        break
      case 'read':
        // Whoever believes to lead is asked, above all one that was deposed and does not know it.
        for (const asked of this.#leaders(node)) this.world.read(asked)
        this.world.read(node)
        break
      case 'crash':
        this.#crash(node)
        break
      case 'start':
        if (node.raft === undefined) node.start()
        break
      case 'partition':
        this.#partition()
        break
      case 'usurp':
        this.#usurp(this.#someLeader(node))
        break
      case 'unreachable':
        node.step({ kind: 'unreachable', peer: this.#random.pick(nodes).id })
        break
      case 'lag':
        this.#lag(this.#someLeader(node), node)
        break
      case 'staleWritten':
        this.#repeatWritten(node)
        break
      case 'snapshot':
        node.snapshots.take(this.#tail)
        node.snapshots.continueTaking()
        break
      case 'store':
        for (const each of nodes) each.snapshots.storeChunk()
        break
      case 'install':
        for (const each of nodes) if (each.snapshots.isInstalling) this.#install(each)
        break
      case 'stream':
        if (this.#random.chance(0.2)) this.#someLeader(node).snapshots.fail(this.#random.below(2))
        else this.#someLeader(node).snapshots.resume(this.#random.below(2))
        break
      case 'transfer':
        this.#someLeader(node).step({
          kind: 'transferLeadership',
          to: this.#random.chance(0.5) ? undefined : node.id,
        })
        break
      case 'change':
        this.#churn.change(this.#random.chance(0.9) ? this.#someLeader(node) : node)
        break
      case 'join':
        this.#churn.join()
        break
      case 'damage':
        this.#churn.damage(node)
        break
      case 'betray':
        this.#churn.betray(this.#someLeader(node))
        break
    }
  }

  #draw(): keyof Weights {
    const entries = Object.entries(this.#weights) as [keyof Weights, number][]
    let at = this.#random.below(entries.reduce((sum, [, weight]) => sum + weight, 0))
    for (const [name, weight] of entries) {
      if (at < weight) return name
      at -= weight
    }
    return 'tick'
  }

  /** The others' clocks stand still meanwhile: what elections fear most. */
  #timeOut(node: WorldNode): void {
    const ticks = this.#random.between(1, 2) * this.world.options.electionTimeoutTicks
    for (let i = 0; i < ticks; i++) node.step({ kind: 'tick' })
  }

  #deliver(network: RaftMessage[]): void {
    if (network.length === 0) return
    const at = this.#random.chance(this.#reorderRate) ? this.#random.below(network.length) : 0
    const message = network[at]!
    if (!this.#random.chance(this.#duplicateRate)) network.splice(at, 1)
    const isCut = this.#sides.get(message.from) !== this.#sides.get(message.to)
    if (isCut || this.#random.chance(this.#lossRate)) {
      network.splice(network.indexOf(message), network.includes(message) ? 1 : 0)
      return
    }
    this.world.node(message.to).step({ kind: 'receive', message: this.#stripped(message) })
  }

  /** What the shell of a node without room makes of a message: without entries, AppendEntries is a heartbeat. */
  #stripped(message: RaftMessage): RaftMessage {
    if (message.kind !== 'appendEntries' || message.entries.length === 0) return message
    if (message.to !== this.#full || !this.#random.chance(this.#stripRate)) return message
    this.world.checks.mark('stripped')
    return { ...message, entries: [] }
  }

  #propose(node: WorldNode): void {
    const count = this.#random.between(1, 3)
    const proposals = Array.from({ length: count }, () => new Uint8Array(this.#random.below(60)))
    node.step({ kind: 'propose', proposals })
  }

  #install(node: WorldNode): void {
    switch (this.#random.below(6)) {
      case 0:
        node.snapshots.reject()
        break
      case 1:
        this.#crash(node)
        break
      default:
        node.snapshots.continueInstalling()
    }
  }

  #crash(node: WorldNode): void {
    if (node.raft === undefined) return
    node.crash(this.#random.chance(0.5) ? 0 : this.#random.below(8))
    // Sometimes the node is back before anybody noticed.
    if (this.#random.chance(0.5)) node.start()
  }

  #partition(): void {
    this.#sides.clear()
    if (this.#random.chance(0.5)) return
    // A leader that is cut off goes on appending what others will overwrite: the best source of conflicts.
    const alone = this.#random.chance(0.6) ? this.#someLeader(this.#random.pick(this.world.nodes)) : undefined
    for (const node of this.world.nodes) {
      this.#sides.set(node.id, alone === undefined ? this.#random.below(2) : Number(node === alone))
    }
  }

  /** The leader's clock stops while the others elect another, which commits: then the old one is asked. */
  #usurp(old: WorldNode): void {
    const others = this.world.nodes.filter((node) => node !== old)
    this.#sides = new Map(this.world.nodes.map((node) => [node.id, Number(node === old)]))
    for (let round = 0; round < 5 * this.world.options.electionTimeoutTicks; round++) {
      this.#calmRound(others)
      const usurper = others.find((node) => node.raft?.status().serving)
      if (usurper === undefined) continue
      this.#propose(usurper)
      this.#calmRound(others)
      break
    }
    for (const asked of this.#leaders(old)) this.world.read(asked)
  }

  /** `node` is cut off while the others go on and compact their logs: it will need a snapshot. */
  #lag(leader: WorldNode, node: WorldNode): void {
    if (node === leader) return
    const others = this.world.nodes.filter((other) => other !== node)
    this.#sides.clear()
    for (let round = 0; round < 3; round++) {
      this.#propose(leader)
      this.#calmRound(others)
    }
    for (const other of others) other.snapshots.take(0)
    this.#calmRound(others)
    this.world.network = this.world.network.filter(({ from, to }) => from !== node.id && to !== node.id)
  }

  /** A completion that comes twice, or with a term that is not its own, must change nothing. */
  #repeatWritten(node: WorldNode): void {
    const write = node.completedWrites.at(-1 - this.#random.below(3))
    if (write !== undefined) node.step({ kind: 'written', writeId: write.writeId, term: write.term })
    const pending = node.pendingWrites.at(-1)
    if (pending !== undefined) {
      const term = (pending.term + 1) as typeof pending.term
      node.step({ kind: 'written', writeId: pending.writeId, term })
    }
  }

  #someLeader(otherwise: WorldNode): WorldNode {
    return this.#random.pick(this.#leaders(otherwise))
  }

  /** All nodes that believe to lead; `otherwise` when none does. */
  #leaders(otherwise: WorldNode): readonly WorldNode[] {
    const leaders = this.world.nodes.filter((node) => node.raft?.status().role === 'leader')
    return leaders.length === 0 ? [otherwise] : leaders
  }

  /** One tick without faults among `nodes`; what others sent or are sent stays on its way. */
  #calmRound(nodes: readonly WorldNode[]): void {
    const ids = new Set(nodes.map((node) => node.id))
    const isInside = ({ from, to }: RaftMessage) => ids.has(from) && ids.has(to)
    for (const node of nodes) node.step({ kind: 'tick' })
    for (let turn = 0; turn < 6; turn++) {
      const messages = this.world.network.filter(isInside)
      this.world.network = this.world.network.filter((message) => !isInside(message))
      for (const message of messages) this.world.node(message.to).step({ kind: 'receive', message })
      for (const node of nodes) {
        node.completeWrites(node.pendingWrites.length)
        node.completeLoad(0, 1000, false)
        // Of a stream that stands still, a message was lost: about every other round somebody asks.
        node.snapshots.settle(turn === 0 && this.#random.chance(0.5))
      }
    }
  }
}
