import { performance } from 'node:perf_hooks'
import type { Prng } from '../prng.ts'

// What all fuzz tests of readers share: ways to harm bytes, and a guard over time and memory.

/** Slower than this, three times in a row, is a hang: ten times what a reader may take, since machines are shared. */
const WATCHDOG_MS = 1000
/** Far above what any of these readers needs, far below what a made-up count or length could ask for. */
const GROWTH_BYTES_MAX = 256 * 1024 * 1024

/** One harmed copy of `bytes`: bits flipped, a part cut out, doubled, overwritten or moved, or the end cut off. */
export function harmed(bytes: Buffer, prng: Prng): Buffer {
  const at = prng.below(bytes.length + 1)
  const size = prng.below(Math.min(64, bytes.length - at + 1))
  const part = bytes.subarray(at, at + size)
  switch (prng.below(7)) {
    case 0:
      return flipped(bytes, prng)
    case 1:
      return Buffer.from(bytes.subarray(0, at))
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)])
    case 3:
      return Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)])
    case 4:
      return Buffer.concat([bytes.subarray(0, at), randomBytes(size, prng), bytes.subarray(at + size)])
    case 5:
      return Buffer.concat([part, bytes.subarray(0, at), bytes.subarray(at + size)])
    default:
      // Where a count or a length stands, the largest one.
      return Buffer.concat([bytes.subarray(0, at), Buffer.alloc(size > 4 ? 4 : 1, 0xff), bytes.subarray(at + 4)])
  }
}

/** A copy with one to four bits flipped. */
export function flipped(bytes: Buffer, prng: Prng): Buffer {
  const copy = Buffer.from(bytes)
  for (let left = 1 + prng.below(4); left > 0 && copy.length > 0; left--) {
    copy[prng.below(copy.length)]! ^= 1 << prng.below(8)
  }
  return copy
}

export function randomBytes(size: number, prng: Prng): Buffer {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at++) bytes[at] = prng.below(256)
  return bytes
}

/** `bytes` cut at random places, some pieces empty. */
export function cutAnywhere(bytes: Buffer, prng: Prng, pieceBytesMax = 1 + prng.below(2000)): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const size = prng.below(pieceBytesMax + 1)
    pieces.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  return pieces
}

/** Fails a test in which one input takes very long each time that it is tried, or very much memory. */
export class FuzzGuard {
  readonly #startBytes = usedBytes()

  run<T>(input: Buffer, read: () => T): T {
    let result = timed(read)
    for (let tries = 1; result.tookMs > WATCHDOG_MS; tries++) {
      if (tries === 3) throw new Error(`an input took ${result.tookMs} ms, three times: ${input.toString('hex')}`)
      result = timed(read)
    }
    const growth = usedBytes() - this.#startBytes
    if (growth > GROWTH_BYTES_MAX) throw new Error(`memory grew by ${growth} bytes at ${input.toString('hex')}`)
    return result.value
  }
}

function timed<T>(read: () => T): { readonly value: T; readonly tookMs: number } {
  const startMs = performance.now()
  const value = read()
  return { value, tookMs: performance.now() - startMs }
}

function usedBytes(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
