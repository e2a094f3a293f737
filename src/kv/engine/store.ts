import type { Span } from '../locks/index.ts'

/**
 * What is to be stored. It may be done in several steps, but the mark comes last, or with the last of them: after a crash
 * amid it any part of the rest may be there, and the old mark with it.
 */
export interface StoreChange {
  /** By stored key; undefined removes. Keys are latin1 texts in ascending order. They stay as they are until it is done. */
  readonly effects: Iterable<readonly [string, Buffer | undefined]>
  /** Removes all keys in it, before the effects. */
  readonly removed?: Span | undefined
  /** Kept beside the keys, as a whole: how far into the log the data reaches. */
  readonly mark: Buffer
}

/**
 * The seam to where committed data lies. The participant's log is the truth; the store is written only now and then, with
 * all that was committed since the last time. What lies behind its mark is applied again at each start, so it does not
 * matter if some of that is there already.
 *
 * Reads are synchronous, and see a finished write; while one is under way they may see any part of it, which does not
 * matter either: all that is being written is in memory above the store (see Data). One write at a time, and one process.
 */
export interface KvStore {
  /** What the last write left as its mark; undefined when there was none yet. */
  readonly mark: Buffer | undefined
  /** The value, in memory of its own. @throws KvStoreFailedError when it does not read back */
  get(key: string): Buffer | undefined
  /** Keys and values in order; not while a write ends. @throws KvStoreFailedError */
  entries(span: Span): Iterable<readonly [string, Buffer]>
  /** Resolves when the change is durable, and seen by every later read. @throws KvStoreFailedError when it may not be */
  write(change: StoreChange): Promise<void>
  close(): Promise<void>
}
