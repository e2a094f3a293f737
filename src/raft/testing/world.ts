import { assert, type NodeId } from '../../base/index.ts'
import { Raft } from '../raft.ts'
import type {
  Configuration,
  Entry,
  RaftEffect,
  RaftEvent,
  RaftMessage,
  RaftOptions,
  ReadId,
  ReadKey,
  Term,
  WriteEffect,
} from '../types.ts'
import { Checks } from './checks.ts'
import { Conduct } from './conduct.ts'
import { ModelDisk } from './model-disk.ts'

type LoadEffect = Extract<RaftEffect, { readonly kind: 'load' }>

/** A load under way, with what the disk held when it was asked. */
interface SlowLoad {
  readonly effect: LoadEffect
  readonly held: readonly Entry[]
}

/** One node: the core under test between a model disk and the world's network. */
export class WorldNode {
  readonly id: NodeId
  readonly world: World
  readonly disk = new ModelDisk()
  /** Undefined while the node is down. */
  raft: Raft | undefined
  /** What this run of the node owes to the others. */
  conduct: Conduct | undefined
  /** The log in memory, as its writes describe it. */
  log: Entry[] = []
  pendingWrites: WriteEffect[] = []
  completedWrites: WriteEffect[] = []
  loads: SlowLoad[] = []
  commitIndex = 0
  appliedCount = 0
  readonly reads = new Set<ReadId>()
  #runs = 0

  constructor(world: World, id: NodeId) {
    this.world = world
    this.id = id
    this.start()
  }

  start(): void {
    assert(this.raft === undefined, 'only a node that is down can start')
    this.#runs++
    this.log = [...this.disk.entries]
    const seed = this.world.seed * 1000 + this.id * 100 + this.#runs
    const firstReadKey = (this.#runs * 1_000_000) as ReadKey
    const options = { ...this.world.options, nodeId: this.id, seed, firstReadKey }
    this.raft = new Raft(options, this.disk.recover())
    this.conduct = new Conduct(options)
  }

  /** Loses everything but the disk. Of what was not yet synced, `recordsKept` records reached it. */
  crash(recordsKept: number): void {
    for (const record of ModelDisk.recordsOf(this.pendingWrites).slice(0, recordsKept)) this.disk.apply(record)
    this.raft = undefined
    this.pendingWrites = []
    this.completedWrites = []
    this.loads = []
    this.commitIndex = 0
    this.appliedCount = 0
    this.world.checks.forgetReads(this.reads)
    this.reads.clear()
  }

  step(event: RaftEvent): void {
    const { raft, conduct } = this
    if (raft === undefined || conduct === undefined) return
    const was = raft.status()
    conduct.before(event, was)
    const effects = raft.step(event)
    // The log is still the one before the step: effects are carried out below.
    conduct.after(event, was, this.log, effects, raft.status())
    for (const effect of effects) this.#carryOut(effect)
    this.world.checks.afterStep(this, this.world.nodes)
  }

  /** The oldest `count` writes reach the disk together; the messages they unlock leave; only the last is reported. */
  completeWrites(count: number): void {
    const done = this.pendingWrites.splice(0, count)
    for (const write of done) {
      this.disk.apply(write)
      this.completedWrites.push(write)
      for (const message of write.unlocks) this.#send(message)
    }
    const last = done.at(-1)
    if (last !== undefined) this.step({ kind: 'written', writeId: last.writeId, term: last.term })
  }

  /** Answers a load with `count` entries at most, as they were when it was asked or, if `late`, as they are now. */
  completeLoad(at: number, count: number, late: boolean): void {
    const [load] = this.loads.splice(at, 1)
    if (load === undefined) return
    const { loadId, from, to } = load.effect
    const now = this.disk.entries.slice(from - 1, to)
    const entries = (late && now.length > 0 ? now : load.held).slice(0, Math.max(1, count))
    this.step({ kind: 'loaded', loadId, entries })
  }

  #carryOut(effect: RaftEffect): void {
    const { checks } = this.world
    switch (effect.kind) {
      case 'write':
        checks.onWrite(this, effect)
        this.#write(effect)
        break
      case 'send':
        this.#send(effect.message)
        break
      case 'apply':
        for (const entry of effect.entries) {
          checks.onApply(this, entry)
          this.appliedCount++
        }
        break
      case 'load':
        assert(
          effect.from >= 1 && effect.from <= effect.to && effect.to <= this.disk.entries.length,
          'a load asks for what is on disk',
        )
        this.loads.push({ effect, held: this.disk.entries.slice(effect.from - 1, effect.to) })
        checks.mark('load')
        break
      case 'roleChanged':
        if (effect.role === 'leader') {
          this.world.setLeader(effect.term, this)
          checks.onLeader(this, effect.term)
        }
        break
      case 'serving':
        assert(
          this.log[this.appliedCount - 1]?.term === effect.term,
          'a leader serves after applying an entry of its term',
        )
        break
      case 'readReady':
        this.reads.delete(effect.readId)
        checks.onReadAnswered(effect.readId, effect.index)
        break
      case 'readRefused':
        this.reads.delete(effect.readId)
        checks.onReadAnswered(effect.readId, undefined)
        checks.mark(effect.reason)
        break
      case 'proposed':
        assert(this.world.leaderOf(effect.term) === this, 'only the leader takes proposals')
        break
      case 'proposalRefused':
        checks.mark(effect.reason)
        break
    }
  }

  #write(effect: WriteEffect): void {
    this.pendingWrites.push(effect)
    for (const entry of effect.entries) {
      if (entry.index <= this.log.length) this.world.checks.mark('truncated')
      this.log.length = Math.min(this.log.length, entry.index - 1)
      this.log.push(entry)
    }
  }

  #send(message: RaftMessage): void {
    if (message.kind === 'appendEntries') {
      assert(
        message.entries.length <= 1 || this.world.bytesOf(message.entries) <= this.world.options.messageBytesMax,
        'a message is too large',
      )
      if (message.entries.some((entry) => entry.term < message.term)) this.world.checks.mark('oldTermEntriesSent')
    }
    this.world.checks.onSend(this, message)
    this.world.network.push(message)
  }
}

/** A group of nodes and the messages between them. It decides nothing: schedule.ts does. */
export class World {
  readonly seed: number
  readonly options: Omit<RaftOptions, 'nodeId' | 'seed' | 'firstReadKey'>
  readonly checks: Checks
  readonly nodes: readonly WorldNode[]
  network: RaftMessage[] = []
  readonly bytesOf: (entries: readonly Entry[]) => number
  readonly #leaders = new Map<Term, { readonly node: WorldNode; readonly raft: Raft }>()
  #lastReadId = 0

  constructor(
    seed: number,
    options: Omit<RaftOptions, 'nodeId' | 'seed' | 'firstReadKey'>,
    bytesOf: (entries: readonly Entry[]) => number,
  ) {
    this.seed = seed
    this.options = options
    this.bytesOf = bytesOf
    const { voters, learners }: Configuration = options.configuration
    this.checks = new Checks(voters)
    this.nodes = [...voters, ...learners].map((id) => new WorldNode(this, id))
  }

  node(id: NodeId): WorldNode {
    return this.nodes.find((node) => node.id === id)!
  }

  setLeader(term: Term, node: WorldNode): void {
    this.#leaders.set(term, { node, raft: node.raft! })
  }

  /** The leader of `term`, as long as it still leads it. */
  leaderOf(term: Term): WorldNode | undefined {
    const known = this.#leaders.get(term)
    if (known === undefined || known.node.raft !== known.raft) return undefined
    const { role, currentTerm } = known.raft.status()
    return role === 'leader' && currentTerm === term ? known.node : undefined
  }

  /** The highest commitIndex that any node knows or, before a crash, knew. */
  get groupCommitIndex(): number {
    return Math.max(this.checks.committed.length, ...this.nodes.map((node) => node.commitIndex))
  }

  read(node: WorldNode): void {
    if (node.raft === undefined) return
    this.#lastReadId++
    const readId = this.#lastReadId as ReadId
    this.checks.onRead(readId, this.groupCommitIndex)
    node.reads.add(readId)
    node.step({ kind: 'read', readId })
  }
}
