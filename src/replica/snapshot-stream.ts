import type { FrozenState } from './decision-log.ts'
import type { Slices } from './slices.ts'
import type { SnapshotHeader } from './snapshot-format.ts'
import { SnapshotWriter } from './snapshot-writer.ts'

/**
 * The bytes of a fresh snapshot, made as they are taken: nothing of it touches this node's disk, and no more than one
 * piece of it waits in memory.
 */
export class SnapshotStream {
  readonly header: SnapshotHeader
  readonly #state: FrozenState
  readonly #writing: Promise<unknown>
  #pending: { readonly bytes: Buffer; readonly taken: () => void; readonly reject: (error: Error) => void } | undefined
  #wake: (() => void) | undefined
  #length = 0
  #isOver = false
  #failure: Error | undefined

  constructor(header: SnapshotHeader, state: FrozenState, slices: Slices) {
    this.header = header
    this.#state = state
    const writer = new SnapshotWriter(this.#sink(), slices)
    this.#writing = writer.write(header, state).then(
      () => this.#end(undefined),
      (error: Error) => this.#end(error),
    )
  }

  /** The next bytes, at most a few hundred KiB; undefined behind the last. One call at a time. */
  async next(): Promise<Buffer | undefined> {
    while (this.#pending === undefined && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    if (this.#failure !== undefined) throw this.#failure
    const piece = this.#pending
    this.#pending = undefined
    piece?.taken()
    return piece?.bytes
  }

  /** Takes no more, and frees what the frozen state holds. May be called at any time. */
  async close(): Promise<void> {
    this.#failure ??= new Error('the stream was closed')
    this.#pending?.reject(this.#failure)
    this.#pending = undefined
    await this.#writing
  }

  #sink() {
    const stream = this
    return {
      get length(): number {
        return stream.#length
      },
      append: (bytes: Uint8Array) => stream.#offer(bytes as Buffer),
      sync: async () => {},
    }
  }

  #offer(bytes: Buffer): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    this.#length += bytes.length
    return new Promise((taken, reject) => {
      this.#pending = { bytes, taken, reject }
      this.#wakeUp()
    })
  }

  #end(error: Error | undefined): void {
    this.#failure ??= error
    this.#isOver = true
    this.#state.close()
    this.#wakeUp()
  }

  #wakeUp(): void {
    this.#wake?.()
    this.#wake = undefined
  }
}
