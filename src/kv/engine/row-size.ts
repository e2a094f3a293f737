import { spanBytes } from '../locks/index.ts'
import type { PreparedRow } from './records.ts'

/** What a lock takes in a row beside the texts of its span, at most. */
export const LOCK_BYTES = 6

/** What an effect takes in a row. @param length of the value; undefined: it removes the key */
export function effectBytes(key: string, length: number | undefined): number {
  return 7 + key.length + (length ?? 0)
}

/** What a row takes in the log, in bytes, at most. */
export function rowBytes({ locks, effects }: PreparedRow): number {
  let bytes = 40
  for (const { span } of locks) bytes += LOCK_BYTES + spanBytes(span)
  for (const { key, value } of effects) bytes += effectBytes(key, value?.length)
  return bytes
}
