import type { DiskFile } from './disk.ts'
import { type Draw, type Fate, type OperationDetails, posixError } from './memory-faults.ts'
import { SparseBytes } from './sparse-bytes.ts'

/** Bytes that reach the platter together, or not at all. */
export const SECTOR_BYTES = 512

interface Write {
  readonly offset: number
  readonly bytes: Buffer
}

/** A file's content, as the processes see it (page cache) and as the platter has it. */
export class Inode {
  readonly cached: SparseBytes
  readonly synced: SparseBytes
  /** Writes that are in the cache but not confirmed, in order: a crash keeps any part of each. */
  readonly unsynced = new Set<Write>()

  constructor(content = new SparseBytes()) {
    this.cached = content
    this.synced = content.copy()
  }

  static of(content: Uint8Array): Inode {
    const bytes = new SparseBytes()
    bytes.write(content, 0)
    return new Inode(bytes)
  }

  put(bytes: Uint8Array, offset: number): Write {
    const write = { offset, bytes: Buffer.from(bytes) }
    this.cached.write(bytes, offset)
    this.unsynced.add(write)
    return write
  }

  /** The platter has it now: where it belongs, or elsewhere. */
  settle(write: Write, offset = write.offset): void {
    // Nothing to do for one that a failed sync has dropped meanwhile.
    if (this.unsynced.delete(write)) this.synced.write(write.bytes, offset)
  }

  /** The kernel marks pages clean whose write-back failed: they read well, and are never written again. */
  drop(write?: Write): void {
    if (write === undefined) this.unsynced.clear()
    else this.unsynced.delete(write)
  }

  grow(size: number): void {
    this.cached.grow(size)
    this.synced.grow(size)
  }

  /** What is there after the power went. */
  afterCrash(draw: Draw): Inode {
    const content = this.synced.copy()
    for (const write of this.unsynced) {
      content.grow(write.offset + write.bytes.length)
      keepPart(content, write, draw)
    }
    return new Inode(content)
  }
}

/** Nothing, all, the beginning up to some byte, or any of the sectors. */
function keepPart(content: SparseBytes, { offset, bytes }: Write, draw: Draw): void {
  const how = draw(4)
  if (how === 0) return
  if (how === 1) return content.write(bytes, offset)
  if (how === 2) return content.write(bytes.subarray(0, draw(bytes.length + 1)), offset)
  for (let at = offset; at < offset + bytes.length; ) {
    const next = (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES
    if (draw(2) === 1) content.write(bytes.subarray(at - offset, next - offset), at)
    at = next
  }
}

/** What a file asks of the disk that it is on. */
export interface FileHost {
  /** Whether the files together may grow by `bytes`. */
  hasRoom(bytes: number): boolean
  /** Does `action` in its time, unless the operation's fate is another. */
  operate<T>(details: OperationDetails, action: (fate: Fate) => T): Promise<T>
  /** The same without a promise. */
  operateWrite(
    details: OperationDetails,
    begin: (fate: Fate) => void,
    end: (fate: Fate) => void,
    done: (error: Error | null) => void,
  ): void
}

/** A handle of a file on a MemoryDisk. */
export class MemoryFile implements DiskFile {
  readonly #host: FileHost
  readonly #path: string
  readonly #inode: Inode
  readonly #durable: boolean
  #closed = false

  constructor(host: FileHost, path: string, inode: Inode, durable: boolean) {
    this.#host = host
    this.#path = path
    this.#inode = inode
    this.#durable = durable
  }

  write(bytes: Uint8Array, offset: number, done: (error: Error | null) => void): void {
    this.#checkOpen()
    const inode = this.#inode
    let write: Write | undefined
    const begin = (fate: Fate): void => {
      if (fate === 'ENOSPC' || !this.#host.hasRoom(offset + bytes.length - inode.cached.length)) return
      // It reaches the cache now and the platter at the end: a crash in between keeps any part of it.
      write = inode.put(bytes, offset)
    }
    const end = (fate: Fate): void => {
      if (write === undefined) throw posixError('ENOSPC', this.#path)
      if (fate === 'EIO') inode.drop()
      else if (fate === 'lost') inode.drop(write)
      else if (typeof fate === 'object') inode.settle(write, fate.misdirectedTo)
      else if (this.#durable) inode.settle(write)
    }
    this.#host.operateWrite({ kind: 'write', path: this.#path, offset, bytes: bytes.length }, begin, end, done)
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    this.#checkOpen()
    const details = { kind: 'read', path: this.#path, offset, bytes: target.length } as const
    return this.#host.operate(details, () => this.#inode.cached.read(target, offset))
  }

  async preallocate(size: number): Promise<void> {
    this.#checkOpen()
    return this.#host.operate({ kind: 'preallocate', path: this.#path, offset: 0, bytes: size }, () => {
      if (!this.#host.hasRoom(size - this.#inode.cached.length)) throw posixError('ENOSPC', this.#path)
      this.#inode.grow(size)
    })
  }

  async sync(): Promise<void> {
    this.#checkOpen()
    // What is written while the sync is under way may miss it.
    const covered = [...this.#inode.unsynced]
    return this.#host.operate({ kind: 'sync', path: this.#path }, (fate) => {
      if (fate === 'EIO' || fate === 'ENOSPC' || fate === 'lost') this.#inode.drop()
      else for (const write of covered) this.#inode.settle(write)
    })
  }

  async size(): Promise<number> {
    return this.#inode.cached.length
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #checkOpen(): void {
    if (this.#closed) throw posixError('EBADF', this.#path)
  }
}
