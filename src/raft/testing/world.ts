import { assert, type NodeId } from '../../base/index.ts'
import { EMPTY_CONFIGURATION, isJoint, membersOf } from '../configuration.ts'
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
import { ModelDisk, type ModelSnapshot } from './model-disk.ts'
import { ModelSnapshots } from './model-snapshots.ts'

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
  readonly snapshots = new ModelSnapshots(this)
  configuration: Configuration
  /** The configuration was confirmed: a snapshot may be taken with it. */
  isConfirmed = true
  /** The log in memory, as its writes describe it. What is compacted stays here, for the checks. */
  log: Entry[] = []
  pendingWrites: WriteEffect[] = []
  completedWrites: WriteEffect[] = []
  loads: SlowLoad[] = []
  commitIndex = 0
  appliedCount = 0
  readonly reads = new Set<ReadId>()
  #runs = 0

  readonly #bootstrap: Configuration
  /** The doubt is over when this write is durable. */
  /** That this node was in doubt is being forgotten on disk, behind this write. */
  #forgetsDoubt = false
  #forgettingBehind: WriteEffect | undefined

  constructor(world: World, id: NodeId, bootstrap: Configuration) {
    this.world = world
    this.id = id
    this.#bootstrap = bootstrap
    this.configuration = bootstrap
    this.start()
  }

  start(): void {
    assert(this.raft === undefined, 'only a node that is down can start')
    this.#runs++
    const recovered = this.disk.recover()
    this.log = [...this.disk.entries]
    this.appliedCount = recovered.lastApplied
    this.configuration = this.disk.snapshot?.configuration ?? this.#bootstrap
    this.isConfirmed = true
    const seed = this.world.seed * 1000 + this.id * 100 + this.#runs
    const firstReadKey = (this.#runs * 1_000_000) as ReadKey
    const { configuration } = this
    const options = { ...this.world.options, configuration, nodeId: this.id, seed, firstReadKey }
    this.world.checks.onRecovered(this)
    this.raft = new Raft(options, recovered)
    this.conduct = new Conduct(options)
  }

  /** Loses everything but the disk. Of what was not yet synced, `recordsKept` records reached it. */
  crash(recordsKept: number): void {
    for (const record of ModelDisk.recordsOf(this.pendingWrites).slice(0, recordsKept)) this.disk.apply(record)
    this.raft = undefined
    this.pendingWrites = []
    this.completedWrites = []
    this.loads = []
    this.#forgetsDoubt = false
    this.#forgettingBehind = undefined
    this.snapshots.forget()
    this.disk.loseIncoming(recordsKept)
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
    this.world.onStep?.(this, event, effects)
    // The log is still the one before the step: effects are carried out below.
    conduct.after(event, was, this.log, effects, raft.status())
    const isRefusal = event.kind === 'receive' && event.message.kind === 'requestVoteResponse'
    if (isRefusal && raft.status().commitIndex > was.commitIndex) this.world.checks.mark('wordOfCommit')
    for (const effect of effects) this.#carryOut(effect)
    this.world.checks.afterStep(this, was, this.world.nodes)
  }

  /** The oldest `count` writes reach the disk together; the messages they unlock leave; only the last is reported. */
  completeWrites(count: number): void {
    const done = this.pendingWrites.splice(0, count)
    for (const write of done) {
      this.disk.apply(write)
      this.completedWrites.push(write)
      if (write === this.#forgettingBehind) this.#forgettingBehind = undefined
      for (const message of write.unlocks) this.send(message)
    }
    const last = done.at(-1)
    if (last !== undefined) this.step({ kind: 'written', writeId: last.writeId, term: last.term })
    this.forgetDoubt()
  }

  /** The disk gets round to it, when all that was asked for earlier is done. */
  forgetDoubt(): void {
    if (!this.#forgetsDoubt || this.#forgettingBehind !== undefined) return
    this.#forgetsDoubt = false
    this.disk.isDoubtful = false
    this.step({ kind: 'doubtForgotten' })
  }

  /** Answers a load with `count` entries at most, as they were when it was asked or, if `late`, as they are now. */
  completeLoad(at: number, count: number, late: boolean): void {
    const [load] = this.loads.splice(at, 1)
    if (load === undefined) return
    const { loadId, from, to } = load.effect
    const now = this.disk.read(from, to)
    // Compacted meanwhile: nobody needs it any more.
    if (late && from <= this.disk.baseIndex) return
    const entries = (late && now.length > 0 ? now : load.held).slice(0, Math.max(1, count))
    this.step({ kind: 'loaded', loadId, entries })
  }

  /** The state machine and the log begin at a snapshot. */
  restore(snapshot: ModelSnapshot): void {
    this.world.checks.onRestore(this, snapshot)
    this.log = [...snapshot.state]
    this.appliedCount = snapshot.position.index
    this.configuration = snapshot.configuration
    this.isConfirmed = true
  }

  #carryOut(effect: RaftEffect): void {
    const { checks } = this.world
    switch (effect.kind) {
      case 'write':
        checks.onWrite(this, effect)
        this.#write(effect)
        break
      case 'send':
        this.send(effect.message)
        break
      case 'apply':
        for (const entry of effect.entries) {
          checks.onApply(this, entry)
          this.appliedCount++
        }
        break
      case 'load':
        assert(
          effect.from > this.disk.baseIndex && effect.from <= effect.to && effect.to <= this.disk.entries.length,
          'a load asks for what is on disk',
        )
        this.loads.push({ effect, held: this.disk.read(effect.from, effect.to) })
        checks.mark('load')
        break
      case 'roleChanged':
        this.snapshots.onRoleChanged()
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
      case 'forgetDoubt':
        // Stored in the same stream as the log, hence behind what was written before.
        this.#forgetsDoubt = true
        this.#forgettingBehind = this.pendingWrites.at(-1)
        checks.mark('doubtCleared')
        break
      case 'configurationRefused':
        checks.mark(`change: ${effect.reason}`)
        break
      case 'configurationChanged':
        checks.mark(isJoint(effect.configuration) ? 'joint' : 'simple')
        this.configuration = effect.configuration
        this.isConfirmed = effect.confirmed
        break
      case 'transferFailed':
        checks.mark(`transfer: ${effect.reason}`)
        break
      case 'sendSnapshot':
        this.snapshots.send(effect.to, effect.term)
        break
      case 'chunkAcknowledged':
        this.snapshots.onAcknowledged(effect.response, this.world.chunkBytes)
        break
      case 'storeChunk':
        this.snapshots.onStoreChunk(effect.message)
        break
      case 'installSnapshot':
        this.snapshots.onInstall(effect, this.pendingWrites)
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

  send(message: RaftMessage): void {
    if (message.kind === 'readIndexResponse' && message.granted) this.world.checks.mark('readForwarded')
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
  readonly nodes: WorldNode[]
  network: RaftMessage[] = []
  readonly bytesOf: (entries: readonly Entry[]) => number
  /** Sees every step, before its effects are carried out. */
  onStep: ((node: WorldNode, event: RaftEvent, effects: readonly RaftEffect[]) => void) | undefined
  readonly #leaders = new Map<Term, { readonly node: WorldNode; readonly raft: Raft }>()
  #lastReadId = 0
  /** Every snapshot that was ever taken, by its id. */
  readonly snapshots = new Map<number, ModelSnapshot>()
  /** Of a snapshot, in one message. */
  readonly chunkBytes = 2

  constructor(
    seed: number,
    options: Omit<RaftOptions, 'nodeId' | 'seed' | 'firstReadKey'>,
    bytesOf: (entries: readonly Entry[]) => number,
  ) {
    this.seed = seed
    this.options = options
    this.bytesOf = bytesOf
    const { configuration } = options
    this.checks = new Checks(configuration)
    this.nodes = membersOf(configuration).map((id) => new WorldNode(this, id, configuration))
  }

  /** A new node that waits to be added. */
  join(id: NodeId): WorldNode {
    const node = new WorldNode(this, id, EMPTY_CONFIGURATION)
    this.nodes.push(node)
    return node
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

  addSnapshot(snapshot: Omit<ModelSnapshot, 'id' | 'totalBytes'>): ModelSnapshot {
    const id = this.snapshots.size + 1
    const added = { ...snapshot, id, totalBytes: 1 + (id % 6) }
    this.snapshots.set(id, added)
    return added
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
