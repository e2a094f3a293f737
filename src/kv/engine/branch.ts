import { type BranchId, type Txid, toError } from '../../base/index.ts'
import { type Expectation, type KvValue, type Proposal, sameValue, type Write } from '../constraints/index.ts'
import { keySpan, type LockMode, OrderedMap, type Span } from '../locks/index.ts'
import type { BranchHost } from './branch-host.ts'
import { merged } from './data.ts'
import { KvBranchEndedError, KvBranchTooLargeError, KvInvalidError } from './errors.ts'
import { dataKey, dataSpan, type Range, uniqueKey, userKey } from './keys.ts'
import { effectBytes, LOCK_BYTES } from './row-size.ts'
import { decodeValue, encodeValue } from './values.ts'

/** What a scan gives at once when it is not told, and at most. */
const SCAN_LIMIT = 1000
const SCAN_LIMIT_MAX = 10_000

/** Which keys a scan is to give: all bounds that are named hold. */
export interface ScanOptions extends Range {
  /** Entries at once: 1 to 10,000, default 1,000. */
  readonly limit?: number
  /** Ends early behind the entry with which keys and values have come to so many bytes. Default: no matter how many. */
  readonly bytes?: number
}

export interface ScanResult {
  readonly entries: readonly { readonly key: string; readonly value: KvValue }[]
  /** The key from which to go on; undefined when this was all. */
  readonly next: string | undefined
}

/**
 * One transaction's work at this participant. Reads lock what they read, writes what they write, until the end; so what was
 * read once stays as it is. Writes are kept here until PREPARE, and nobody else sees them before the commit.
 *
 * Any error poisons the branch: it is rolled back, and votes abort.
 */
export class KvBranch {
  readonly txid: Txid
  readonly branch: BranchId
  readonly #host: BranchHost
  /** By stored key; undefined removes. */
  #writes = new OrderedMap<Buffer | undefined>()
  /** The first that was not met: it decides. */
  #unmet: Expectation | undefined
  /** What its writes take in the log. */
  #bytes = 0
  #busy = 0
  #ended: string | undefined
  #poisonedBy: Error | undefined

  constructor(txid: Txid, branch: BranchId, host: BranchHost) {
    this.txid = txid
    this.branch = branch
    this.#host = host
  }

  /** The error that it was rolled back for. */
  get poisonedBy(): Error | undefined {
    return this.#poisonedBy
  }

  /** Whether a call is under way. At PREPARE that is work which nobody awaited. */
  get isBusy(): boolean {
    return this.#busy > 0
  }

  /**
   * The value of a key; undefined when there is none.
   * @param room is awaited behind the lock: where a reader waits until its answer has room
   */
  get(key: string, room?: () => Promise<void>): Promise<KvValue | undefined> {
    return this.#run(async () => {
      const stored = dataKey(key)
      await this.#lock(keySpan(stored), 'shared')
      if (room !== undefined) await this.#enter(room)
      return this.#visible(stored)
    })
  }

  /** Entries in the order of their keys' bytes (UTF-8). The whole range is locked, also where it holds nothing. @param room see `get` */
  scan(options: ScanOptions = {}, room?: () => Promise<void>): Promise<ScanResult> {
    return this.#run(async () => {
      const { limit = SCAN_LIMIT, bytes = Number.POSITIVE_INFINITY } = options
      if (!Number.isInteger(limit) || limit < 1 || limit > SCAN_LIMIT_MAX) {
        throw new KvInvalidError(`limit is ${limit}; use a whole number from 1 to ${SCAN_LIMIT_MAX}`)
      }
      const span = dataSpan(options)
      if (span === undefined) return { entries: [], next: undefined }
      await this.#lock(span, 'shared')
      if (room !== undefined) await this.#enter(room)
      return this.#collect(span, limit, bytes)
    })
  }

  put(key: string, value: KvValue): Promise<void> {
    return this.#run(() => this.#write(dataKey(key), encodeValue(value)))
  }

  delete(key: string): Promise<void> {
    return this.#run(() => this.#write(dataKey(key), undefined))
  }

  /** Adds to a number, which is 0 where there is nothing, and resolves to the sum. */
  add(key: string, amount: number): Promise<number> {
    return this.#run(async () => {
      const stored = dataKey(key)
      await this.#lock(keySpan(stored), 'exclusive')
      const before = this.#visible(stored) ?? 0
      if (typeof before !== 'number') throw new KvInvalidError(`${key} holds no number, so nothing can be added to it`)
      const sum = before + amount
      await this.#write(stored, encodeValue(sum))
      return sum
    })
  }

  /**
   * Puts `value` (undefined: removes it) if the key holds `expected` (undefined: nothing). Otherwise nothing is written, and
   * the branch will vote abort. Resolves to whether it was as expected.
   */
  compareAndSet(key: string, expected: KvValue | undefined, value: KvValue | undefined): Promise<boolean> {
    return this.#run(async () => {
      const stored = dataKey(key)
      const bytes = value === undefined ? undefined : encodeValue(value)
      await this.#lock(keySpan(stored), 'exclusive')
      const found = this.#visible(stored)
      if (!sameValue(expected, found)) {
        this.#unmet ??= { key, expected, found }
        return false
      }
      await this.#write(stored, bytes)
      return true
    })
  }

  /** What the constraints are held against. @internal */
  proposal(): Proposal {
    const writes = [...this.#writes.entries()].map(([stored, after]): Write => {
      const before = this.#host.data.get(stored)
      return { key: userKey(stored), before: decoded(before), after: decoded(after) }
    })
    return { writes, expectations: this.#unmet === undefined ? [] : [this.#unmet] }
  }

  /** By stored key. @internal */
  writes(): Iterable<readonly [string, Buffer | undefined]> {
    return this.#writes.entries()
  }

  /** Takes no more work. The first reason counts. @internal */
  end(what: string, poisonedBy?: Error): void {
    this.#ended ??= what
    this.#poisonedBy ??= poisonedBy
    // It may be here for a while, until it is asked for its vote.
    if (poisonedBy !== undefined) this.#writes = new OrderedMap()
  }

  async #write(stored: string, value: Buffer | undefined): Promise<void> {
    await this.#lock(keySpan(stored), 'exclusive')
    for (const entry of this.#indexEntries(stored, value)) await this.#lock(keySpan(entry), 'exclusive')
    if (this.#writes.has(stored)) this.#bytes -= this.#bytesOf(stored, this.#writes.get(stored))
    this.#bytes += this.#bytesOf(stored, value)
    this.#checkSize()
    this.#writes.set(stored, value)
    this.#host.wrote(this.#bytes)
  }

  /** What a write takes in the log: its own effect, and those on unique indexes. */
  #bytesOf(stored: string, value: Buffer | undefined): number {
    const entries = this.#indexEntries(stored, value)
    return entries.reduce((sum, entry) => sum + effectBytes(entry, stored.length), effectBytes(stored, value?.length))
  }

  /** A vote must fit into the log, with its locks. Found out here, before there is too much in memory and to be judged. */
  #checkSize(): void {
    const { branchBytesMax } = this.#host
    const { locks, bytes } = this.#host.lockSize()
    if (this.#bytes + bytes + locks * LOCK_BYTES <= branchBytesMax) return
    throw new KvBranchTooLargeError(this.txid, branchBytesMax)
  }

  /** The entries of unique indexes that this write would change: they are locked like keys. */
  #indexEntries(stored: string, value: Buffer | undefined): string[] {
    const key = userKey(stored)
    const prefixes = this.#host.rules.filter(({ kind, prefix }) => kind === 'unique' && key.startsWith(prefix))
    if (prefixes.length === 0) return []
    const values = [decoded(this.#host.data.get(stored)), decoded(value)].filter((each) => each !== undefined)
    return prefixes.flatMap(({ prefix }) => values.map((each) => uniqueKey(prefix, each)))
  }

  #visible(stored: string): KvValue | undefined {
    return decoded(this.#writes.has(stored) ? this.#writes.get(stored) : this.#host.data.get(stored))
  }

  #collect(span: Span, limit: number, bytesMax: number): ScanResult {
    const entries: { key: string; value: KvValue }[] = []
    let bytes = 0
    for (const [stored, value] of merged([this.#writes.entries(span.from, span.to), this.#host.data.entries(span)])) {
      if (value === undefined) continue
      if (entries.length === limit || bytes >= bytesMax) return { entries, next: userKey(stored) }
      entries.push({ key: userKey(stored), value: decodeValue(value) })
      bytes += stored.length + value.length
    }
    return { entries, next: undefined }
  }

  async #lock(span: Span, mode: LockMode): Promise<void> {
    await this.#host.lock(span, mode)
    this.#checkOpen()
    this.#checkSize()
  }

  async #enter(room: () => Promise<void>): Promise<void> {
    await room()
    this.#checkOpen()
  }

  #checkOpen(): void {
    if (this.#ended === undefined) return
    throw new KvBranchEndedError(this.txid, this.#ended, { cause: this.#poisonedBy })
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    this.#checkOpen()
    this.#busy++
    try {
      return await work()
    } catch (thrown) {
      if (this.#ended === undefined) this.#host.poison(toError(thrown))
      throw thrown
    } finally {
      this.#busy--
    }
  }
}

function decoded(stored: Buffer | undefined): KvValue | undefined {
  return stored === undefined ? undefined : decodeValue(stored)
}
