import { close, constants, fstat, fsync, open, type PathLike, read, write } from 'node:fs'
import { mkdir, readdir, rename, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Disk, DiskFile, OpenOptions } from './disk.ts'
import { lockDirectory } from './lock-file.ts'

const openAsync = promisify<PathLike, number, number, number>(open)
const fsyncAsync = promisify(fsync)
const closeAsync = promisify(close)

const ZEROS = Buffer.alloc(1024 * 1024)

/** The machine's own file system. */
export const nodeDisk: Disk = {
  async makeDirectory(path) {
    const first = await mkdir(path, { recursive: true })
    if (first === undefined) return
    // Each new name lives in its parent: sync from the deepest parent up to the one that was there before.
    const stop = dirname(resolve(first))
    for (let parent = dirname(resolve(path)); ; parent = dirname(parent)) {
      await syncDirectory(parent)
      if (parent === stop) return
    }
  },
  list: (path) => readdir(path),
  openFile: openNodeFile,
  rename,
  remove: unlink,
  syncDirectory,
  lock: lockDirectory,
}

async function syncDirectory(path: string): Promise<void> {
  const fd = await openAsync(path, constants.O_RDONLY, 0)
  try {
    await fsyncAsync(fd)
  } finally {
    await closeAsync(fd)
  }
}

async function openNodeFile(path: string, options: OpenOptions = {}): Promise<DiskFile> {
  const create = options.create ? constants.O_CREAT | constants.O_EXCL : 0
  const durable = options.durable ? constants.O_DSYNC : 0
  // Readable by the owner alone: the log holds what applications put into their transactions.
  return new NodeFile(await openAsync(path, constants.O_RDWR | create | durable, 0o600))
}

class NodeFile implements DiskFile {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  write(bytes: Uint8Array, offset: number, done: (error: Error | null) => void): void {
    write(this.#fd, bytes, 0, bytes.length, offset, (error, written) => {
      if (error !== null) return done(error)
      // POSIX allows a short write, for example just before the disk is full; the rest then tells why.
      if (written < bytes.length) return this.write(bytes.subarray(written), offset + written, done)
      done(null)
    })
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    let total = 0
    while (total < target.length) {
      const count = await this.#readSome(target, total, offset + total)
      if (count === 0) break
      total += count
    }
    return total
  }

  #readSome(target: Uint8Array, from: number, offset: number): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.#fd, target, from, target.length - from, offset, (error, count) => {
        if (error === null) resolve(count)
        else reject(error)
      })
    })
  }

  async preallocate(size: number): Promise<void> {
    for (let at = 0; at < size; at += ZEROS.length) {
      const piece = ZEROS.subarray(0, Math.min(ZEROS.length, size - at))
      await new Promise<void>((resolve, reject) => {
        this.write(piece, at, (error) => (error === null ? resolve() : reject(error)))
      })
      // Piece by piece: one large sync would keep the durable writes of the running log waiting.
      await this.sync()
    }
  }

  sync(): Promise<void> {
    return fsyncAsync(this.#fd)
  }

  async size(): Promise<number> {
    const { size } = await promisify(fstat)(this.#fd)
    return size
  }

  close(): Promise<void> {
    return closeAsync(this.#fd)
  }
}
