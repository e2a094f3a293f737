import type { Prng } from '../../base/index.ts'
import type { FrameChaos } from './conditions.ts'

/** A frame's header: a u32 length, which counts the kind byte and the body, and the kind (transport/frame.ts). */
const LENGTH_BYTES = 4
/** The high four bits of the kinds that Raft sends. */
const RAFT_GROUP = 1

/** What becomes of one chunk: the bytes that arrive in order, and frames that come on their own. */
export interface Shuffled {
  readonly kept: Buffer
  readonly late: readonly { readonly frame: Buffer; readonly delayMs: number }[]
}

const NOTHING: Shuffled['late'] = []

/**
 * Loses, repeats and holds back whole Raft frames between two coordinators. TCP would not do that within one connection,
 * but across reconnects messages are lost and overtake each other, and Raft's proof assumes nothing better.
 * Frames of the handshake and pings stay where they are: they are the connection's own.
 */
export class FrameShuffler {
  readonly #prng: Prng
  readonly #chaos: () => FrameChaos

  constructor(prng: Prng, chaos: () => FrameChaos) {
    this.#prng = prng
    this.#chaos = chaos
  }

  /** @param chunk whole frames: the transport never writes a part of one */
  shuffle(chunk: Buffer): Shuffled {
    const chaos = this.#chaos()
    if (chaos.drop + chaos.duplicate + chaos.delay === 0) return { kept: chunk, late: NOTHING }
    const kept: Buffer[] = []
    const late: { frame: Buffer; delayMs: number }[] = []
    for (let start = 0; start < chunk.length; ) {
      const end = start + LENGTH_BYTES + chunk.readUInt32BE(start)
      this.#place(chunk.subarray(start, end), chaos, kept, late)
      start = end
    }
    return { kept: late.length === 0 && kept.length === 1 ? kept[0]! : Buffer.concat(kept), late }
  }

  #place(frame: Buffer, chaos: FrameChaos, kept: Buffer[], late: { frame: Buffer; delayMs: number }[]): void {
    const prng = this.#prng
    if (frame[LENGTH_BYTES]! >> 4 !== RAFT_GROUP) {
      kept.push(frame)
      return
    }
    if (prng.chance(chaos.drop)) return
    if (prng.chance(chaos.delay)) late.push({ frame, delayMs: prng.below(chaos.delayMsMax) })
    else kept.push(frame)
    if (prng.chance(chaos.duplicate)) late.push({ frame, delayMs: prng.below(chaos.delayMsMax + 1) })
  }
}
