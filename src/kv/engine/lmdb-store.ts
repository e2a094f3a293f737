import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { RootDatabase } from 'lmdb'
import { toError } from '../../base/index.ts'
import type { Span } from '../locks/index.ts'
import { KvStoreFailedError } from './errors.ts'
import type { KvStore, StoreChange } from './store.ts'

/** Where the mark lies: no stored key is empty or begins so. */
const MARK_KEY = '\0mark'
const CRC_BYTES = 4
/** Keys that are handed to LMDB at once. Each costs the event loop some 5 µs. */
const SLICE_KEYS = 500

/**
 * Data in LMDB, a copy-on-write B+ tree in one file that the kernel maps into memory: it needs no recovery, and may be
 * larger than memory. Why LMDB: docs/decisions/0019.
 *
 *     value, as LMDB keeps it    | value | crc32 u32 |
 *
 * LMDB has no checksums. Ours is over key and value, so what rotted or came to another key is found when it is read.
 */
export class LmdbStore implements KvStore {
  readonly #db: RootDatabase<Buffer, Buffer>
  readonly #file: string

  private constructor(db: RootDatabase<Buffer, Buffer>, file: string) {
    this.#db = db
    this.#file = file
  }

  /** Opens `data.mdb` in the directory, or makes both. @throws KvStoreFailedError */
  static async open(directory: string): Promise<LmdbStore> {
    const file = join(directory, 'data.mdb')
    try {
      // Loaded only when it is used: who takes no part as a store need not install it.
      const { open } = await import('lmdb')
      await mkdir(directory, { recursive: true })
      // Without overlappingSync a write is on disk when it reports done.
      const options = { path: file, noSubdir: true, overlappingSync: false, maxReaders: 16 } as const
      const db = open<Buffer, Buffer>({ ...options, encoding: 'binary', keyEncoding: 'binary' })
      return new LmdbStore(db, file)
    } catch (error) {
      throw new KvStoreFailedError(
        `${file} can't be opened (is the package lmdb installed?): ${toError(error).message}`,
        { cause: error },
      )
    }
  }

  get mark(): Buffer | undefined {
    return this.get(MARK_KEY)
  }

  get(key: string): Buffer | undefined {
    const bytes = Buffer.from(key, 'latin1')
    const stored = this.#db.getBinary(bytes)
    return stored === undefined ? undefined : this.#checked(bytes, stored)
  }

  *entries({ from, to }: Span): Generator<readonly [string, Buffer]> {
    const end = to === undefined ? {} : { end: Buffer.from(to, 'latin1') }
    for (const { key, value } of this.#db.getRange({ start: Buffer.from(from, 'latin1'), ...end })) {
      yield [key.toString('latin1'), this.#checked(key, value)]
    }
  }

  async write({ effects, removed, mark }: StoreChange): Promise<void> {
    try {
      const slice: (readonly [Buffer, Buffer | undefined])[] = []
      for (const change of this.#changes(effects, removed)) {
        slice.push(change)
        if (slice.length === SLICE_KEYS) await this.#commit(slice.splice(0))
      }
      slice.push([Buffer.from(MARK_KEY, 'latin1'), mark])
      await this.#commit(slice)
      // Reads of one turn share a snapshot, which may be from before this write.
      this.#db.resetReadTxn()
    } catch (error) {
      throw new KvStoreFailedError(`${this.#file} can't be written: ${toError(error).message}`, { cause: error })
    }
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  *#changes(
    effects: StoreChange['effects'],
    removed: Span | undefined,
  ): Generator<readonly [Buffer, Buffer | undefined]> {
    for (const key of removed === undefined ? [] : this.#keys(removed)) yield [key, undefined]
    for (const [key, value] of effects) yield [Buffer.from(key, 'latin1'), value]
  }

  /** All keys at once: nothing may change while LMDB walks. */
  #keys({ from, to }: Span): Buffer[] {
    const end = to === undefined ? {} : { end: Buffer.from(to, 'latin1') }
    return [...this.#db.getKeys({ start: Buffer.from(from, 'latin1'), ...end })]
  }

  /** One transaction of LMDB: carried out in a thread of its own, and on disk when it is done. */
  async #commit(slice: readonly (readonly [Buffer, Buffer | undefined])[]): Promise<void> {
    try {
      const batch = this.#db.batch(() => {
        for (const [key, value] of slice) {
          if (value === undefined) void this.#db.remove(key)
          else void this.#db.put(key, sealed(key, value))
        }
      })
      // LMDB tells of a failure by a second promise, made at the end of this turn; left alone it would end the process.
      setImmediate(() => this.#db.committed.then(ignore, ignore))
      await batch
    } catch (error) {
      // LMDB gives the cause as a promise that fails.
      await (error as { commitError?: Promise<never> }).commitError
      throw error
    }
  }

  #checked(key: Buffer, stored: Buffer): Buffer {
    const value = stored.subarray(0, Math.max(0, stored.length - CRC_BYTES))
    if (stored.length < CRC_BYTES || stored.readUInt32BE(value.length) !== crc32(value, crc32(key))) {
      throw new KvStoreFailedError(`${this.#file}: the value of key ${key.toString('hex')} (in hex) is damaged`)
    }
    return Buffer.from(value)
  }
}

function sealed(key: Buffer, value: Buffer): Buffer {
  const stored = Buffer.allocUnsafe(value.length + CRC_BYTES)
  value.copy(stored)
  stored.writeUInt32BE(crc32(value, crc32(key)), value.length)
  return stored
}

function ignore(): void {}
