import { Prng } from '../../base/index.ts'
import type { Inode } from './inode.ts'
import type { SimDisk } from './sim-disk.ts'

/**
 * Flips bits in what a directory holds durably, preferably in what was written and not in the zeros behind it.
 *
 * @returns where, for the story
 */
export function flipBits(disk: SimDisk, directory: string, bits: number, seed: number): readonly string[] {
  const prng = new Prng(seed)
  const files = [...disk.files(directory)].filter(([, { durable }]) => durable.length > 0)
  if (files.length === 0) return []
  const where: string[] = []
  for (let i = 0; i < bits; i++) {
    const [path, inode] = prng.pick(files)
    const offset = pickOffset(inode, prng)
    const mask = 1 << prng.below(8)
    inode.damage(offset, (byte) => byte ^ mask)
    where.push(`${path} at ${offset}`)
  }
  return where
}

/** Most of a preallocated file is zeros: look for written bytes, a few times. */
function pickOffset(inode: Inode, prng: Prng): number {
  const { durable } = inode
  let offset = 0
  for (let tries = 0; tries < 64; tries++) {
    offset = prng.below(durable.length)
    if (durable[offset] !== 0) break
  }
  return offset
}
