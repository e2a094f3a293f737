import { type Clock, type NodeId, type Timer, toError } from '../base/index.ts'
import type { InstallSnapshot, InstallSnapshotResponse, LogIndex, RaftEvent, Term } from '../raft/index.ts'
import type { Disk } from '../wal/index.ts'
import { SnapshotDamagedError } from './errors.ts'
import type { ReplicaLogger } from './options.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import { SnapshotTransfer } from './snapshot-transfer.ts'

/** Without a step forward for so many rounds of asking, the transfer is given up; Raft asks for another one later. */
const ROUNDS_MAX = 40

export interface SnapshotSenderOptions {
  readonly store: SnapshotStore
  readonly disk: Disk
  readonly clock: Clock
  readonly logger: ReplicaLogger
  readonly nodeId: NodeId
  readonly chunkBytes: number
  /** After this time without an answer the receiver is asked how far it is. */
  readonly askAgainMs: number
  readonly send: (message: InstallSnapshot) => void
  readonly enqueue: (event: RaftEvent) => void
  /** Whether Raft still wants this follower to get a snapshot. */
  readonly isWanted: (to: NodeId) => boolean
  /** The newest snapshot does not read back. */
  readonly onDamaged: (error: SnapshotDamagedError) => void
  readonly onFatal: (error: Error) => void
}

interface Job {
  readonly term: Term
  transfer: SnapshotTransfer | undefined
  /** Since the last step forward. */
  rounds: number
  stepsSeen: number
}

/** Sends snapshots to followers that are too far behind: the newest there is, to each on its own. */
export class SnapshotSender {
  readonly #options: SnapshotSenderOptions
  readonly #jobs = new Map<NodeId, Job>()
  #timer: Timer | undefined
  #stopped = false

  constructor(options: SnapshotSenderOptions) {
    this.#options = options
  }

  /** The snapshots on their way: the log behind them should stay. */
  get sending(): readonly LogIndex[] {
    return [...this.#jobs.values()].flatMap(({ transfer }) => transfer?.snapshot.header.position.index ?? [])
  }

  /** Raft wants this follower to get the newest snapshot. */
  begin(to: NodeId, term: Term): void {
    if (this.#stopped) return
    this.#end(to)
    const job: Job = { term, transfer: undefined, rounds: 0, stepsSeen: 0 }
    this.#jobs.set(to, job)
    this.#timer ??= this.#options.clock.every(this.#options.askAgainMs, () => this.#askAgain())
    this.#open(to, job).catch((error: unknown) => this.#failed(to, job, error))
  }

  /** A follower answered. */
  acknowledged(response: InstallSnapshotResponse): void {
    const job = this.#jobs.get(response.from)
    const transfer = job?.transfer
    if (job === undefined || transfer === undefined || !transfer.isAbout(response)) return
    if (response.status === 'receiving') {
      transfer.acknowledge(response.receivedBytes)
      if (transfer.isFutile) this.#giveUp(response.from, job, 'it can not use what it gets')
      return
    }
    // Raft knows what became of it already.
    const { index } = response.snapshot
    this.#options.logger.info({ peer: response.from, index, status: response.status }, 'a snapshot was sent')
    this.#end(response.from)
  }

  /** This node does not lead `term` any more, or leads another one. */
  endBefore(term: Term): void {
    for (const [to, job] of this.#jobs) if (job.term < term) this.#end(to)
  }

  endAll(): void {
    for (const to of [...this.#jobs.keys()]) this.#end(to)
  }

  stop(): void {
    this.#stopped = true
    this.endAll()
  }

  async #open(to: NodeId, job: Job): Promise<void> {
    const { store, disk, logger, nodeId: from, chunkBytes, send } = this.#options
    const snapshot = store.newest
    if (snapshot === undefined) return this.#giveUp(to, job, 'there is none yet')
    store.retain(snapshot)
    let handedOver = false
    try {
      // Rot since the last reading would make the receiver throw everything away, and ask for the same again.
      await store.read(snapshot)
      const file = await disk.openFile(store.pathOf(snapshot.name))
      if (this.#jobs.get(to) !== job) return void (await file.close())
      const onError = (error: unknown) => this.#failed(to, job, error)
      job.transfer = new SnapshotTransfer({ snapshot, file, from, to, term: job.term, chunkBytes, send, onError })
      handedOver = true
    } finally {
      if (!handedOver) store.release(snapshot)
    }
    const { index } = snapshot.header.position
    logger.info({ peer: to, index, bytes: snapshot.fileBytes }, 'sending a snapshot')
    job.transfer.ask()
  }

  #askAgain(): void {
    for (const [to, job] of this.#jobs) {
      const { transfer } = job
      if (!this.#options.isWanted(to)) this.#end(to)
      else if (transfer !== undefined) this.#watch(to, job, transfer)
    }
  }

  #watch(to: NodeId, job: Job, transfer: SnapshotTransfer): void {
    if (transfer.steps > job.stepsSeen) {
      job.stepsSeen = transfer.steps
      job.rounds = 0
      return
    }
    job.rounds++
    if (job.rounds > ROUNDS_MAX) this.#giveUp(to, job, 'it does not answer')
    else transfer.ask()
  }

  #failed(to: NodeId, job: Job, error: unknown): void {
    if (this.#jobs.get(to) !== job) return
    if (error instanceof SnapshotDamagedError) {
      this.#options.onDamaged(error)
      this.#giveUp(to, job, error.message)
    } else {
      this.#end(to)
      this.#options.onFatal(toError(error))
    }
  }

  #giveUp(to: NodeId, job: Job, why: string): void {
    if (this.#jobs.get(to) !== job) return
    this.#end(to)
    this.#options.logger.warn({ peer: to }, `no snapshot for node ${to}: ${why}`)
    this.#options.enqueue({ kind: 'snapshotFailed', to, term: job.term })
  }

  #end(to: NodeId): void {
    const transfer = this.#jobs.get(to)?.transfer
    this.#jobs.delete(to)
    if (transfer !== undefined) {
      this.#options.store.release(transfer.snapshot)
      void transfer.end()
    }
    if (this.#jobs.size > 0 || this.#timer === undefined) return
    this.#options.clock.cancel(this.#timer)
    this.#timer = undefined
  }
}
