import type { Txid } from '../base/index.ts'
import type { CoordinatorOptions } from './options.ts'
import type { Alarm, TimingWheel } from './timing-wheel.ts'

/** Joins finished transactions into few `completed` records: nobody waits for them (DESIGN §4, "batched and lazy"). */
export class CompletedBatch implements Alarm {
  dueTick: number | undefined = undefined
  readonly #wheel: TimingWheel
  readonly #options: CoordinatorOptions
  readonly #write: (txids: readonly Txid[]) => void
  #txids: Txid[] = []

  constructor(wheel: TimingWheel, options: CoordinatorOptions, write: (txids: readonly Txid[]) => void) {
    this.#wheel = wheel
    this.#options = options
    this.#write = write
  }

  /** Every branch of `txid` acknowledged. */
  add(txid: Txid): void {
    this.#txids.push(txid)
    if (this.#txids.length >= this.#options.completedBatchMax) this.ring()
    else if (this.dueTick === undefined) this.#wheel.set(this, this.#options.completedDelayMs)
  }

  /** Writes what has gathered. */
  ring(): void {
    this.#wheel.cancel(this)
    if (this.#txids.length === 0) return
    const txids = this.#txids
    this.#txids = []
    this.#write(txids)
  }

  /** The leadership is gone: the next leader gathers its own. */
  clear(): void {
    this.#wheel.cancel(this)
    this.#txids = []
  }
}
