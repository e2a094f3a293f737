import { randomFillSync } from 'node:crypto'
import { makeTxid, type Txid } from '../base/index.ts'

/** Random bytes in one txid. */
const RANDOM_BYTES = 10

/**
 * Makes txids. Random bytes are fetched a few hundred ids at a time: a call into the generator for each would cost more
 * than everything else at the start of a transaction.
 */
export class TxidSource {
  readonly #wallMs: () => number
  readonly #fill: (bytes: Uint8Array) => void
  readonly #random = new Uint8Array(RANDOM_BYTES * 400)
  #used = this.#random.length

  /** @param fill gives unguessable bytes; seeded ones in the simulator */
  constructor(wallMs: () => number, fill: (bytes: Uint8Array) => void = randomFillSync) {
    this.#wallMs = wallMs
    this.#fill = fill
  }

  next(): Txid {
    if (this.#used === this.#random.length) {
      this.#fill(this.#random)
      this.#used = 0
    }
    const start = this.#used
    this.#used += RANDOM_BYTES
    return makeTxid(this.#wallMs(), this.#random.subarray(start, this.#used))
  }
}
