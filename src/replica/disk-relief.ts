import type { Clock, NodeId } from '../base/index.ts'
import { DiskWatch } from './disk-watch.ts'
import type { ReplicaLogger } from './options.ts'
import type { RaftStorage } from './raft-storage.ts'

/** How often a leader whose disk is full looks for somebody else to lead. */
const SEEK_ROOM_EVERY_MS = 30_000

/** What relief needs. */
export interface DiskReliefOptions {
  readonly storage: Pick<RaftStorage, 'oldestWriteAgeMs' | 'reserveLow' | 'bytesOnDisk'>
  readonly clock: Clock
  readonly logger: ReplicaLogger
  readonly tickMs: number
  /** A write may take so long, in ticks. */
  readonly patienceTicks: number
  /** Lets another node lead. */
  readonly handOver: () => Promise<NodeId>
}

/** A leader whose disk stands still, or has no room for decisions any more, lets another node lead. */
export class DiskRelief {
  readonly #options: DiskReliefOptions
  readonly #watch: DiskWatch
  #soughtRoomMs = Number.NEGATIVE_INFINITY

  constructor(options: DiskReliefOptions) {
    const { tickMs, patienceTicks, storage } = options
    this.#options = options
    this.#watch = new DiskWatch({ tickMs, patienceTicks, oldestWriteMs: () => storage.oldestWriteAgeMs })
  }

  /** Lets ticks go by on a leader that is not alone. */
  tick(ticks: number): void {
    if (this.#watch.tick(ticks)) this.#giveWay('stands still')
    if (this.#options.storage.reserveLow) this.#seekRoom()
  }

  #seekRoom(): void {
    const nowMs = this.#options.clock.monotonicMs()
    // If nobody has room, the leadership would go round and round, and each new term takes some of the last of it.
    if (nowMs - this.#soughtRoomMs < SEEK_ROOM_EVERY_MS) return
    this.#soughtRoomMs = nowMs
    this.#giveWay('is full')
  }

  #giveWay(why: string): void {
    const { logger, handOver, storage } = this.#options
    const details = { oldestWriteMs: Math.round(storage.oldestWriteAgeMs), bytesOnDisk: storage.bytesOnDisk }
    logger.warn(details, `the disk ${why}: handing the leadership over`)
    handOver().then(
      (leader) => logger.info({ leader }, `node ${leader} took over from this one, whose disk ${why}`),
      (error: Error) => logger.warn({ err: error }, `a leader whose disk ${why} goes on: ${error.message}`),
    )
  }
}
