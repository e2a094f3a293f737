import { crc32 } from 'node:zlib'
import { toError } from '../base/index.ts'
import type { InstallSnapshot, RaftEvent } from '../raft/index.ts'
import { isOutOfSpace } from '../wal/index.ts'
import { IncomingSnapshot } from './incoming-snapshot.ts'
import type { ReplicaLogger } from './options.ts'
import type { SnapshotStore } from './snapshot-store.ts'

/** Chunks that wait for the disk, at most; more are dropped, and sent again. The sender's window is smaller. */
const WAITING_BYTES_MAX = 8 * 1024 * 1024

export interface SnapshotReceiverOptions {
  readonly store: SnapshotStore
  readonly logger: ReplicaLogger
  /** Resolves when all that was written to the log so far is durable. */
  readonly flushed: () => Promise<void>
  readonly enqueue: (event: RaftEvent) => void
  readonly onFatal: (error: Error) => void
}

/**
 * Stores the chunks of the snapshot that the leader sends, one after the other. What has come so far stays on disk when the
 * connection breaks, when another leader of the same snapshot goes on, and when this node starts again.
 */
export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions
  #incoming: IncomingSnapshot | undefined
  #running: Promise<void> = Promise.resolve()
  #waitingBytes = 0
  #stopped = false

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options
  }

  /** Takes one chunk; the answer is a `chunkStored`. */
  store(message: InstallSnapshot): void {
    if (this.#stopped || this.#waitingBytes + message.data.length > WAITING_BYTES_MAX) return
    this.#waitingBytes += message.data.length
    this.#running = this.#running.then(async () => {
      this.#waitingBytes -= message.data.length
      if (!this.#stopped) await this.#take(message).catch((error: unknown) => this.#failed(error))
    })
  }

  /** Stores no more; resolves when nothing is under way. What has come stays. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
    await this.#incoming?.close()
  }

  async #take(message: InstallSnapshot): Promise<void> {
    const { store } = this.#options
    const { newest } = store
    // Whole and durable already: it came before, or a crash kept it from being installed.
    const isHere = newest?.snapshotId === message.snapshotId && newest.header.position.index === message.snapshot.index
    if (isHere) return this.#answer(message, message.totalBytes, true)
    const incoming = await this.#incomingOf(message)
    if (this.#isNext(message, incoming)) await incoming.append(message.data)
    if (incoming.fault !== undefined) return this.#throwAway(message, incoming, incoming.fault)
    if (incoming.length < message.totalBytes) return this.#answer(message, incoming.length, false)
    await this.#complete(message, incoming)
  }

  /** A chunk that does not follow was lost, or sent twice; a bad one was harmed on its way. The answer says where to go on. */
  #isNext({ data, offset, checksum }: InstallSnapshot, { length }: IncomingSnapshot): boolean {
    return data.length > 0 && offset === length && crc32(data) === checksum
  }

  async #complete(message: InstallSnapshot, incoming: IncomingSnapshot): Promise<void> {
    const { flushed } = this.#options
    const fault = incoming.end()
    if (fault !== undefined) return this.#throwAway(message, incoming, fault)
    // The term in which it was sent must not be younger than what a restart finds of this node's own.
    await flushed()
    if (this.#stopped) return
    await incoming.publish()
    this.#incoming = undefined
    this.#answer(message, message.totalBytes, true)
  }

  async #throwAway(message: InstallSnapshot, incoming: IncomingSnapshot, what: string): Promise<void> {
    this.#options.logger.error({ from: message.from, ...message.snapshot }, `a received snapshot is bad: ${what}`)
    this.#incoming = undefined
    await incoming.discard()
    this.#answer(message, 0, false)
  }

  async #incomingOf(message: InstallSnapshot): Promise<IncomingSnapshot> {
    if (this.#incoming?.isOf(message) === true) return this.#incoming
    const { store } = this.#options
    // Leaders send their newest: what came of another one before will not be asked for again.
    await this.#incoming?.discard()
    this.#incoming = undefined
    this.#incoming = await IncomingSnapshot.open(store, message)
    return this.#incoming
  }

  #answer({ from, term, snapshot, snapshotId }: InstallSnapshot, receivedBytes: number, complete: boolean): void {
    if (this.#stopped) return
    this.#options.enqueue({ kind: 'chunkStored', from, term, snapshot, snapshotId, receivedBytes, complete })
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#stopped) return
    const { logger, onFatal } = this.#options
    if (!isOutOfSpace(error)) return onFatal(toError(error))
    // No answer: the leader gives up, and tries again later.
    logger.warn({ err: error }, 'no room for the snapshot that the leader sends; free some room on the disk')
    const incoming = this.#incoming
    this.#incoming = undefined
    await incoming?.discard().catch(() => undefined)
  }
}
