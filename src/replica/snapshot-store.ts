import { assert, type Clock, type ClusterId, hit } from '../base/index.ts'
import type { SnapshotPosition } from '../raft/index.ts'
import { type Disk, FileDraft, listFiles, readPieces, removeDraft, removeDurably } from '../wal/index.ts'
import type { FrozenState } from './decision-log.ts'
import { SnapshotDamagedError, SnapshotVersionError } from './errors.ts'
import { Slices } from './slices.ts'
import type { SnapshotHeader } from './snapshot-format.ts'
import { parseSnapshotName, receivedName, takenName } from './snapshot-names.ts'
import { SnapshotParser } from './snapshot-parser.ts'
import { type PieceSource, SnapshotWriter } from './snapshot-writer.ts'

/** A whole snapshot on disk, checked at least once since this node started. */
export interface StoredSnapshot {
  readonly name: string
  readonly header: SnapshotHeader
  readonly fileBytes: number
  readonly snapshotId: number
}

export interface SnapshotStoreOptions {
  readonly disk: Disk
  /** Made if it is missing. */
  readonly directory: string
  readonly clusterId: ClusterId
  readonly clock: Clock
  readonly later: (task: () => void) => void
}

/** A file that looks like a snapshot and is none. */
export interface DamagedSnapshot {
  readonly position: SnapshotPosition
  readonly error: SnapshotDamagedError
  /** When that much of it is good. */
  readonly header: SnapshotHeader | undefined
}

/**
 * The snapshot files of one node. The bytes are in snapshot-format.ts.
 *
 * 1. A file of a snapshot's name is whole and on disk before its name is: only damage can make it bad.
 * 2. `newest` is the newest good one. An older file is removed only by `prune`, when a newer one is durable.
 * 3. A file that is retained (it is being sent) stays until it is released.
 *
 * Failures of the disk come through as they are (an Error with a POSIX `code`).
 */
export class SnapshotStore {
  readonly #options: SnapshotStoreOptions
  readonly #slices: Slices
  readonly #retained = new Map<string, number>()
  #newest: StoredSnapshot | undefined
  /** Files that did not read back at the start, the newest first. */
  damaged: readonly DamagedSnapshot[] = []

  private constructor(options: SnapshotStoreOptions) {
    this.#options = options
    this.#slices = new Slices(options.clock, options.later)
  }

  /**
   * Finds the newest good snapshot, reading each as a whole, and throws away what a crash left of those that were being
   * taken. Those that were being received are kept: the leader may still send the rest.
   *
   * @throws SnapshotVersionError
   */
  static async open(options: SnapshotStoreOptions): Promise<SnapshotStore> {
    const store = new SnapshotStore(options)
    const { disk, directory } = options
    await disk.makeDirectory(directory)
    // A rename or removal of the last run may be known to the page cache alone.
    await disk.syncDirectory(directory)
    const { files, drafts } = await listFiles(disk, directory)
    for (const draft of drafts) {
      if (parseSnapshotName(draft)?.snapshotId === undefined) await removeDraft(disk, store.pathOf(draft))
    }
    await store.#findNewest(files)
    return store
  }

  get newest(): StoredSnapshot | undefined {
    return this.#newest
  }

  get disk(): Disk {
    return this.#options.disk
  }

  get clusterId(): ClusterId {
    return this.#options.clusterId
  }

  pathOf(name: string): string {
    return `${this.#options.directory}/${name}`
  }

  /**
   * Writes a snapshot in slices. It is durable when this resolves, and the newest one unless a newer came meanwhile.
   * @param ready is waited for before the file gets its name
   */
  async take(
    header: SnapshotHeader,
    state: FrozenState | PieceSource,
    ready: () => Promise<void>,
  ): Promise<StoredSnapshot> {
    const name = takenName(header.position)
    // A snapshot that is installed meanwhile makes this one old before it has a name, and prunes.
    this.#retain(name)
    try {
      return await this.#write(name, header, state, ready)
    } finally {
      this.#release(name)
    }
  }

  async #write(
    name: string,
    header: SnapshotHeader,
    state: FrozenState | PieceSource,
    ready: () => Promise<void>,
  ): Promise<StoredSnapshot> {
    const draft = await FileDraft.begin(this.#options.disk, this.pathOf(name))
    try {
      const written = await new SnapshotWriter(draft, this.#slices).write(header, state)
      await ready()
      hit('raft.snapshot.written')
      await draft.publish()
      hit('raft.snapshot.named')
      return this.#adopt({ name, header, ...written })
    } catch (error) {
      // What failed is more telling than what the clean-up says.
      await draft.discard().catch(() => undefined)
      throw error
    }
  }

  /**
   * Reads a received snapshot, which was published under its name. It is not the newest one yet: see `adopt`.
   * @throws SnapshotDamagedError
   */
  async readReceived(
    position: SnapshotPosition,
    snapshotId: number,
    onContent: (content: Buffer) => void,
  ): Promise<StoredSnapshot> {
    const newest = this.#newest
    const isNewest = newest?.snapshotId === snapshotId && newest.header.position.index === position.index
    const name = isNewest ? newest.name : receivedName(position, snapshotId)
    return await this.check(name, position, onContent)
  }

  /** A received snapshot is in force. */
  adopt(snapshot: StoredSnapshot): void {
    this.#adopt(snapshot)
  }

  /** Reads a whole snapshot in slices; `onContent` gets its content, checked piece by piece. @throws SnapshotDamagedError */
  async read(snapshot: StoredSnapshot, onContent: (content: Buffer) => void = () => {}): Promise<void> {
    await this.check(snapshot.name, snapshot.header.position, onContent)
  }

  /** Reads a whole file in slices. @throws SnapshotDamagedError, SnapshotVersionError */
  async check(
    name: string,
    position: SnapshotPosition,
    onContent: (content: Buffer) => void = () => {},
  ): Promise<StoredSnapshot> {
    const path = this.pathOf(name)
    const parser = new SnapshotParser(onContent)
    const fileBytes = await readPieces(
      this.#options.disk,
      path,
      async (piece) => {
        parser.push(piece)
        await this.#slices.pause()
      },
      // Small enough for a slice: all that it holds is handed on at once.
      { pieceBytes: 64 * 1024 },
    )
    const fault = parser.end()
    if (fault?.kind === 'otherVersion') throw new SnapshotVersionError(path, fault.what)
    if (fault !== undefined) throw new SnapshotDamagedError(path, `at byte ${fault.offset} ${fault.what}`)
    const header = parser.header!
    this.#checkHeader(path, header, position)
    return { name, header, fileBytes, snapshotId: parser.snapshotId! }
  }

  /** Keeps the file from being pruned. */
  retain(snapshot: StoredSnapshot): void {
    this.#retain(snapshot.name)
  }

  release(snapshot: StoredSnapshot): void {
    this.#release(snapshot.name)
  }

  /** Durably removes what the newest snapshot makes useless: older ones, and older ones that were being received. */
  async prune(): Promise<void> {
    const { disk, directory } = this.#options
    const { files, drafts } = await listFiles(disk, directory)
    for (const name of files) {
      if (this.#isOutdated(name) && !this.#retained.has(name)) await removeDurably(disk, this.pathOf(name))
    }
    for (const name of drafts) {
      if (this.#isOutdated(name) && !this.#retained.has(name)) await removeDraft(disk, this.pathOf(name))
    }
  }

  #retain(name: string): void {
    this.#retained.set(name, (this.#retained.get(name) ?? 0) + 1)
  }

  #release(name: string): void {
    const count = this.#retained.get(name)
    assert(count !== undefined, 'what is released was retained')
    if (count === 1) this.#retained.delete(name)
    else this.#retained.set(name, count - 1)
  }

  #isOutdated(name: string): boolean {
    const parsed = parseSnapshotName(name)
    const newest = this.#newest
    if (parsed === undefined || newest === undefined || name === newest.name) return false
    return parsed.position.index <= newest.header.position.index
  }

  #adopt(snapshot: StoredSnapshot): StoredSnapshot {
    const index = this.#newest?.header.position.index ?? 0
    if (snapshot.header.position.index >= index) this.#newest = snapshot
    return snapshot
  }

  async #findNewest(files: readonly string[]): Promise<void> {
    const candidates = files.flatMap((name) => {
      const parsed = parseSnapshotName(name)
      return parsed === undefined ? [] : [{ name, position: parsed.position }]
    })
    candidates.sort((a, b) => b.position.index - a.position.index)
    const damaged: DamagedSnapshot[] = []
    for (const { name, position } of candidates) {
      try {
        this.#newest = await this.check(name, position)
        break
      } catch (error) {
        if (!(error instanceof SnapshotDamagedError)) throw error
        damaged.push({ position, error, header: await this.#readableHeader(name, position) })
      }
    }
    this.damaged = damaged
  }

  async #readableHeader(name: string, { index }: SnapshotPosition): Promise<SnapshotHeader | undefined> {
    const parser = new SnapshotParser()
    await readPieces(this.#options.disk, this.pathOf(name), (piece) => parser.push(piece))
    const { header } = parser
    const isOurs = header?.clusterId === this.#options.clusterId && header.position.index === index
    return isOurs ? header : undefined
  }

  #checkHeader(path: string, header: SnapshotHeader, position: SnapshotPosition): void {
    if (header.clusterId !== this.#options.clusterId)
      throw new SnapshotDamagedError(path, `it belongs to cluster ${header.clusterId}`)
    const { index, term } = header.position
    if (index !== position.index || term !== position.term)
      throw new SnapshotDamagedError(path, `it covers entry ${index} of term ${term}, which its name denies`)
  }
}
