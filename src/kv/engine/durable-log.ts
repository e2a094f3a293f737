import { assert, hit } from '../../base/index.ts'
import { type Position, Wal, WalClosedError, WalFailedError, type WalOptions } from '../../wal/index.ts'
import { rangeSpan } from '../locks/index.ts'
import { Data } from './data.ts'
import { KvStoreMismatchError } from './errors.ts'
import { decodeMark, encodeMark } from './mark.ts'
import { encodeRecord, type KvRecord } from './records.ts'
import { Replay } from './replay.ts'
import { KvState } from './state.ts'
import type { KvStore, StoreChange } from './store.ts'

/** As for the log itself. */
export type DurableLogOptions = Omit<WalOptions, 'onRecord'> & {
  readonly store: KvStore
  readonly uniquePrefixes: readonly string[]
}

/** The participant's log and what it has led to: a record is applied and appended in one step. */
export class DurableLog {
  readonly state: KvState
  readonly data: Data
  readonly #uniquePrefixes: readonly string[]
  /** Called after every `append`: the one place that sees how log and memory grow. */
  onAppended: (() => void) | undefined
  readonly #waiting = new Set<(error: Error) => void>()
  #wal: Wal | undefined
  #appendedBytes = 0

  private constructor(data: Data, uniquePrefixes: readonly string[]) {
    this.data = data
    this.state = new KvState(data)
    this.#uniquePrefixes = uniquePrefixes
  }

  /**
   * Opens the log, reads it from the store's mark on, and checks that both belong together.
   *
   * @throws KvStoreMismatchError, KvRulesChangedError, KvLogMalformedError, and what `Wal.open` throws
   */
  static async open({ store, uniquePrefixes, ...options }: DurableLogOptions): Promise<DurableLog> {
    const log = new DurableLog(new Data(store), uniquePrefixes)
    const mark = store.mark === undefined ? undefined : decodeMark(store.mark)
    const replay = new Replay({ state: log.state, uniquePrefixes, mark })
    const onFailure = (error: WalFailedError): void => {
      for (const reject of log.#waiting) reject(error)
      log.#waiting.clear()
      options.onFailure(error)
    }
    const wal = await Wal.open({ ...options, onFailure, onRecord: (record) => replay.record(record) })
    try {
      replay.end(wal)
      if (replay.empty && !isEmpty(store)) throw new KvStoreMismatchError('there is data, and the log is empty')
      log.#wal = wal
      if (replay.empty) log.#appended([{ kind: 'head', uniquePrefixes }])
      return log
    } catch (error) {
      await wal.close()
      throw error
    }
  }

  /** Only the reserve for decisions is left on the disk. */
  get spaceLow(): boolean {
    return this.#opened.spaceLow
  }

  /** Appends records and applies them; resolves when they are on disk. @throws WalFailedError, WalClosedError by the promise */
  append(...records: readonly KvRecord[]): Promise<void> {
    const { positions, durable } = this.#appended(records)
    if (positions.length > 0) this.onAppended?.()
    return durable
  }

  /** Resolves when all that was appended is on disk. */
  durable(): Promise<void> {
    return this.#appended([]).durable
  }

  /**
   * Writes all that is committed into the store, and removes what nobody needs of the log any more. One at a time.
   *
   * 1. Behind a new head, the branches in doubt are written again: the log from there on needs nothing before it.
   * 2. All that is on disk, so the store never has what the log has not.
   * 3. The store takes the effects, and at last the head's position.
   * 4. What lies before the head goes.
   *
   * A crash before the end of step 3 leaves the old mark, any part of the effects, and the log from the old mark on, which
   * has them all; after it, the new mark.
   */
  async checkpoint(removed: StoreChange['removed']): Promise<void> {
    hit('kv.checkpoint.before')
    const carried = [...this.state.inDoubt.values()].map((row): KvRecord => ({ kind: 'inDoubt', row }))
    const { positions, durable } = this.#appended([{ kind: 'head', uniquePrefixes: this.#uniquePrefixes }, ...carried])
    const [position] = positions
    if (position === undefined) return durable
    this.#appendedBytes = 0
    const effects = this.data.freeze()
    await durable
    hit('kv.checkpoint.noted')
    await this.data.store.write({ effects, removed, mark: this.#markAt(position) })
    this.data.thaw()
    hit('kv.checkpoint.stored')
    await this.#opened.removeBefore(position)
    hit('kv.checkpoint.cut')
  }

  /** Bytes that were appended since the last checkpoint began, or since the start. */
  get appendedBytes(): number {
    return this.#appendedBytes
  }

  /** Bytes that the log takes on disk. */
  get bytesOnDisk(): number {
    return this.#opened.bytesOnDisk
  }

  async close(): Promise<void> {
    await this.#opened.close()
  }

  get #opened(): Wal {
    assert(this.#wal !== undefined, 'nobody has the log before it is open')
    return this.#wal
  }

  #markAt(position: Position): Buffer {
    return encodeMark({ storeId: this.#opened.storeId, position })
  }

  #appended(records: readonly KvRecord[]): {
    readonly positions: readonly Position[]
    readonly durable: Promise<void>
  } {
    const encoded = records.map(encodeRecord)
    let onDurable = (): void => {}
    const durable = new Promise<void>((resolve, reject) => {
      this.#waiting.add(reject)
      onDurable = () => {
        this.#waiting.delete(reject)
        resolve()
      }
    })
    // Not everybody who appends waits for it; a failure is told to the owner all the same.
    durable.catch(() => undefined)
    // What does not fit throws here, before it is on its way to the disk.
    for (const record of records) this.state.apply(record)
    try {
      const positions = this.#opened.append(encoded, () => onDurable())
      for (const { payload } of encoded) this.#appendedBytes += payload.length
      return { positions, durable }
    } catch (error) {
      // Closed, or failed before: nothing was appended, and nobody will be answered any more.
      if (error instanceof WalClosedError || error instanceof WalFailedError) {
        return { positions: [], durable: Promise.reject(error) }
      }
      throw error
    }
  }
}

function isEmpty(store: KvStore): boolean {
  for (const _ of store.entries(rangeSpan('\x01', undefined))) return false
  return true
}
