import { randomFillSync } from 'node:crypto'
import type { ReplicaOptions } from './options.ts'

type Source = Pick<ReplicaOptions, 'randomFill'>

/** Bytes from the source that the options name; the machine's when they name none. */
export function randomBytes({ randomFill = randomFillSync }: Source, count: number): Buffer {
  const bytes = Buffer.alloc(count)
  randomFill(bytes)
  return bytes
}

/** A whole number from 1 to 2^48: names that no other run of this node shares. */
export function randomName(source: Source): number {
  return randomBytes(source, 6).readUIntBE(0, 6) + 1
}
