import { dirname } from 'node:path'
import type { Disk, DiskFile, OpenOptions } from './disk.ts'
import { WalLockedError } from './errors.ts'
import {
  type DiskOperation,
  type Draw,
  type Fate,
  type MemoryDiskOptions,
  type OperationDetails,
  posixError,
} from './memory-faults.ts'
import { type FileHost, Inode, MemoryFile } from './memory-file.ts'

interface NameChange {
  readonly directory: string
  readonly apply: (names: Map<string, Inode>) => void
  /** Another one without which this one does not survive a crash. */
  readonly after?: NameChange | undefined
}

interface World {
  readonly directories: Set<string>
  readonly names: Map<string, Inode>
  readonly syncedNames: Map<string, Inode>
  /** Changes of names that no directory sync has confirmed; a crash keeps the first few of them, and any of the rest. */
  unsyncedChanges: NameChange[]
}

/**
 * A simulated disk. It keeps what a process sees apart from what would survive a loss of power, and can fail or
 * crash at any operation (see Fate):
 *
 * - `crash` loses unsynced writes sector by sector, or in the middle of one, and any of the unsynced names.
 * - A failed sync or durable write leaves its bytes readable but drops them from what will ever reach the platter,
 *   as Linux does.
 *
 * It is the simulator's hot path: a write costs its own bytes, and a file of zeros nothing.
 */
export class MemoryDisk implements Disk {
  readonly #world: World
  readonly #locks = new Set<string>()
  readonly #options: MemoryDiskOptions
  readonly #host: FileHost
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
    this.#host = {
      hasRoom: (bytes) => this.#hasRoom(bytes),
      operate: (details, action) => this.#operate(details, action),
      operateWrite: (details, begin, end, done) => this.#operateWrite(details, begin, end, done),
    }
  }

  /** Operations so far: a crash test runs once to count them. */
  get operations(): number {
    return this.#operations
  }

  /** Whether the machine or the process is gone: nothing that is asked of this disk is done any more. */
  get dead(): boolean {
    return this.#dead
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
    // File systems with a journal keep the order; nobody promises it.
    const lost = new Set<NameChange>()
    for (const [index, change] of world.unsyncedChanges.entries()) {
      if (index < kept || (draw(3) === 2 && !lost.has(change.after ?? change))) change.apply(names)
      else lost.add(change)
    }
    const inodes = new Map([...new Set(names.values())].map((inode) => [inode, inode.afterCrash(draw)]))
    for (const [path, inode] of names) names.set(path, inodes.get(inode)!)
    const directories = new Set(world.directories)
    return new MemoryDisk(options, { directories, names, syncedNames: new Map(names), unsyncedChanges: [] })
  }

  /** A file's bytes as processes see them. */
  contentOf(path: string): Buffer {
    const { cached } = this.#inode(path)
    const content = Buffer.allocUnsafe(cached.length)
    cached.read(content, 0)
    return content
  }

  /** The paths of all files, as processes see them. */
  get paths(): readonly string[] {
    return [...this.#world.names.keys()].sort()
  }

  /** Changes a file behind everybody's back, and durably: somebody's editor. */
  overwrite(path: string, content: Uint8Array): void {
    this.#addDirectories(dirname(path))
    const inode = Inode.of(content)
    this.#world.names.set(path, inode)
    this.#world.syncedNames.set(path, inode)
  }

  /** Flips the bits of `mask` in one byte of a file, in the page cache and on the platter: rot. Nothing beyond its end. */
  rot(path: string, offset: number, mask: number): void {
    const { cached, synced } = this.#inode(path)
    const byte = Buffer.alloc(1)
    for (const bytes of [cached, synced]) {
      if (bytes.read(byte, offset) === 0) continue
      byte[0]! ^= mask
      bytes.write(byte, offset)
    }
  }

  /** Removes a file behind everybody's back. */
  erase(path: string): void {
    this.#world.names.delete(path)
    this.#world.syncedNames.delete(path)
  }

  makeDirectory(path: string): Promise<void> {
    return this.#operate({ kind: 'makeDirectory', path }, () => this.#addDirectories(path))
  }

  list(path: string): Promise<readonly string[]> {
    return this.#operate({ kind: 'list', path }, () => {
      if (!this.#world.directories.has(path)) throw posixError('ENOENT', path)
      const paths = [...this.#world.directories, ...this.#world.names.keys()]
      return paths.filter((other) => other !== '/' && dirname(other) === path).map((other) => nameIn(path, other))
    })
  }

  openFile(path: string, options: OpenOptions = {}): Promise<DiskFile> {
    return this.#operate({ kind: 'open', path }, () => {
      if (options.create) this.#create(path)
      return new MemoryFile(this.#host, path, this.#inode(path), options.durable ?? false)
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#operate({ kind: 'rename', path: from }, () => {
      const inode = this.#inode(from)
      this.#checkDirectory(to)
      if (dirname(from) !== dirname(to)) {
        // Two directories, of which each is synced by itself; but a crash never leaves neither name.
        const added = this.#change(to, (names) => names.set(to, inode))
        this.#change(from, (names) => names.delete(from), added)
        return
      }
      this.#change(to, (names) => {
        names.delete(from)
        names.set(to, inode)
      })
    })
  }

  remove(path: string): Promise<void> {
    return this.#operate({ kind: 'remove', path }, () => {
      this.#inode(path)
      this.#change(path, (names) => names.delete(path))
    })
  }

  syncDirectory(path: string): Promise<void> {
    const world = this.#world
    // What is renamed while the sync is under way may miss it.
    const covered = world.unsyncedChanges.filter((change) => change.directory === path)
    return this.#operate({ kind: 'syncDirectory', path }, (fate) => {
      const left = world.unsyncedChanges.filter((change) => !covered.includes(change))
      if (left.length === world.unsyncedChanges.length) return
      if (fate !== 'lost') for (const change of covered) change.apply(world.syncedNames)
      world.unsyncedChanges = left
    })
  }

  async lock(directory: string): Promise<() => Promise<void>> {
    if (this.#locks.has(directory)) throw new WalLockedError(directory, 1, `${directory}/lock`)
    this.#locks.add(directory)
    return async () => {
      this.#locks.delete(directory)
    }
  }

  #addDirectories(path: string): void {
    for (let at = path; !this.#world.directories.has(at); at = dirname(at)) this.#world.directories.add(at)
  }

  #checkDirectory(path: string): void {
    if (!this.#world.directories.has(dirname(path))) throw posixError('ENOENT', path)
  }

  #create(path: string): void {
    if (this.#world.names.has(path)) throw posixError('EEXIST', path)
    this.#checkDirectory(path)
    const inode = new Inode()
    this.#change(path, (names) => names.set(path, inode))
  }

  #inode(path: string): Inode {
    const inode = this.#world.names.get(path)
    if (inode === undefined) throw posixError('ENOENT', path)
    return inode
  }

  #change(path: string, apply: (names: Map<string, Inode>) => void, after?: NameChange): NameChange {
    const change = { directory: dirname(path), apply, after }
    apply(this.#world.names)
    this.#world.unsyncedChanges.push(change)
    return change
  }

  #hasRoom(bytes: number): boolean {
    const { capacityBytes } = this.#options
    if (bytes <= 0 || capacityBytes === undefined) return true
    let used = 0
    for (const inode of this.#world.names.values()) used += inode.cached.length
    return used + bytes <= capacityBytes
  }

  #operate<T>(details: OperationDetails, action: (fate: Fate) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const operation = { ...details, index: this.#operations }
      const fate = this.#fateOf(operation)
      this.#later(operation, () => {
        if (this.#dead) return this.#answerDead(() => reject(posixError('crash', details.path)))
        try {
          const result = this.#carryOut(operation, fate, action)
          if (this.#dead) return this.#answerDead(() => reject(posixError('crash', details.path)))
          resolve(result)
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  #operateWrite(
    details: OperationDetails,
    begin: (fate: Fate) => void,
    end: (fate: Fate) => void,
    done: (error: Error | null) => void,
  ): void {
    const operation = { ...details, index: this.#operations }
    const wasDead = this.#dead
    const fate = this.#fateOf(operation)
    if (!wasDead) begin(fate)
    this.#later(operation, () => {
      let failure: Error | null = null
      try {
        if (!this.#dead) this.#carryOut(operation, fate, end)
      } catch (error) {
        failure = error as Error
      }
      if (this.#dead) return this.#answerDead(() => done(posixError('crash', details.path)))
      done(failure)
    })
  }

  #fateOf(operation: DiskOperation): Fate {
    if (this.#dead) return 'crash'
    this.#operations++
    const fate = this.#options.fate?.(operation) ?? 'done'
    this.#dead = fate === 'crash'
    return fate
  }

  /** The effect of an operation that the machine lives to see. */
  #carryOut<T>(operation: DiskOperation, fate: Fate, action: (fate: Fate) => T): T {
    if (fate === 'EIO' || fate === 'ENOSPC') {
      // Even a failure has an effect on what a failed write or sync leaves behind.
      if (operation.kind === 'write' || operation.kind === 'sync') action(fate)
      throw posixError(fate, operation.path)
    }
    const result = action(fate)
    this.#options.onDone?.(operation)
    if (fate === 'crashAfter') this.#dead = true
    return result
  }

  #later(operation: DiskOperation, proceed: () => void): void {
    const { delay, delayWrite } = this.#options
    if (operation.kind === 'write' && delayWrite !== undefined) return delayWrite(proceed)
    if (delay !== undefined) return delay(operation, proceed)
    queueMicrotask(proceed)
  }

  #answerDead(reject: () => void): void {
    if (this.#options.whenDead !== 'silent') reject()
  }
}

function nameIn(directory: string, path: string): string {
  return path.slice(directory === '/' ? 1 : directory.length + 1)
}
