import { assert, type NodeId } from '../../base/index.ts'
import type {
  InstallSnapshot,
  InstallSnapshotResponse,
  LogIndex,
  RaftEffect,
  SnapshotPosition,
  Term,
  WriteEffect,
} from '../types.ts'
import type { ModelSnapshot } from './model-disk.ts'
import type { WorldNode } from './world.ts'

type InstallEffect = Extract<RaftEffect, { readonly kind: 'installSnapshot' }>

/** A snapshot being taken: first a durable file, then the core forgets, then the disk does. */
interface Taking {
  readonly snapshot: ModelSnapshot
  readonly through: LogIndex
  stage: 'file' | 'compact' | 'remove'
}

/** A snapshot being sent: one chunk is on its way at most. */
interface Stream {
  readonly term: Term
  readonly snapshot: ModelSnapshot
}

interface Installing {
  readonly effect: InstallEffect
  readonly snapshot: ModelSnapshot
  /** Asked for before; they come first. */
  readonly writes: readonly WriteEffect[]
  isOnDisk: boolean
}

/** What a shell does about snapshots, one small step at a time, so that a crash can come after each. */
export class ModelSnapshots {
  readonly #node: WorldNode
  #taking: Taking | undefined
  readonly #streams = new Map<NodeId, Stream>()
  #chunks: InstallSnapshot[] = []
  #installing: Installing | undefined

  constructor(node: WorldNode) {
    this.#node = node
  }

  /** The disk begins at the snapshot already, and the core does not know yet. */
  get isAhead(): boolean {
    return this.#installing?.isOnDisk === true
  }

  /** A snapshot is being put in force. */
  get isInstalling(): boolean {
    return this.#installing !== undefined
  }

  /** A crash: only the disk is left. */
  forget(): void {
    if (this.#installing !== undefined) {
      this.#node.world.checks.mark(this.isAhead ? 'crashedAfterInstall' : 'crashedBeforeInstall')
    }
    if (this.#taking !== undefined) this.#node.world.checks.mark(`crashedTaking: ${this.#taking.stage}`)
    this.#taking = undefined
    this.#streams.clear()
    this.#chunks = []
    this.#installing = undefined
  }

  /** Freezes the state machine as it is now. `tail` entries of the log will be kept. */
  take(tail: number): void {
    const { appliedCount, world, disk, configuration, isConfirmed } = this.#node
    const index = appliedCount as LogIndex
    if (this.#taking !== undefined || index <= (disk.snapshot?.position.index ?? 0)) return
    // As the shell does it: whoever begins with a snapshot takes its configuration for confirmed.
    if (!isConfirmed) return
    const state = world.checks.committed.slice(0, index)
    const position = { index, term: state.at(-1)!.term }
    const snapshot = world.addSnapshot({ position, configuration, state })
    this.#taking = { snapshot, through: Math.max(0, index - tail) as LogIndex, stage: 'file' }
  }

  /** The next step of taking a snapshot. */
  continueTaking(): void {
    const taking = this.#taking
    const { disk, world } = this.#node
    switch (taking?.stage) {
      case undefined:
        return
      case 'file':
        disk.snapshot = taking.snapshot
        taking.stage = 'compact'
        return
      case 'compact':
        this.#node.step({ kind: 'compact', through: taking.through })
        taking.stage = 'remove'
        world.checks.mark('compacted')
        return
      case 'remove':
        // The record that says so is behind earlier writes in the durable log.
        if (this.#node.pendingWrites.some(({ entries }) => entries.some(({ index }) => index <= taking.through))) return
        disk.baseIndex = Math.max(disk.baseIndex, Math.min(taking.through, disk.entries.length))
        this.#taking = undefined
    }
  }

  onRoleChanged(): void {
    this.#streams.clear()
  }

  send(to: NodeId, term: Term): void {
    const { disk, raft, world } = this.#node
    const snapshot = disk.snapshot
    // It lost the leadership in the very step that asked.
    if (raft!.status().role !== 'leader') return
    assert(snapshot !== undefined && snapshot.position.index >= raft!.status().baseIndex, 'a snapshot covers the base')
    const follower = raft!.status().followers.find((progress) => progress.nodeId === to)
    assert(follower !== undefined && follower.matchIndex < raft!.status().baseIndex, 'who has the base needs nothing')
    world.checks.mark('sendSnapshot')
    this.#streams.set(to, { term, snapshot })
    this.#sendChunk(to, 0, 0)
  }

  /** Nothing was heard for a while, or the connection is new: asks how far the follower has come. */
  resume(at: number): void {
    const to = [...this.#streams.keys()][at]
    if (to !== undefined) this.#sendChunk(to, 0, 0)
  }

  /** Gives up. */
  fail(at: number): void {
    const [to, stream] = [...this.#streams][at] ?? []
    if (to === undefined || stream === undefined) return
    this.#streams.delete(to)
    this.#node.step({ kind: 'snapshotFailed', to, term: stream.term })
  }

  onAcknowledged(response: InstallSnapshotResponse, chunkBytes: number): void {
    const stream = this.#streams.get(response.from)
    if (stream?.snapshot.id !== response.snapshotId) return
    if (response.status === 'receiving') this.#sendChunk(response.from, response.receivedBytes, chunkBytes)
    else this.#streams.delete(response.from)
  }

  onStoreChunk(message: InstallSnapshot): void {
    this.#chunks.push(message)
  }

  /** Stores the oldest chunk. */
  storeChunk(): void {
    const message = this.#chunks.shift()
    // While a snapshot is put in force, its file is not touched.
    if (message === undefined || this.#installing !== undefined) return
    const { disk, world } = this.#node
    const snapshot = world.snapshots.get(message.snapshotId)!
    if (disk.incoming?.snapshot.id !== snapshot.id) disk.incoming = { snapshot, receivedBytes: 0 }
    const { incoming } = disk
    if (message.offset > 0 && incoming.receivedBytes === 0) world.checks.mark('chunkGap')
    if (message.offset <= incoming.receivedBytes) {
      incoming.receivedBytes = Math.max(incoming.receivedBytes, message.offset + message.data.length)
    }
    const { receivedBytes } = incoming
    const complete = receivedBytes === snapshot.totalBytes
    const { from, term, snapshotId } = message
    this.#node.step({
      kind: 'chunkStored',
      from,
      term,
      snapshot: snapshot.position,
      snapshotId,
      receivedBytes,
      complete,
    })
  }

  onInstall(effect: InstallEffect, writes: readonly WriteEffect[]): void {
    const { disk, appliedCount, world } = this.#node
    const snapshot = disk.incoming?.snapshot
    assert(this.#installing === undefined, 'one snapshot is installed at a time')
    assert(snapshot?.id === effect.snapshotId, 'what is installed is complete')
    assert(disk.incoming?.receivedBytes === snapshot.totalBytes, 'what is installed is complete')
    assert(isSame(snapshot.position, effect.snapshot), 'a snapshot is where it says')
    assert(snapshot.position.index > appliedCount, 'a state machine never goes back')
    this.#installing = { effect, snapshot, writes: [...writes], isOnDisk: false }
    world.checks.mark('installSnapshot')
  }

  /** The next step of putting a snapshot in force: earlier writes, the disk, then state machine and core. */
  continueInstalling(): void {
    const installing = this.#installing
    if (installing === undefined) return
    const { snapshot } = installing
    if (!installing.isOnDisk) {
      this.#node.completeWrites(this.#node.pendingWrites.filter((write) => installing.writes.includes(write)).length)
      this.#node.disk.install(snapshot)
      installing.isOnDisk = true
      return
    }
    this.#installing = undefined
    // A snapshot that was being taken is older than what is in force now.
    this.#taking = undefined
    this.#node.restore(snapshot)
    this.#node.step({
      kind: 'snapshotInstalled',
      snapshot: snapshot.position,
      configuration: snapshot.configuration,
    })
    this.#node.world.checks.mark('snapshotInstalled')
  }

  /** The complete snapshot is damaged after all. */
  reject(): void {
    const installing = this.#installing
    if (installing === undefined || installing.isOnDisk) return
    this.#installing = undefined
    this.#node.disk.incoming = undefined
    this.#node.step({ kind: 'snapshotRejected', snapshot: installing.effect.snapshot })
    this.#node.world.checks.mark('snapshotRejected')
  }

  /** Does everything that is to be done on this node. Streams that stand still ask again when `resume`. */
  settle(resume: boolean): void {
    for (let stage = 0; stage < 3; stage++) this.continueTaking()
    while (this.#chunks.length > 0) this.storeChunk()
    while (this.#installing !== undefined) this.continueInstalling()
    if (resume) for (let at = 0; at < this.#streams.size; at++) this.resume(at)
  }

  #sendChunk(to: NodeId, offset: number, bytes: number): void {
    const { term, snapshot } = this.#streams.get(to)!
    const { id: snapshotId, position, totalBytes } = snapshot
    const data = new Uint8Array(Math.min(bytes, totalBytes - offset))
    const chunk = { snapshot: position, snapshotId, totalBytes, offset, data, checksum: 0 }
    this.#node.send({ kind: 'installSnapshot', from: this.#node.id, to, term, ...chunk })
  }
}

function isSame(a: SnapshotPosition, b: SnapshotPosition): boolean {
  return a.index === b.index && a.term === b.term
}
