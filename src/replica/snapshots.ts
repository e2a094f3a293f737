import { type Clock, CodecError, hit, type NodeId, toError } from '../base/index.ts'
import type { InstallSnapshot, RaftEffect, RaftEvent, RaftStatus, SnapshotPosition, Term } from '../raft/index.ts'
import { removeDurably, WalClosedError } from '../wal/index.ts'
import type { Applier } from './applier.ts'
import { compactionPoint } from './compaction.ts'
import type { DecisionLogHandler, SnapshotStatus } from './decision-log.ts'
import { ReplicaLogMalformedError, SnapshotDamagedError, SnapshotVersionError } from './errors.ts'
import { MemberList } from './member-list.ts'
import type { ReplicaLogger, ReplicaTuning } from './options.ts'
import type { RaftStorage } from './raft-storage.ts'
import { receivedName } from './snapshot-names.ts'
import { SnapshotReceiver } from './snapshot-receiver.ts'
import { SnapshotSender } from './snapshot-sender.ts'
import type { StoredSnapshot } from './snapshot-store.ts'
import { SnapshotTaker } from './snapshot-taker.ts'

/** What the core asks of snapshots. */
export type SnapshotEffect = Extract<
  RaftEffect,
  { kind: 'sendSnapshot' | 'chunkAcknowledged' | 'storeChunk' | 'installSnapshot' | 'forgetDoubt' }
>

export interface SnapshotsOptions {
  readonly nodeId: NodeId
  readonly storage: RaftStorage
  readonly applier: Applier
  readonly tuning: ReplicaTuning
  readonly clock: Clock
  readonly logger: ReplicaLogger
  readonly enqueue: (event: RaftEvent) => void
  readonly send: (message: InstallSnapshot) => void
  readonly status: () => RaftStatus
  /** False while a member speaks a version that knows no snapshots: it could never get back what is compacted. */
  readonly mayCompact: () => boolean
  /** The members that came with an installed snapshot are in force. */
  readonly onMembers: (members: MemberList) => void
  readonly onFatal: (error: Error) => void
}

/**
 * Snapshots of this node: takes them, cuts the log behind them, sends them to followers that are too far behind, and
 * puts in force what a leader sends (§7).
 *
 * Installing goes in this order, and a crash at any step leaves a directory that a restart understands:
 * 1. the file is whole and on disk: a restart would begin behind it, for the log does not reach as far;
 * 2. it is read, checked, and given to the state machine, which shows none of it yet: a bad one changes nothing;
 * 3. the log on disk begins anew behind it;
 * 4. the state machine is replaced, and entries that waited for it are dropped;
 * 5. the core is told.
 */
export class Snapshots {
  readonly #options: SnapshotsOptions
  readonly #taker: SnapshotTaker
  readonly #sender: SnapshotSender
  readonly #receiver: SnapshotReceiver
  #handler: DecisionLogHandler | undefined
  /** The state machine is being replaced, by one snapshot after the other. */
  #replacing: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(options: SnapshotsOptions) {
    const { storage, clock, logger, tuning, enqueue, onFatal, nodeId, send } = options
    const { snapshots: store } = storage
    const { clusterId } = store
    this.#options = options
    const onTaken = (snapshot: StoredSnapshot) => this.#compact(snapshot)
    this.#taker = new SnapshotTaker({ ...options, clusterId, onTaken })
    this.#sender = new SnapshotSender({
      store,
      disk: store.disk,
      clock,
      logger,
      nodeId,
      chunkBytes: tuning.snapshotChunkBytes,
      askAgainMs: tuning.electionTimeoutMs,
      send,
      enqueue,
      isWanted: (to) => options.status().followers.some((each) => each.nodeId === to && each.state === 'snapshot'),
      onDamaged: (error) => this.#damaged(error),
      onFatal,
    })
    this.#receiver = new SnapshotReceiver({ store, logger, flushed: () => storage.flushed(), enqueue, onFatal })
  }

  /** Brings the state machine to where the newest snapshot is. Before anything is applied. @throws SnapshotDamagedError */
  restore(handler: DecisionLogHandler): Promise<void> {
    this.#handler = handler
    const restored = this.#restore(handler)
    this.#replacing = restored.catch(() => undefined)
    return restored
  }

  async #restore(handler: DecisionLogHandler): Promise<void> {
    const { snapshots } = this.#options.storage
    const { newest } = snapshots
    if (newest === undefined) return
    const restoring = handler.restore()
    try {
      await snapshots.read(newest, (content) => this.#unlessStopped(() => restoring.add(content)))
    } catch (error) {
      if (error instanceof StoppedError) return
      throw error
    }
    if (!this.#stopped) restoring.finish()
  }

  /** A large snapshot is not read to its end when nobody wants it any more. */
  #unlessStopped(task: () => void): void {
    if (this.#stopped) throw new StoppedError('the node stops')
    task()
  }

  /** More was applied. */
  check(): void {
    this.#taker.check()
  }

  carryOut(effect: SnapshotEffect): void {
    switch (effect.kind) {
      case 'sendSnapshot':
        this.#sender.begin(effect.to, effect.term)
        break
      case 'chunkAcknowledged':
        this.#sender.acknowledged(effect.response)
        break
      case 'storeChunk':
        this.#receiver.store(effect.message)
        break
      case 'installSnapshot':
        this.#replacing = this.#replacing.then(() => this.#install(effect.snapshot, effect.snapshotId))
        break
      case 'forgetDoubt':
        this.#options.storage.clearDoubt(() => {
          this.#options.logger.info({}, "this node's log is whole again: it counts as before")
          this.#options.enqueue({ kind: 'doubtForgotten' })
        })
        break
    }
  }

  /** The role or the term changed. */
  roleChanged(isLeader: boolean, term: Term): void {
    if (isLeader) this.#sender.endBefore(term)
    else this.#sender.endAll()
  }

  get status(): SnapshotStatus | undefined {
    const { storage, clock } = this.#options
    const { newest } = storage.snapshots
    if (newest === undefined) return undefined
    const { position, takenAtMs } = newest.header
    return { ...position, bytes: newest.fileBytes, ageMs: Math.max(0, clock.wallMs() - takenAtMs) }
  }

  /** Ends what is under way; resolves when nothing touches the disk any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#sender.stop()
    // A file that can't be closed keeps nobody from stopping.
    await Promise.allSettled([this.#taker.stop(), this.#receiver.stop(), this.#replacing])
  }

  /** The log up to a new snapshot is not needed any more, but for a tail. */
  async #compact(snapshot: StoredSnapshot): Promise<void> {
    const { storage, tuning, enqueue, status, mayCompact, onFatal } = this.#options
    const { followers } = status()
    const { sending } = this.#sender
    const through = compactionPoint(snapshot.header.position.index, { storage, tuning, followers, sending })
    try {
      if (mayCompact() && through > storage.base.index) {
        enqueue({ kind: 'compact', through })
        await storage.compact(through)
      }
      if (!this.#stopped) await storage.snapshots.prune()
    } catch (error) {
      if (!this.#stopped && !(error instanceof WalClosedError)) onFatal(toError(error))
    }
  }

  async #install(position: SnapshotPosition, snapshotId: number): Promise<void> {
    const { storage, enqueue, onFatal } = this.#options
    try {
      const snapshot = await this.#putInForce(position, snapshotId)
      if (this.#stopped) return
      const { configuration } = snapshot.header.configuration
      enqueue({ kind: 'snapshotInstalled', snapshot: position, configuration })
      await storage.snapshots.prune()
    } catch (error) {
      if (this.#stopped) return
      if (!(error instanceof UselessError)) return onFatal(toError(error))
      await this.#reject(position, snapshotId, error.cause)
    }
  }

  async #putInForce(position: SnapshotPosition, snapshotId: number): Promise<StoredSnapshot> {
    const { storage, applier, logger, onMembers } = this.#options
    hit('raft.install.before-read')
    const restoring = this.#handler!.restore()
    const snapshot = await useful(() =>
      storage.snapshots.readReceived(position, snapshotId, (content) =>
        this.#unlessStopped(() => restoring.add(content)),
      ),
    )
    const data = { ...snapshot.header.configuration, index: position.index }
    const members = await useful(async () => MemberList.from(data))
    if (this.#stopped) return snapshot
    hit('raft.install.before-log')
    await storage.beginAfter(position)
    hit('raft.install.log-begun')
    if (this.#stopped) return snapshot
    applier.replace(position, members, () => restoring.finish())
    hit('raft.install.replaced')
    storage.snapshots.adopt(snapshot)
    this.#taker.noteInstalled()
    onMembers(members)
    logger.info({ ...position, bytes: snapshot.fileBytes }, 'installed a snapshot')
    return snapshot
  }

  async #reject(snapshot: SnapshotPosition, snapshotId: number, cause: unknown): Promise<void> {
    const { storage, logger, enqueue, onFatal } = this.#options
    const { snapshots } = storage
    logger.error({ err: cause, ...snapshot }, `a received snapshot can't be used: ${toError(cause).message}`)
    try {
      await removeDurably(snapshots.disk, snapshots.pathOf(receivedName(snapshot, snapshotId)))
    } catch (error) {
      return onFatal(toError(error))
    }
    enqueue({ kind: 'snapshotRejected', snapshot })
  }

  #damaged(error: SnapshotDamagedError): void {
    this.#options.logger.error({ err: error, code: error.code }, error.message)
    this.#taker.takeSoon()
  }
}

/** Thrown into what is being read when the node stops. */
class StoppedError extends Error {}

/** The snapshot itself is at fault, not this node. */
class UselessError extends Error {}

async function useful<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    const isUseless = [SnapshotDamagedError, SnapshotVersionError, ReplicaLogMalformedError, CodecError]
    if (isUseless.some((kind) => error instanceof kind))
      throw new UselessError('a snapshot is useless', { cause: error })
    throw error
  }
}
