import { z } from 'zod'
import { type Clock, ConcordatError, type Timer } from '../base/index.ts'
import type { Replica, SnapshotStream } from '../replica/index.ts'

/** A backup that nobody goes on with is given up: it keeps a frozen state in memory. */
const IDLE_MS = 30_000

const nextQuestion = z.strictObject({ id: z.string() })

/** Another backup is under way. */
class BackupBusyError extends ConcordatError {
  readonly code = 'BACKUP_BUSY'
  override readonly retryable = true
}

/** The backup was given up. */
class BackupGoneError extends ConcordatError {
  readonly code = 'BACKUP_GONE'
  override readonly retryable = true
}

/** What a backup begins with. */
export interface BackupBegin {
  readonly id: string
  readonly cluster: string
  readonly index: number
  readonly takenAtMs: number
}

/** Its next bytes, in base64; null behind the last. */
export interface BackupPiece {
  readonly data: string | null
}

interface Running {
  readonly id: string
  readonly stream: SnapshotStream
  timer: Timer | undefined
}

/**
 * Hands out backups, one at a time and piece by piece as they are asked for: memory holds a frozen state, whose parts are
 * shared with the living one, and one piece.
 */
export class BackupDesk {
  readonly #replica: Pick<Replica, 'streamSnapshot'>
  readonly #clock: Clock
  #running: Running | undefined
  #isBeginning = false
  #count = 0

  constructor(replica: Pick<Replica, 'streamSnapshot'>, clock: Clock) {
    this.#replica = replica
    this.#clock = clock
  }

  /** Undefined: the method is no question about backups. @throws z.ZodError for a question that can't be read */
  answer(method: string, question: unknown): Promise<BackupBegin | BackupPiece> | undefined {
    if (method === 'backup.begin') return this.#begin()
    if (method === 'backup.next') return this.#next(nextQuestion.parse(question).id)
    return method === 'backup.end' ? this.#endOf(nextQuestion.parse(question).id) : undefined
  }

  close(): void {
    this.#end()
  }

  async #begin(): Promise<BackupBegin> {
    if (this.#running !== undefined || this.#isBeginning) {
      throw new BackupBusyError('another backup is being taken from this coordinator; wait for it, or ask another one')
    }
    this.#isBeginning = true
    try {
      const stream = await this.#replica.streamSnapshot()
      this.#running = { id: String(++this.#count), stream, timer: undefined }
      this.#keepAlive(this.#running)
      const { clusterId, position, takenAtMs } = stream.header
      return { id: this.#running.id, cluster: clusterId, index: position.index, takenAtMs }
    } finally {
      this.#isBeginning = false
    }
  }

  async #next(id: string): Promise<BackupPiece> {
    const running = this.#find(id)
    this.#keepAlive(running)
    const piece = await running.stream.next()
    if (piece === undefined) this.#end()
    return { data: piece?.toString('base64') ?? null }
  }

  async #endOf(id: string): Promise<BackupPiece> {
    if (this.#running?.id === id) this.#end()
    return { data: null }
  }

  #find(id: string): Running {
    if (this.#running?.id === id) return this.#running
    throw new BackupGoneError('this backup was given up; begin anew')
  }

  #keepAlive(running: Running): void {
    if (running.timer !== undefined) this.#clock.cancel(running.timer)
    running.timer = this.#clock.after(IDLE_MS, () => this.#end())
  }

  #end(): void {
    const running = this.#running
    if (running === undefined) return
    this.#running = undefined
    if (running.timer !== undefined) this.#clock.cancel(running.timer)
    void running.stream.close()
  }
}
