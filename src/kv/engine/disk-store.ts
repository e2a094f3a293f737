import { type Disk, writeAll } from '../../wal/index.ts'
import { OrderedMap, type Span } from '../locks/index.ts'
import type { KvStore, StoreChange } from './store.ts'

/**
 * A store over the `Disk` seam, for tests and the simulator: it writes all of itself each time, beside the old file, and then
 * takes its place; first with every other effect and the old mark, then with all. So on a simulated disk each of its steps is
 * a crash point. @internal
 */
export class DiskStore implements KvStore {
  readonly #disk: Disk
  readonly #directory: string
  #data = new OrderedMap<Buffer>()
  mark: Buffer | undefined

  private constructor(disk: Disk, directory: string) {
    this.#disk = disk
    this.#directory = directory
  }

  /** Opens the file `data` in the directory, or begins with nothing. */
  static async open(disk: Disk, directory = '/store'): Promise<DiskStore> {
    const store = new DiskStore(disk, directory)
    await disk.makeDirectory(directory)
    const names = await disk.list(directory)
    for (const name of names) if (name !== 'data') await disk.remove(`${directory}/${name}`)
    if (!names.includes('data')) return store
    const file = await disk.openFile(`${directory}/data`)
    const bytes = Buffer.alloc(await file.size())
    await file.read(bytes, 0)
    await file.close()
    const { mark, entries } = JSON.parse(bytes.toString('latin1')) as { mark?: string; entries: [string, string][] }
    store.mark = mark === undefined ? undefined : Buffer.from(mark, 'latin1')
    for (const [key, value] of entries) store.#data.set(key, Buffer.from(value, 'latin1'))
    return store
  }

  get(key: string): Buffer | undefined {
    const value = this.#data.get(key)
    return value === undefined ? undefined : Buffer.from(value)
  }

  entries({ from, to }: Span): Iterable<readonly [string, Buffer]> {
    return [...this.#data.entries(from, to)]
  }

  async write({ effects: given, removed, mark }: StoreChange): Promise<void> {
    const effects = [...given]
    const next = new OrderedMap<Buffer>()
    for (const [key, value] of this.#data.entries()) next.set(key, value)
    if (removed !== undefined) for (const [key] of this.entries(removed)) next.delete(key)
    let index = 0
    for (const [key, value] of effects) {
      if (index++ % 2 === 0) continue
      set(next, key, value)
    }
    if (index > 1) await this.#save(next, this.mark)
    for (const [key, value] of effects) set(next, key, value)
    await this.#save(next, mark)
    this.#data = next
    this.mark = mark
  }

  async #save(data: OrderedMap<Buffer>, mark: Buffer | undefined): Promise<void> {
    const entries = [...data.entries()].map(([key, value]) => [key, value.toString('latin1')])
    const bytes = Buffer.from(JSON.stringify({ mark: mark?.toString('latin1'), entries }), 'latin1')
    const path = `${this.#directory}/data`
    const file = await this.#disk.openFile(`${path}.draft`, { create: true })
    await writeAll(file, bytes, 0)
    await file.sync()
    await file.close()
    await this.#disk.rename(`${path}.draft`, path)
    await this.#disk.syncDirectory(this.#directory)
  }

  async close(): Promise<void> {}
}

function set(data: OrderedMap<Buffer>, key: string, value: Buffer | undefined): void {
  if (value === undefined) data.delete(key)
  else data.set(key, value)
}
