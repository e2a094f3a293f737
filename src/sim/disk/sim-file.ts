import type { DiskFile } from '../../wal/index.ts'
import type { Process } from '../kernel/process.ts'
import type { DirtyWrite, Inode } from './inode.ts'
import { posixError, type SimDisk } from './sim-disk.ts'

/** One open file of a simulated disk. */
export class SimFile implements DiskFile {
  readonly #disk: SimDisk
  readonly #process: Process
  readonly #path: string
  readonly #inode: Inode
  readonly #durable: boolean
  #closed = false

  constructor(disk: SimDisk, process: Process, path: string, inode: Inode, durable: boolean) {
    this.#disk = disk
    this.#process = process
    this.#path = path
    this.#inode = inode
    this.#durable = durable
  }

  write(bytes: Uint8Array, offset: number, done: (error: Error | null) => void): void {
    if (this.#closed) throw posixError('EBADF', this.#path)
    const disk = this.#disk
    if (!this.#process.alive) return
    const full = !disk.hasRoom(offset + bytes.length - this.#inode.cached.length)
    // In the cache now, on the platter in the end: a crash in between keeps any part of it.
    const write = full ? undefined : this.#put(bytes, offset)
    const fate = disk.fate(this.#process, 'write', this.#path)
    if (fate === 'never') return
    disk.after(this.#process, () => {
      if (full) return done(posixError('ENOSPC', this.#path))
      if (fate === 'EIO') {
        this.#inode.dropDirty()
        return done(posixError('EIO', this.#path))
      }
      if (this.#durable && write !== undefined) this.#inode.settle(write)
      done(null)
    })
  }

  read(target: Uint8Array, offset: number): Promise<number> {
    return this.#run('read', () => {
      const piece = this.#inode.cached.subarray(offset, offset + target.length)
      target.set(piece)
      return piece.length
    })
  }

  preallocate(size: number): Promise<void> {
    return this.#run('preallocate', () => {
      const { cached, durable } = this.#inode
      if (!this.#disk.hasRoom(size - cached.length)) throw posixError('ENOSPC', this.#path)
      this.#inode.cached = zeroed(cached, size)
      this.#inode.durable = zeroed(durable, size)
    })
  }

  sync(): Promise<void> {
    const covered = [...this.#inode.dirty]
    return this.#run('sync', () => {
      for (const write of covered) this.#inode.settle(write)
    }).catch((error: unknown) => {
      this.#inode.dropDirty()
      throw error
    })
  }

  size(): Promise<number> {
    return this.#run('size', () => this.#inode.cached.length)
  }

  close(): Promise<void> {
    return this.#run('close', () => {
      this.#closed = true
    })
  }

  #run<T>(kind: 'read' | 'preallocate' | 'sync' | 'size' | 'close', action: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(posixError('EBADF', this.#path))
    return this.#disk.run(this.#process, kind, this.#path, action)
  }

  #put(bytes: Uint8Array, offset: number): DirtyWrite {
    const { misdirectBy } = this.#disk
    if (misdirectBy === undefined || !this.#durable) return this.#inode.put(bytes, offset)
    // The disk says yes and writes elsewhere: what was there is gone, and what should be there is not. Only on top of
    // what was written before: a write that is lost without a trace is beyond what any log can find out.
    const target = offset + misdirectBy
    if (target < 0) return this.#inode.put(bytes, offset)
    this.#disk.misdirectBy = undefined
    this.#disk.onMisdirected?.(this.#path, offset, target)
    return this.#inode.put(bytes, target)
  }
}

/** The first `size` bytes are zeros, really written. */
function zeroed(content: Buffer, size: number): Buffer {
  if (size < content.length) return content.fill(0, 0, size)
  return Buffer.alloc(size)
}
