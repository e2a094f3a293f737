import { dirname } from 'node:path'
import type { Prng } from '../../base/index.ts'
import { type Disk, type DiskFile, type OpenOptions, WalLockedError } from '../../wal/index.ts'
import type { Process } from '../kernel/process.ts'
import type { Death } from '../kernel/types.ts'
import { type DiskConditions, type DiskOperation, type DiskOperationKind, HEALTHY } from './conditions.ts'
import { Inode } from './inode.ts'
import { SimFile } from './sim-file.ts'

/** What a disk needs of its world. */
export interface DiskWorld {
  schedule(process: Process, delayMs: number, task: () => void): unknown
}

/** A change of a directory that no sync has confirmed. */
interface NameChange {
  readonly directory: string
  readonly apply: (names: Map<string, Inode>) => void
}

/** The machine has no such process any more, or never had: see Process.alive. */
interface Holder {
  readonly process: Process
}

/** What goes wrong in the next operation of a kind; see SimDisk.arm. */
export type DiskTrap = (operation: DiskOperation) => 'done' | 'never' | 'EIO'

/**
 * One machine's disk. It outlives the processes that use it, and keeps apart what they see from what a loss of power leaves.
 *
 * - kill -9 leaves the page cache alone: the next process sees all that was written.
 * - A loss of power keeps what is durable, any part of each unconfirmed write, and the first few unconfirmed names.
 * - A failed write or sync leaves its bytes readable and takes them out of what will ever be durable, as Linux does.
 */
export class SimDisk {
  conditions: DiskConditions = HEALTHY
  /** Sees each operation before it is done: a way to end the process in the middle of one. */
  trap: DiskTrap | undefined
  /** Where the next durable write really goes: its offset is moved by so many bytes. */
  misdirectBy: number | undefined
  onMisdirected: ((path: string, from: number, to: number) => void) | undefined
  /** Operations so far, and those that failed for want of health or room. */
  operations = 0
  errorsGiven = 0
  readonly #world: DiskWorld
  readonly #prng: Prng
  readonly #directories = new Set(['/'])
  #names = new Map<string, Inode>()
  #durableNames = new Map<string, Inode>()
  #unconfirmed: NameChange[] = []
  readonly #locks = new Map<string, Holder>()

  constructor(world: DiskWorld, prng: Prng) {
    this.#world = world
    this.#prng = prng
  }

  /** The disk as one process sees it. Nothing that it asked for comes to an end after its death. */
  attach(process: Process): Disk {
    return {
      makeDirectory: (path) => this.#run(process, 'makeDirectory', path, () => void this.#directories.add(path)),
      list: (path) => this.#run(process, 'list', path, () => this.#list(path)),
      openFile: (path, options) => this.#open(process, path, options),
      rename: (from, to) => this.#run(process, 'rename', from, () => this.#rename(from, to)),
      remove: (path) => this.#run(process, 'remove', path, () => this.#remove(path)),
      syncDirectory: (path) => this.#syncDirectory(process, path),
      lock: (directory) => this.#run(process, 'lock', directory, () => this.#lock(process, directory)),
    }
  }

  /** What the machine's end does to it. */
  processDied(death: Death): void {
    this.misdirectBy = undefined
    if (death === 'power') this.#losePower()
  }

  /** The files in a directory and their durable content: for faults and checks. */
  *files(directory: string): Iterable<readonly [string, Inode]> {
    for (const [path, inode] of this.#names) if (dirname(path) === directory) yield [path, inode]
  }

  /** A new, empty disk in its place. */
  wipe(): void {
    this.#names = new Map()
    this.#durableNames = new Map()
    this.#unconfirmed = []
    this.#locks.clear()
  }

  // ------------------------------------------------------------- for its files

  /** Runs an operation in its time and settles its promise, unless the process is gone by then. */
  run<T>(process: Process, kind: DiskOperationKind, path: string, action: () => T): Promise<T> {
    return this.#run(process, kind, path, action)
  }

  /** The fate of an operation that begins now. 'never': the process has just died of it. */
  fate(process: Process, kind: DiskOperationKind, path: string): 'done' | 'never' | 'EIO' {
    if (!process.alive) return 'never'
    this.operations++
    process.trap?.('disk')
    const fate = process.alive ? (this.trap?.({ kind, path }) ?? 'done') : 'never'
    if (!process.alive || fate === 'never') return 'never'
    const { writeError, readError } = this.conditions
    const chance = changesDisk(kind) ? writeError : kind === 'read' || kind === 'open' ? readError : 0
    if (fate === 'done' && (chance === 0 || !this.#prng.chance(chance))) return 'done'
    this.errorsGiven++
    return 'EIO'
  }

  after(process: Process, task: () => void): void {
    const { latencyMs, jitterMs, spike, spikeMs } = this.conditions
    let delayMs = latencyMs + (jitterMs * this.#prng.uint32()) / 2 ** 32
    if (spike > 0 && this.#prng.chance(spike)) delayMs += this.#prng.below(spikeMs)
    this.#world.schedule(process, delayMs, task)
  }

  hasRoom(bytes: number): boolean {
    if (bytes <= 0 || this.conditions.capacityBytes === Number.POSITIVE_INFINITY) return true
    if (this.usedBytes + bytes <= this.conditions.capacityBytes) return true
    this.errorsGiven++
    return false
  }

  get usedBytes(): number {
    let used = 0
    for (const inode of this.#names.values()) used += inode.cached.length
    return used
  }

  // ---------------------------------------------------------------- operations

  #run<T>(process: Process, kind: DiskOperationKind, path: string, action: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const fate = this.fate(process, kind, path)
      if (fate === 'never') return
      this.after(process, () => {
        if (fate === 'EIO') return reject(posixError('EIO', path))
        try {
          resolve(action())
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  #list(path: string): readonly string[] {
    const names: string[] = []
    for (const name of this.#names.keys()) if (dirname(name) === path) names.push(name.slice(path.length + 1))
    return names
  }

  #open(process: Process, path: string, options: OpenOptions = {}): Promise<DiskFile> {
    return this.#run(process, 'open', path, () => {
      if (options.create === true) {
        if (this.#names.has(path)) throw posixError('EEXIST', path)
        const inode = new Inode()
        this.#change(path, (names) => names.set(path, inode))
      }
      return new SimFile(this, process, path, this.#inode(path), options.durable ?? false)
    })
  }

  #rename(from: string, to: string): void {
    const inode = this.#inode(from)
    this.#change(to, (names) => {
      names.delete(from)
      names.set(to, inode)
    })
  }

  #remove(path: string): void {
    this.#inode(path)
    this.#change(path, (names) => names.delete(path))
  }

  #syncDirectory(process: Process, path: string): Promise<void> {
    // What is renamed while the sync is under way may miss it.
    const covered = this.#unconfirmed.filter((change) => change.directory === path)
    return this.#run(process, 'syncDirectory', path, () => {
      for (const change of covered) if (this.#unconfirmed.includes(change)) change.apply(this.#durableNames)
      this.#unconfirmed = this.#unconfirmed.filter((change) => !covered.includes(change))
    })
  }

  #lock(process: Process, directory: string): () => Promise<void> {
    const holder = this.#locks.get(directory)
    if (holder?.process.alive === true) throw new WalLockedError(directory, holder.process.number, `${directory}/lock`)
    const mine = { process }
    this.#locks.set(directory, mine)
    return async () => {
      if (this.#locks.get(directory) === mine) this.#locks.delete(directory)
    }
  }

  #change(path: string, apply: (names: Map<string, Inode>) => void): void {
    apply(this.#names)
    this.#unconfirmed.push({ directory: dirname(path), apply })
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path)
    if (inode === undefined) throw posixError('ENOENT', path)
    return inode
  }

  #losePower(): void {
    const prng = this.#prng
    const names = new Map(this.#durableNames)
    for (const change of this.#unconfirmed.slice(0, prng.below(this.#unconfirmed.length + 1))) change.apply(names)
    const survivors = new Map<Inode, Inode>()
    for (const inode of names.values()) {
      if (!survivors.has(inode)) survivors.set(inode, inode.afterPowerLoss(prng))
    }
    for (const [path, inode] of names) names.set(path, survivors.get(inode)!)
    this.#names = names
    this.#durableNames = new Map(names)
    this.#unconfirmed = []
  }
}

/** An error as the system gives it. */
export function posixError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}

function changesDisk(kind: DiskOperationKind): boolean {
  return kind === 'write' || kind === 'sync' || kind === 'syncDirectory' || kind === 'rename' || kind === 'preallocate'
}
