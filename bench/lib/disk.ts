import { constants, write } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { drive, type Rate, Samples } from './samples.ts'

const PAGE_BYTES = 4096
const FILE_BYTES = 16 * 1024 * 1024

/** The cheapest durable write there is: 4 KiB with `O_DSYNC` into a file whose blocks exist already. */
export class DurableFile {
  readonly #handle: FileHandle
  readonly #page = Buffer.alloc(PAGE_BYTES, 1)
  #offset = 0

  private constructor(handle: FileHandle) {
    this.#handle = handle
  }

  static async create(directory: string): Promise<DurableFile> {
    const path = join(directory, `durable-${process.pid}-${Date.now()}`)
    const handle = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_DSYNC)
    await handle.write(Buffer.alloc(FILE_BYTES), 0, FILE_BYTES, 0)
    await handle.sync()
    return new DurableFile(handle)
  }

  /** Resolves when one page more is on disk. */
  write(): Promise<void> {
    const offset = this.#offset
    this.#offset = (offset + PAGE_BYTES) % FILE_BYTES
    return new Promise((resolve, reject) => {
      write(this.#handle.fd, this.#page, 0, PAGE_BYTES, offset, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** How fast this disk takes durable writes, one after the other. */
export async function measureDisk(directory: string, seconds: number): Promise<Rate> {
  const file = await DurableFile.create(directory)
  const samples = new Samples()
  samples.merge(await drive(1, seconds, () => file.write()))
  await file.close()
  return samples.rate(1)
}
