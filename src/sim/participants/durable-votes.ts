import { type Txid, txidToBytes } from '../../base/index.ts'
import type { SimDisk } from '../disk/sim-disk.ts'
import type { World } from '../kernel/types.ts'

/** A record's type stands so far before its payload (wal/format.ts), and a txid is what every vote's payload begins with. */
const TYPE_BEFORE = 5
const TXID_BYTES = 16

/**
 * P4: a vote to commit is on the platter before anybody hears of it. Looks at the durable bytes of a participant's log in the
 * moment in which its vote is handed to the network; what is in the page cache alone does not count.
 */
export class DurableVotes {
  readonly #world: World
  readonly #disk: SimDisk
  readonly #directory: string
  readonly #types: readonly number[]
  readonly #onVote: () => void
  /** Later repeats are answered from what is known of a branch that has ended. */
  readonly #seen = new Set<string>()

  /**
   * @param types of the records that say "voted commit"
   * @param onVote called after each first vote
   */
  constructor(world: World, disk: SimDisk, directory: string, types: readonly number[], onVote: () => void) {
    this.#world = world
    this.#disk = disk
    this.#directory = directory
    this.#types = types
    this.#onVote = onVote
  }

  /** It says "commit" now. */
  sent(by: string, txid: Txid, branch: number): void {
    const key = `${txid}/${branch}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    if (!this.#isDurable(txid)) {
      this.#world.fail('P4', `${by} votes "commit" for branch ${branch} of ${txid}, and that is not on its disk`)
    }
    this.#onVote()
  }

  #isDurable(txid: Txid): boolean {
    const bytes = Buffer.alloc(TXID_BYTES)
    txidToBytes(txid, bytes, 0)
    for (const [, { durable }] of this.#disk.files(this.#directory)) {
      for (let at = durable.indexOf(bytes); at >= 0; at = durable.indexOf(bytes, at + 1)) {
        if (this.#types.includes(durable[at - TYPE_BEFORE] ?? 0)) return true
      }
    }
    return false
  }
}
