import { type Clock, hit, type Timer, toError } from '../base/index.ts'
import type { LogIndex } from '../raft/index.ts'
import { isOutOfSpace } from '../wal/index.ts'
import type { Applier, FrozenAt } from './applier.ts'
import type { FrozenState } from './decision-log.ts'
import type { ReplicaLogger, ReplicaTuning } from './options.ts'
import type { RaftStorage } from './raft-storage.ts'
import type { SnapshotHeader } from './snapshot-format.ts'
import type { StoredSnapshot } from './snapshot-store.ts'

/** After a disk was full: it is not asked again at once. */
const RETRY_MS = 10_000
/** A snapshot is worth its writing when the log behind the last one has this part of the last one's size. */
const WORTH_PART = 0.5

export interface SnapshotTakerOptions {
  readonly storage: RaftStorage
  readonly applier: Applier
  readonly tuning: Pick<ReplicaTuning, 'snapshotBytes' | 'snapshotEntries'>
  readonly clock: Clock
  readonly logger: ReplicaLogger
  /** For the header; the rest of it comes from the applier. */
  readonly clusterId: SnapshotHeader['clusterId']
  /** A new snapshot is durable. */
  readonly onTaken: (snapshot: StoredSnapshot) => Promise<void>
  readonly onFatal: (error: Error) => void
}

/** Thrown into what is under way when the node stops. */
class StoppedError extends Error {}

/**
 * Takes snapshots in the background, one at a time, when the log behind the last one has grown enough: so a restart has a
 * bounded log to replay, and the disk a bounded log to hold.
 */
export class SnapshotTaker {
  readonly #options: SnapshotTakerOptions
  /** What the applier had applied when the last snapshot was taken or installed. */
  #bytesBefore = 0
  #indexBefore: LogIndex
  #running: Promise<void> | undefined
  #wanted = false
  #retry: Timer | undefined
  #stopped = false
  #abort: (() => void) | undefined

  constructor(options: SnapshotTakerOptions) {
    this.#options = options
    this.#indexBefore = options.applier.appliedIndex
  }

  /** More was applied: takes a snapshot when it is time. Cheap; call it often. */
  check(): void {
    if (this.#running !== undefined || this.#retry !== undefined || this.#stopped || !this.#isDue()) return
    this.#running = this.#take().finally(() => {
      this.#running = undefined
    })
  }

  /** The newest snapshot is of no use: takes another. */
  takeSoon(): void {
    this.#wanted = true
    this.check()
  }

  /** A snapshot of the state as it is now came from elsewhere. */
  noteInstalled(): void {
    this.#bytesBefore = this.#options.applier.appliedBytes
    this.#indexBefore = this.#options.applier.appliedIndex
    this.#wanted = false
  }

  /** Takes no more; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#abort?.()
    if (this.#retry !== undefined) this.#options.clock.cancel(this.#retry)
    await this.#running
  }

  #isDue(): boolean {
    const { applier, tuning, storage } = this.#options
    // Whoever begins with the snapshot takes its members for confirmed (raft/configuration-in-force.ts).
    if (!applier.isConfirmed) return false
    if (this.#wanted) return true
    const entries = applier.appliedIndex - this.#indexBefore
    const bytes = applier.appliedBytes - this.#bytesBefore
    if (bytes < tuning.snapshotBytes && entries < tuning.snapshotEntries) return false
    return bytes >= (storage.snapshots.newest?.fileBytes ?? 0) * WORTH_PART
  }

  async #take(): Promise<void> {
    const { applier, logger, clock } = this.#options
    const { appliedBytes } = applier
    const startedAtMs = clock.monotonicMs()
    try {
      hit('raft.snapshot.before-write')
      const frozen = applier.freeze()
      const snapshot = await this.#write(frozen)
      this.#bytesBefore = appliedBytes
      this.#indexBefore = frozen.position.index
      this.#wanted = false
      const durationMs = Math.round(clock.monotonicMs() - startedAtMs)
      logger.info({ ...frozen.position, bytes: snapshot.fileBytes, durationMs }, 'took a snapshot')
      if (!this.#stopped) await this.#options.onTaken(snapshot)
    } catch (error) {
      this.#failed(error)
    }
  }

  async #write({ position, configuration, state }: FrozenAt): Promise<StoredSnapshot> {
    const { storage, clusterId, clock } = this.#options
    const header = { clusterId, position, configuration, takenAtMs: clock.wallMs() }
    const stopped = new Promise<never>((_, reject) => {
      this.#abort = () => reject(new StoppedError('the node stops'))
    })
    stopped.catch(() => undefined)
    try {
      // The log must not end before the snapshot: what a restart finds of both has to fit together.
      const ready = () => Promise.race([storage.flushed(), stopped])
      return await storage.snapshots.take(header, this.#stoppable(state), ready)
    } finally {
      this.#abort = undefined
      state.close()
    }
  }

  #stoppable(state: FrozenState): FrozenState {
    const next = (): Uint8Array | undefined => {
      if (this.#stopped) throw new StoppedError('the node stops')
      return state.next()
    }
    return { next, close: () => state.close() }
  }

  #failed(error: unknown): void {
    if (this.#stopped || error instanceof StoppedError) return
    const { clock, logger, onFatal } = this.#options
    if (!isOutOfSpace(error)) return onFatal(toError(error))
    logger.warn({ err: error }, 'no room for a snapshot: the log can not be cut; free some room on the disk')
    this.#retry = clock.after(RETRY_MS, () => {
      this.#retry = undefined
      this.check()
    })
  }
}
