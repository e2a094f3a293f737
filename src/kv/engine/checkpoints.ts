import { toError } from '../../base/index.ts'
import type { DurableLog } from './durable-log.ts'
import { outcomesBefore } from './keys.ts'

/** Committed bytes in memory, in checkpoints' sizes, at which new work waits for the disk. */
const BACKLOG_MAX = 4
/** The same for the log: aborted work takes room in it, too. */
const LOG_MAX = 4

/** When the data is written: as soon as enough has been committed, one checkpoint after the other. */
export class Checkpoints {
  readonly #log: DurableLog
  readonly #bytes: number
  readonly #onFailure: (error: Error) => void
  #running: Promise<void> | undefined

  constructor(log: DurableLog, bytes: number, onFailure: (error: Error) => void) {
    this.#log = log
    this.#bytes = bytes
    this.#onFailure = onFailure
    log.onAppended = () => this.#consider()
  }

  /** Something was appended. */
  #consider(): void {
    const { data, appendedBytes } = this.#log
    if (this.#running !== undefined) return
    if (data.bytes >= this.#bytes || appendedBytes >= this.#bytes * LOG_MAX) this.now().catch(() => undefined)
  }

  /** Resolves when there is room for more. */
  async room(): Promise<void> {
    while (this.#running !== undefined && this.#log.data.bytes >= this.#bytes * BACKLOG_MAX) await this.#running
  }

  /** Writes all that is committed by now. @throws KvStoreFailedError, WalFailedError; the owner was told then */
  now(): Promise<void> {
    const run = (): Promise<void> => this.#run()
    const running = this.#running === undefined ? run() : this.#running.then(run, run)
    this.#running = running
    const ended = (): void => {
      if (this.#running === running) this.#running = undefined
    }
    running.then(ended, ended)
    return running
  }

  /** Resolves when none is under way. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(() => undefined)
  }

  async #run(): Promise<void> {
    const { watermarkMs } = this.#log.state
    try {
      await this.#log.checkpoint(watermarkMs > 0 ? outcomesBefore(watermarkMs) : undefined)
    } catch (error) {
      this.#onFailure(toError(error))
      throw error
    }
  }
}
