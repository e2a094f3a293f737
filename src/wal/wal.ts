import { assert, type Clock, ConcordatError, hit, systemClock, type Timer, toError } from '../base/index.ts'
import { Batch } from './batch.ts'
import { WalClosedError, WalFailedError, WalRecordTooLargeError } from './errors.ts'
import {
  BEGIN_TYPE,
  DATA_OFFSET,
  EMPTY_BATCH_BYTES,
  encodeBegin,
  MARK_TYPE,
  type Position,
  payloadBytes,
  RECORD_HEAD_BYTES,
} from './format.ts'
import type { StoredRecord } from './log-reader.ts'
import { openStore } from './open-store.ts'
import { Reader } from './reader.ts'
import { Removal } from './removal.ts'
import { type Segment, type Store, segmentOf, segmentPath } from './segment.ts'
import { Spares } from './spares.ts'
import { Waiters } from './waiters.ts'
import { newStoreId, segmentBytesOf, type WalOptions, type WalRecord, type WalStats } from './wal-options.ts'

/** A batch that has reached this size takes no more records. */
const BATCH_BYTES_MAX = 1024 * 1024
const BATCH_MEMORY_BYTES = 64 * 1024
/** An idle log proves its last batch after this time, so that later damage to it is not taken for a torn write. */
const IDLE_MARK_MS = 50

/**
 * A durable log of records: one writer, group commit, fail-stop. The bytes and the recovery rule are in format.ts.
 *
 * Invariants:
 * 1. At most one write is under way, so a batch's mark truly says that all bytes before it are on disk.
 * 2. `onDurable` runs in the order of `append`, after the write that holds the last of its records.
 * 3. After the first failure no `onDurable` runs.
 *
 * @example
 * const wal = await Wal.open({ disk: nodeDisk, directory, identity, onRecord: replay, onFailure: () => process.exit(1) })
 * wal.append([{ type: 1, payload: Buffer.from('decided') }], () => answerTheClient())
 */
export class Wal {
  /** Random id (16 bytes in hex) made when the directory was first used. */
  readonly storeId: string
  /** Whether this open made the log: the directory was empty. A known node must not start with a fresh log. */
  readonly fresh: boolean

  readonly #store: Store
  readonly #segments: Segment[]
  readonly #reader: Reader
  readonly #spares: Spares
  readonly #removal: Removal
  readonly #clock: Clock
  readonly #defer: (task: () => void) => void
  readonly #onFailure: (error: WalFailedError) => void
  readonly #release: () => Promise<void>
  readonly #segmentBytesMax: number

  /** Batches that take no more records, in order; the open one follows them. */
  readonly #sealed: Batch[] = []
  #sealedBytes = 0
  #open: Batch | undefined
  #writing: Batch | undefined
  /** Where the next batch begins, while there is no open one. */
  #next: { segment: number; base: number; size: number; offset: number }
  /** Position just behind the last durable batch. */
  #durableEnd: number
  /** Number of the segment that holds the last durable batch. */
  #activeNumber: number
  /** Whether the last durable batch holds records that no later mark proves. */
  #unproven = false
  #scheduled = false
  #state: 'running' | 'closing' | 'closed' | 'failed' = 'running'
  #failure: WalFailedError | undefined
  #markTimer: Timer | undefined
  #closing: Promise<void> | undefined
  /** Called when no write is under way any more: `close` waits for it. */
  #onIdle: (() => void) | undefined
  readonly #memory: Buffer[] = []
  /** Reads and `close` that wait until everything before a position is durable. */
  readonly #waiters = new Waiters()
  #appends = 0
  #records = 0
  #writes = 0
  #bytesWritten = 0

  private constructor(
    options: WalOptions,
    opened: Awaited<ReturnType<typeof openStore>>,
    release: () => Promise<void>,
  ) {
    this.#store = opened.store
    this.storeId = opened.store.storeId
    this.fresh = opened.fresh
    this.#segments = opened.segments
    this.#reader = new Reader(opened.store, opened.segments)
    this.#clock = options.clock ?? systemClock
    this.#defer = options.defer ?? setImmediate
    this.#onFailure = options.onFailure
    this.#release = release
    this.#segmentBytesMax = segmentBytesOf(options)
    const active = opened.segments[opened.active]!
    this.#next = { segment: active.number, base: active.base, size: active.size, offset: active.dataEnd }
    this.#durableEnd = active.base + active.dataEnd
    this.#spares = new Spares({
      store: opened.store,
      clock: this.#clock,
      segmentBytesMax: this.#segmentBytesMax,
      segments: opened.segments,
      onReady: () => this.#write(),
      onSpace: (low) => options.onSpace?.(low),
      onError: (error) => this.#fail('the next segment could not be made', error),
      onExhausted: (error) => this.#fail('the disk is full and the reserve is used up', error),
    })
    this.#removal = new Removal({
      store: opened.store,
      segments: opened.segments,
      reader: this.#reader,
      activeNumber: () => this.#activeNumber,
      noteBegin: (begin) => this.#appendOwn(BEGIN_TYPE, encodeBegin(begin)),
      stopped: () => this.#state !== 'running',
      onError: (what, error) => this.#fail(what, error),
    })
    this.#activeNumber = active.number
    this.#spares.want(active.number)
  }

  /**
   * Opens the log: takes the lock, reads and checks every record, repairs a torn end, and starts the background work.
   *
   * @throws WalLockedError, WalIdentityError, WalNotEmptyError, WalVersionError, WalDamagedError, WalFailedError
   */
  static async open(options: WalOptions): Promise<Wal> {
    const size = segmentBytesOf(options)
    const { disk, directory } = options
    let release: (() => Promise<void>) | undefined
    try {
      await disk.makeDirectory(directory)
      release = await disk.lock(directory)
      const storeId = () => newStoreId(options)
      const opened = await openStore(disk, directory, options.identity, size, storeId, options.onRecord)
      return new Wal(options, opened, release)
    } catch (error) {
      await release?.().catch(() => undefined)
      if (error instanceof ConcordatError || toError(error).name === 'InvariantError') throw error
      throw new WalFailedError(`${directory} could not be opened: ${toError(error).message}`, { cause: error })
    }
  }

  /** Bytes that the log's files take on disk, spares included. */
  get bytesOnDisk(): number {
    const last = this.#segments.at(-1)!
    return last.base + last.size - this.begin
  }

  /** Where the oldest segment begins that was not removed; 0 as long as none was. */
  get begin(): Position {
    return this.#segments[0]!.base as Position
  }

  /** Whether the next segments could not be made for lack of room; see `onSpace`. */
  get spaceLow(): boolean {
    return this.#spares.low
  }

  /**
   * Bytes of batches that are not on disk yet. They are in memory, and `append` never refuses for their sake: an owner
   * who appends faster than the disk writes must look here, and hold back its own sources above a bound of its choice.
   */
  get pendingBytes(): number {
    return this.#sealedBytes + (this.#writing?.length ?? 0) + (this.#open?.length ?? 0)
  }

  /**
   * For how long the oldest append has been waiting to be on disk, in milliseconds; 0 when none waits. It grows while a
   * write hangs, so a slow disk is seen before it answers.
   */
  get oldestWriteAgeMs(): number {
    const oldest = this.#writing ?? this.#sealed[0] ?? this.#open
    return oldest === undefined ? 0 : Math.max(0, this.#clock.monotonicMs() - oldest.sinceMs)
  }

  /**
   * Whether even the reserve is nearly used up: less than half a segment is left, and no further one can be made. Only
   * what is tiny and can't wait should be appended then: when nothing is left at all, the log fails.
   */
  get reserveLow(): boolean {
    const last = this.#segments.at(-1)!
    return this.#spares.low && last.base + last.size - this.#endOfPending() < this.#segmentBytesMax / 2
  }

  get stats(): WalStats {
    return {
      appends: this.#appends,
      records: this.#records,
      writes: this.#writes,
      bytesWritten: this.#bytesWritten,
      pendingBytes: this.pendingBytes,
      segments: this.#segments.length,
    }
  }

  /**
   * Lays the records out, and writes them together with all others of this turn or of the time of the write under way.
   *
   * @param onDurable called when all of them are on disk; never after a failure
   * @returns each record's position, for `read` and `readRange`
   * @throws WalRecordTooLargeError when a record fits in no segment (then none was appended), WalClosedError, WalFailedError
   */
  append(records: readonly WalRecord[], onDurable: () => void): readonly Position[] {
    this.#checkRunning()
    const sizes = records.map((record) => this.#checkedSize(record))
    const positions: Position[] = []
    for (const [index, record] of records.entries()) {
      const size = sizes[index]!
      positions.push(this.#batchFor(size).add(record.type, record.payload, size) as Position)
    }
    // An append of nothing is durable when all before it is: it rides on the batch at hand.
    const batch = this.#open ?? this.#batchFor(0)
    batch.onDurable.push(onDurable)
    this.#appends++
    this.#records += records.length
    this.#schedule()
    return positions
  }

  /**
   * Reads one record back, checked; one that is not durable yet is waited for.
   * @throws WalDamagedError when it does not read back; WalRemovedError, WalClosedError, WalFailedError
   */
  async read(position: Position): Promise<StoredRecord> {
    await this.#durable(position)
    return this.#reading(() => this.#reader.read(position))
  }

  /**
   * Reads durable records in order, from the one at `from` on, until `visit` answers false, their payloads reach
   * `bytesMax`, or the end. At least one is visited. Appends go on meanwhile.
   * @throws WalDamagedError when one does not read back; WalRemovedError, WalClosedError, WalFailedError
   */
  async readRange(from: Position, bytesMax: number, visit: (record: StoredRecord) => boolean): Promise<void> {
    await this.#durable(from)
    return this.#reading(() => this.#reader.readRange(from, Math.max(1, bytesMax), visit))
  }

  /**
   * Removes the whole segments that end before `position`, durably and the oldest first; the one that is written stays.
   * Resolves when they are gone. What must be kept of them has to be appended again before, and `position` must not lie
   * behind it: nothing is removed until all records before `position` are on disk, and rot in them is never taken for
   * a torn write.
   *
   * Reads that began earlier come to their end first; later ones of what is removed throw WalRemovedError.
   *
   * @throws WalClosedError, WalFailedError also when a file cannot be removed
   */
  async removeBefore(position: Position): Promise<void> {
    this.#checkRunning()
    assert(position <= this.#endOfPending(), 'a position comes from append or replay')
    if (position > this.begin) await this.#durable(position - 1)
    await this.#removal.before(position)
    this.#spares.roomMayBeBack()
    this.#checkRunning()
  }

  /** Appends a record of the log's own; resolves when it is on disk. */
  #appendOwn(type: number, payload: Buffer): Promise<void> {
    this.#checkRunning()
    const position = this.#batchFor(payload.length).add(type, payload, payload.length)
    this.#schedule()
    return this.#durable(position)
  }

  /** Writes what was appended, marks a clean end, and gives the directory free. Nothing may be appended afterwards. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#state === 'running') {
      this.#state = 'closing'
      await this.#drain().catch(() => undefined)
    }
    if (this.#markTimer !== undefined) this.#clock.cancel(this.#markTimer)
    await this.#spares.close()
    await this.#removal.close()
    // After a failure a write may still be under way. Its descriptor must not be closed under it: the number could go
    // to another file, of the application even, and the bytes with it.
    if (this.#writing !== undefined) await new Promise<void>((resolve) => (this.#onIdle = resolve))
    for (const segment of this.#segments) await this.#closeFile(segment)
    await this.#release()
    this.#state = 'closed'
  }

  async #drain(): Promise<void> {
    this.#write()
    while (this.#hasWork()) await this.#durable(this.#endOfPending() - 1)
    this.#writeMark()
    if (this.#hasWork()) await this.#durable(this.#endOfPending() - 1)
  }

  #hasWork(): boolean {
    return this.#writing !== undefined || this.#sealed.length > 0 || this.#open !== undefined
  }

  #endOfPending(): number {
    const last = this.#open ?? this.#sealed.at(-1) ?? this.#writing
    return last === undefined ? this.#durableEnd : last.place.base + last.end
  }

  #checkRunning(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#state !== 'running') throw new WalClosedError()
  }

  #checkedSize(record: WalRecord): number {
    assert(record.type >= 1 && record.type < MARK_TYPE, 'a record type is 1 to 239')
    const size = payloadBytes(record.payload)
    const sizeMax = this.#segmentBytesMax - DATA_OFFSET - EMPTY_BATCH_BYTES - RECORD_HEAD_BYTES
    if (size > sizeMax) throw new WalRecordTooLargeError(size, sizeMax)
    return size
  }

  /** The open batch, if a record of `size` bytes may join it; else a new one, in the next segment if need be. */
  #batchFor(size: number): Batch {
    if (this.#open !== undefined) {
      if (this.#open.length < BATCH_BYTES_MAX && this.#open.fits(size)) return this.#open
      this.#seal()
    }
    const next = this.#next
    if (next.offset + EMPTY_BATCH_BYTES + RECORD_HEAD_BYTES + size > next.size) this.#rollOver()
    return this.#newBatch()
  }

  #newBatch(): Batch {
    const memory = this.#memory.pop() ?? Buffer.allocUnsafeSlow(BATCH_MEMORY_BYTES)
    this.#open = new Batch({ ...this.#next }, this.#clock.monotonicMs(), this.#store.salt, memory)
    return this.#open
  }

  #seal(): void {
    const batch = this.#open
    if (batch === undefined) return
    this.#next.offset = batch.end
    this.#sealed.push(batch)
    this.#sealedBytes += batch.length
    this.#open = undefined
  }

  /** The layout goes on in the next segment, whether it is ready or not; the write waits for it. */
  #rollOver(): void {
    const { segment: number, base, size } = this.#next
    const next = segmentOf(this.#segments, number + 1)
    assert(next === undefined || next.number === number + 1, 'segments are numbered without a gap')
    this.#next = {
      segment: number + 1,
      base: base + size,
      size: next?.size ?? this.#segmentBytesMax,
      offset: DATA_OFFSET,
    }
    this.#spares.want(number + 1)
  }

  #schedule(): void {
    if (this.#scheduled || this.#writing !== undefined) return
    this.#scheduled = true
    this.#defer(() => {
      this.#scheduled = false
      this.#write()
    })
  }

  /** Starts the next write, unless one is under way, nothing waits, or its segment is not ready. */
  #write(): void {
    if (this.#writing !== undefined || this.#failure !== undefined || this.#state === 'closed') return
    if (this.#sealed.length === 0) this.#seal()
    const batch = this.#sealed[0]
    if (batch === undefined) return
    const segment = segmentOf(this.#segments, batch.place.segment)
    if (segment?.file === undefined) {
      this.#spares.need(batch.place.segment)
      return
    }
    this.#sealed.shift()
    this.#sealedBytes -= batch.length
    this.#writing = batch
    const bytes = batch.finish(this.#durableEnd)
    hit('wal.batch.before-write')
    segment.file.write(bytes, batch.place.offset, (error) => {
      assert(this.#writing === batch, 'one write at a time')
      this.#writing = undefined
      if (error === null) this.#written(batch, segment)
      else this.#fail(`a write to ${this.#pathOf(segment)} failed`, error)
      if (this.#writing === undefined) this.#onIdle?.()
    })
    hit('wal.batch.under-way')
  }

  #written(batch: Batch, segment: Segment): void {
    if (this.#failure !== undefined) return
    hit('wal.batch.durable')
    segment.dataEnd = batch.end
    this.#activeNumber = segment.number
    this.#durableEnd = segment.base + batch.end
    this.#unproven = batch.count > 0
    this.#writes++
    this.#bytesWritten += batch.length
    // Before the callbacks: the disk works while they run, and one that throws cannot stop the log.
    this.#write()
    this.#recycle(batch.memory)
    this.#closeOlder(segment.number)
    this.#armMark()
    this.#waiters.wake(this.#durableEnd)
    for (const onDurable of batch.onDurable) onDurable()
    hit('wal.batch.acknowledged')
  }

  #recycle(memory: Buffer): void {
    if (this.#memory.length < 2 && memory.length <= 2 * BATCH_BYTES_MAX) this.#memory.push(memory)
  }

  /** A segment that is full is not written again. */
  #closeOlder(number: number): void {
    const before = segmentOf(this.#segments, number - 1)
    if (before?.file === undefined) return
    this.#closeFile(before).catch((error) => this.#fail(`${this.#pathOf(before)} could not be closed`, error))
  }

  async #closeFile(segment: Segment): Promise<void> {
    const file = segment.file
    segment.file = undefined
    await file?.close()
  }

  #armMark(): void {
    if (this.#markTimer !== undefined || !this.#unproven || this.#state !== 'running') return
    this.#markTimer = this.#clock.after(IDLE_MARK_MS, () => {
      this.#markTimer = undefined
      if (this.#hasWork()) this.#armMark()
      else this.#writeMark()
    })
  }

  /** Writes a batch without records: its mark proves the batch before it. */
  #writeMark(): void {
    if (!this.#unproven || this.#failure !== undefined || this.#hasWork()) return
    // Not worth a new segment: its first batch will prove this one.
    if (this.#next.offset + EMPTY_BATCH_BYTES > this.#next.size) return
    this.#newBatch()
    this.#write()
  }

  /** Resolves when the byte at `position` is durable. */
  #durable(position: number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#state === 'closed') return Promise.reject(new WalClosedError())
    if (position < this.#durableEnd) return Promise.resolve()
    assert(position < this.#endOfPending(), 'a position comes from append or replay')
    return this.#waiters.wait(position)
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      if (error instanceof ConcordatError) throw error
      throw new WalFailedError(`a read failed: ${toError(error).message}`, { cause: error })
    }
  }

  #fail(what: string, cause: unknown): void {
    if (this.#failure !== undefined) return
    const failure = new WalFailedError(`${what}: ${toError(cause).message}`, { cause })
    this.#failure = failure
    if (this.#state === 'running') this.#state = 'failed'
    this.#waiters.fail(failure)
    this.#onFailure(failure)
  }

  #pathOf(segment: Segment): string {
    return segmentPath(this.#store.directory, segment.number)
  }
}
