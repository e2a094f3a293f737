import { assert } from '../base/index.ts'
import type { LogIndex } from './types.ts'

/**
 * The AppendEntries with entries that were sent to one follower and not yet acknowledged: a ring, because this is
 * touched for every message. Acknowledgements are cumulative, so a lost one is made good by the next.
 */
export class InFlight {
  readonly #messagesMax: number
  readonly #bytesMax: number
  /** The last index of each message; a ring of #messagesMax places, made when first needed. */
  #lastIndexes = new Float64Array(0)
  #sizes = new Float64Array(0)
  #head = 0
  #count = 0
  #bytes = 0

  constructor(messagesMax: number, bytesMax: number) {
    assert(messagesMax >= 1, 'at least one message must be allowed in flight')
    this.#messagesMax = messagesMax
    this.#bytesMax = bytesMax
  }

  /** True when nothing more may be sent until an acknowledgement comes. A single message may exceed the bytes. */
  get isFull(): boolean {
    return this.#count >= this.#messagesMax || (this.#count > 0 && this.#bytes >= this.#bytesMax)
  }

  /** Messages not yet acknowledged. */
  get count(): number {
    return this.#count
  }

  /** Entry bytes not yet acknowledged. */
  get bytes(): number {
    return this.#bytes
  }

  /** Notes a message that ends with `lastIndex`. */
  add(lastIndex: LogIndex, bytes: number): void {
    assert(this.#count < this.#messagesMax, 'no message is sent beyond the limit')
    if (this.#lastIndexes.length === 0) {
      this.#lastIndexes = new Float64Array(this.#messagesMax)
      this.#sizes = new Float64Array(this.#messagesMax)
    }
    const at = (this.#head + this.#count) % this.#messagesMax
    this.#lastIndexes[at] = lastIndex
    this.#sizes[at] = bytes
    this.#count++
    this.#bytes += bytes
  }

  /** The follower holds everything up to `matchIndex`. */
  acknowledge(matchIndex: LogIndex): void {
    while (this.#count > 0 && this.#lastIndexes[this.#head]! <= matchIndex) {
      this.#bytes -= this.#sizes[this.#head]!
      this.#head = (this.#head + 1) % this.#messagesMax
      this.#count--
    }
  }

  /** Nothing in flight is expected to arrive any more. */
  clear(): void {
    this.#head = 0
    this.#count = 0
    this.#bytes = 0
  }
}
