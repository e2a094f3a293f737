import type { Disk, DiskFile } from '../../wal/index.ts'
import { SnapshotVersionError } from '../errors.ts'
import type { SnapshotHeader } from '../snapshot-format.ts'
import { SnapshotParser } from '../snapshot-parser.ts'
import { BackupDamagedError } from './errors.ts'

const READ_BYTES = 256 * 1024

/** A backup that is being read. Its bytes are those of a snapshot (snapshot-format.ts); memory is bounded. */
export class BackupReading {
  readonly #path: string
  readonly #file: DiskFile
  readonly #pieces: Uint8Array[] = []
  readonly #parser = new SnapshotParser((content) => this.#pieces.push(Uint8Array.from(content)))
  #offset = 0
  #isOver = false

  private constructor(path: string, file: DiskFile) {
    this.#path = path
    this.#file = file
  }

  /** Opens the file and reads its header. @throws BackupDamagedError, SnapshotVersionError, what the disk throws */
  static async open(disk: Disk, path: string): Promise<BackupReading> {
    const reading = new BackupReading(path, await disk.openFile(path))
    try {
      while (reading.#parser.header === undefined) await reading.#readMore()
      return reading
    } catch (error) {
      await reading.close()
      throw error
    }
  }

  get header(): SnapshotHeader {
    return this.#parser.header!
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#offset
  }

  /**
   * The next piece of the state, checked; undefined behind the last, when the whole file was checked.
   * @throws BackupDamagedError
   */
  async next(): Promise<Uint8Array | undefined> {
    while (this.#pieces.length === 0 && !this.#isOver) await this.#readMore()
    return this.#pieces.shift()
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #readMore(): Promise<void> {
    const bytes = Buffer.allocUnsafe(READ_BYTES)
    const count = await this.#file.read(bytes, this.#offset)
    this.#offset += count
    if (count > 0) this.#parser.push(bytes.subarray(0, count))
    else this.#isOver = true
    const fault = count > 0 ? this.#parser.fault : this.#parser.end()
    if (fault?.kind === 'otherVersion') throw new SnapshotVersionError(this.#path, fault.what)
    if (fault !== undefined) throw new BackupDamagedError(this.#path, `at byte ${fault.offset} ${fault.what}`)
  }
}
