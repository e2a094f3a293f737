import type { Prng } from '../../base/index.ts'

/** What tears or survives as a whole. */
export const SECTOR_BYTES = 512

/** A write that is in the page cache and not confirmed: a loss of power keeps any part of it. */
export interface DirtyWrite {
  readonly offset: number
  readonly bytes: Buffer
}

/** A file's content, as processes see it (page cache) and as the platter has it. */
export class Inode {
  cached: Buffer
  durable: Buffer
  dirty: DirtyWrite[] = []

  constructor(content: Buffer = Buffer.alloc(0)) {
    this.cached = content
    this.durable = Buffer.from(content)
  }

  /** Puts bytes into the page cache. */
  put(bytes: Uint8Array, offset: number): DirtyWrite {
    const write = { offset, bytes: Buffer.from(bytes) }
    this.cached = grown(this.cached, offset + bytes.length)
    this.cached.set(bytes, offset)
    this.dirty.push(write)
    return write
  }

  /** The write has reached the platter. */
  settle(write: DirtyWrite): void {
    const at = this.dirty.indexOf(write)
    if (at < 0) return
    this.dirty.splice(at, 1)
    this.durable = grown(this.durable, write.offset + write.bytes.length)
    this.durable.set(write.bytes, write.offset)
  }

  /** The kernel marks pages clean whose write-back failed: they read well and never reach the platter. */
  dropDirty(): void {
    this.dirty = []
  }

  /** Changes durable bytes behind everybody's back. */
  damage(offset: number, change: (byte: number) => number): void {
    if (offset >= this.durable.length) return
    const value = change(this.durable[offset]!)
    this.durable[offset] = value
    if (offset < this.cached.length) this.cached[offset] = value
  }

  /** What is left of it after a loss of power. */
  afterPowerLoss(prng: Prng): Inode {
    let content: Buffer = Buffer.from(this.durable)
    for (const { offset, bytes } of this.dirty) content = keepPart(content, offset, bytes, prng)
    return new Inode(content)
  }
}

/** Nothing, all, the beginning up to some byte, or any of the sectors. */
function keepPart(content: Buffer, offset: number, bytes: Buffer, prng: Prng): Buffer {
  const how = prng.below(4)
  if (how === 0) return content
  const target = grown(content, offset + bytes.length)
  if (how === 1) target.set(bytes, offset)
  else if (how === 2) target.set(bytes.subarray(0, prng.below(bytes.length + 1)), offset)
  else {
    for (let at = offset; at < offset + bytes.length; ) {
      const next = (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES
      if (prng.chance(0.5)) target.set(bytes.subarray(at - offset, next - offset), at)
      at = next
    }
  }
  return target
}

function grown(content: Buffer, size: number): Buffer {
  if (size <= content.length) return content
  const larger = Buffer.alloc(size)
  content.copy(larger)
  return larger
}
