import { dirname } from 'node:path'
import type { Disk, DiskFile, OpenOptions } from './disk.ts'
import { WalLockedError } from './errors.ts'

/** What a disk is asked to do. */
export interface DiskOperation {
  /** Counts all operations of this disk from 0. */
  readonly index: number
  readonly kind:
    | 'makeDirectory'
    | 'list'
    | 'open'
    | 'rename'
    | 'remove'
    | 'syncDirectory'
    | 'write'
    | 'read'
    | 'preallocate'
    | 'sync'
  readonly path: string
}

/** What becomes of an operation: `crash` ends the machine in the middle of it. */
export type Fate = 'done' | 'crash' | 'EIO' | 'ENOSPC'

/** Which of the things that no sync has confirmed survive a crash: a number from 0 to `bound - 1` is drawn for each. */
export type Draw = (bound: number) => number

export interface MemoryDiskOptions {
  /** Decides about every operation before it is done. Default: all are done. */
  readonly fate?: (operation: DiskOperation) => Fate
  /** Bytes that all files together may have. Default: no limit. */
  capacityBytes?: number
  /** Completes a write later than at once; the simulator's clock, or a test that holds writes back. */
  readonly delayWrite?: (complete: () => void) => void
}

interface Write {
  readonly offset: number
  readonly bytes: Buffer
}

/** A file's content, as the processes see it (page cache) and as the platter has it. */
interface Inode {
  cached: Buffer
  synced: Buffer
  /** Writes that are in the cache but not confirmed: a crash keeps any part of each. */
  unsynced: Write[]
}

interface NameChange {
  readonly directory: string
  readonly apply: (names: Map<string, Inode>) => void
}

interface World {
  readonly directories: Set<string>
  readonly names: Map<string, Inode>
  readonly syncedNames: Map<string, Inode>
  /** Changes of names that no directory sync has confirmed; a crash keeps the first few of them. */
  unsyncedChanges: NameChange[]
}

const SECTOR_BYTES = 512

/**
 * A simulated disk. It keeps what a process sees apart from what would survive a loss of power, and can fail or
 * crash at any operation:
 *
 * - `crash` loses unsynced writes sector by sector, or in the middle of one, and unsynced names from some point on.
 * - A failed sync or durable write leaves its bytes readable but drops them from what will ever reach the platter,
 *   as Linux does.
 */
export class MemoryDisk implements Disk {
  readonly #world: World
  readonly #locks = new Set<string>()
  readonly #options: MemoryDiskOptions
  #operations = 0
  #dead = false

  constructor(options: MemoryDiskOptions = {}, world?: World) {
    this.#options = options
    this.#world = world ?? {
      directories: new Set(['/']),
      names: new Map(),
      syncedNames: new Map(),
      unsyncedChanges: [],
    }
  }

  /** Operations so far: a crash test runs once to count them. */
  get operations(): number {
    return this.#operations
  }

  /** The process dies, the machine stays: a new process sees all that was written. This disk fails from now on. */
  kill(options: MemoryDiskOptions = {}): MemoryDisk {
    this.#dead = true
    return new MemoryDisk(options, this.#world)
  }

  /** The power goes: only synced things surely survive; `draw` decides about the others. */
  crash(draw: Draw, options: MemoryDiskOptions = {}): MemoryDisk {
    this.#dead = true
    const world = this.#world
    const names = new Map(world.syncedNames)
    const kept = draw(world.unsyncedChanges.length + 1)
    for (const change of world.unsyncedChanges.slice(0, kept)) change.apply(names)
    const inodes = new Map([...new Set(names.values())].map((inode) => [inode, afterCrash(inode, draw)]))
    for (const [path, inode] of names) names.set(path, inodes.get(inode)!)
    const after = { directories: world.directories, names, syncedNames: new Map(names), unsyncedChanges: [] }
    return new MemoryDisk(options, after)
  }

  /** A file's bytes as processes see them. */
  contentOf(path: string): Buffer {
    return Buffer.from(this.#inode(path).cached)
  }

  /** Changes a file behind everybody's back, and durably: rot, or somebody's editor. */
  overwrite(path: string, content: Uint8Array): void {
    const inode: Inode = { cached: Buffer.from(content), synced: Buffer.from(content), unsynced: [] }
    this.#world.names.set(path, inode)
    this.#world.syncedNames.set(path, inode)
  }

  /** Removes a file behind everybody's back. */
  erase(path: string): void {
    this.#world.names.delete(path)
    this.#world.syncedNames.delete(path)
  }

  makeDirectory(path: string): Promise<void> {
    return this.#operate('makeDirectory', path, () => {
      this.#world.directories.add(path)
    })
  }

  list(path: string): Promise<readonly string[]> {
    return this.#operate('list', path, () => {
      const names = [...this.#world.names.keys()].filter((name) => dirname(name) === path)
      return names.map((name) => name.slice(path.length + 1))
    })
  }

  openFile(path: string, options: OpenOptions = {}): Promise<DiskFile> {
    return this.#operate('open', path, () => {
      if (options.create) {
        if (this.#world.names.has(path)) throw posixError('EEXIST', path)
        const inode: Inode = { cached: Buffer.alloc(0), synced: Buffer.alloc(0), unsynced: [] }
        this.#change(path, (names) => names.set(path, inode))
      }
      return new MemoryFile(this, path, this.#inode(path), options.durable ?? false)
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#operate('rename', from, () => {
      const inode = this.#inode(from)
      this.#change(to, (names) => {
        names.delete(from)
        names.set(to, inode)
      })
    })
  }

  remove(path: string): Promise<void> {
    return this.#operate('remove', path, () => {
      this.#inode(path)
      this.#change(path, (names) => names.delete(path))
    })
  }

  syncDirectory(path: string): Promise<void> {
    return this.#operate('syncDirectory', path, () => {
      const world = this.#world
      for (const change of world.unsyncedChanges) if (change.directory === path) change.apply(world.syncedNames)
      world.unsyncedChanges = world.unsyncedChanges.filter((change) => change.directory !== path)
    })
  }

  async lock(directory: string): Promise<() => Promise<void>> {
    if (this.#locks.has(directory)) throw new WalLockedError(directory, process.pid, `${directory}/lock`)
    this.#locks.add(directory)
    return async () => {
      this.#locks.delete(directory)
    }
  }

  /** Draws an operation's fate; a crash leaves the disk dead. Used by this disk's files. @internal */
  fateOf(kind: DiskOperation['kind'], path: string): Fate {
    if (this.#dead) return 'crash'
    const fate = this.#options.fate?.({ index: this.#operations++, kind, path }) ?? 'done'
    this.#dead = fate === 'crash'
    return fate
  }

  /** Whether the files together may grow by `bytes`. @internal */
  hasRoom(bytes: number): boolean {
    if (bytes <= 0) return true
    let used = 0
    for (const inode of this.#world.names.values()) used += inode.cached.length
    return used + bytes <= (this.#options.capacityBytes ?? Number.POSITIVE_INFINITY)
  }

  /** Completes a write in its time, unless the machine is gone by then. @internal */
  later(complete: () => void): void {
    const delay = this.#options.delayWrite ?? queueMicrotask
    delay(complete)
  }

  get dead(): boolean {
    return this.#dead
  }

  #inode(path: string): Inode {
    const inode = this.#world.names.get(path)
    if (inode === undefined) throw posixError('ENOENT', path)
    return inode
  }

  #change(path: string, apply: (names: Map<string, Inode>) => void): void {
    apply(this.#world.names)
    this.#world.unsyncedChanges.push({ directory: dirname(path), apply })
  }

  async #operate<T>(kind: DiskOperation['kind'], path: string, action: () => T): Promise<T> {
    await Promise.resolve()
    const fate = this.fateOf(kind, path)
    if (fate !== 'done') throw posixError(fate, path)
    return action()
  }
}

class MemoryFile implements DiskFile {
  readonly #disk: MemoryDisk
  readonly #path: string
  readonly #inode: Inode
  readonly #durable: boolean
  #closed = false

  constructor(disk: MemoryDisk, path: string, inode: Inode, durable: boolean) {
    this.#disk = disk
    this.#path = path
    this.#inode = inode
    this.#durable = durable
  }

  write(bytes: Uint8Array, offset: number, done: (error: Error | null) => void): void {
    const wasDead = this.#disk.dead
    const fate = this.#fate('write')
    const full = fate === 'ENOSPC' || !this.#disk.hasRoom(offset + bytes.length - this.#inode.cached.length)
    // It reaches the cache now and the platter at the end: a crash in between keeps any part of it.
    const write = full || wasDead ? undefined : this.#put(bytes, offset)
    this.#disk.later(() => {
      if (fate === 'crash' || this.#disk.dead) return done(posixError('crash', this.#path))
      if (full) return done(posixError('ENOSPC', this.#path))
      if (fate === 'EIO') {
        this.#drop()
        return done(posixError('EIO', this.#path))
      }
      if (this.#durable && write !== undefined) this.#settle(write)
      done(null)
    })
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    await this.#operate('read')
    const piece = this.#inode.cached.subarray(offset, offset + target.length)
    target.set(piece)
    return piece.length
  }

  async preallocate(size: number): Promise<void> {
    await this.#operate('preallocate')
    const grows = size - this.#inode.cached.length
    if (!this.#disk.hasRoom(grows)) throw posixError('ENOSPC', this.#path)
    this.#inode.cached = grown(this.#inode.cached, size)
    this.#inode.synced = grown(this.#inode.synced, size)
  }

  async sync(): Promise<void> {
    try {
      await this.#operate('sync')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EIO') this.#drop()
      throw error
    }
    for (const write of [...this.#inode.unsynced]) this.#settle(write)
  }

  async size(): Promise<number> {
    return this.#inode.cached.length
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #fate(kind: DiskOperation['kind']): Fate {
    if (this.#closed) throw posixError('EBADF', this.#path)
    return this.#disk.fateOf(kind, this.#path)
  }

  async #operate(kind: DiskOperation['kind']): Promise<void> {
    await Promise.resolve()
    const fate = this.#fate(kind)
    if (fate !== 'done') throw posixError(fate, this.#path)
  }

  #put(bytes: Uint8Array, offset: number): Write {
    const write = { offset, bytes: Buffer.from(bytes) }
    this.#inode.cached = grown(this.#inode.cached, offset + bytes.length)
    this.#inode.cached.set(bytes, offset)
    this.#inode.unsynced.push(write)
    return write
  }

  #settle(write: Write): void {
    const inode = this.#inode
    inode.synced = grown(inode.synced, write.offset + write.bytes.length)
    inode.synced.set(write.bytes, write.offset)
    inode.unsynced = inode.unsynced.filter((other) => other !== write)
  }

  /** The kernel marks pages clean whose write-back failed: they read well, and are never written again. */
  #drop(): void {
    this.#inode.unsynced = []
  }
}

function afterCrash(inode: Inode, draw: Draw): Inode {
  let content: Buffer = Buffer.from(inode.synced)
  for (const { offset, bytes } of inode.unsynced) {
    content = grown(content, offset + bytes.length)
    keepPart(content, offset, bytes, draw)
  }
  return { cached: content, synced: Buffer.from(content), unsynced: [] }
}

/** Nothing, all, the beginning up to some byte, or any of the sectors. */
function keepPart(content: Buffer, offset: number, bytes: Buffer, draw: Draw): void {
  const how = draw(4)
  if (how === 0) return
  if (how === 1) return void content.set(bytes, offset)
  if (how === 2) return void content.set(bytes.subarray(0, draw(bytes.length + 1)), offset)
  for (let at = offset; at < offset + bytes.length; ) {
    const next = (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES
    if (draw(2) === 1) content.set(bytes.subarray(at - offset, next - offset), at)
    at = next
  }
}

function grown(content: Buffer, size: number): Buffer {
  if (size <= content.length) return content
  const larger = Buffer.alloc(size)
  content.copy(larger)
  return larger
}

function posixError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
