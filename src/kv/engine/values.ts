import type { KvValue } from '../constraints/index.ts'
import { KvInvalidError, KvLogMalformedError } from './errors.ts'

/**
 *     0      1
 *     +------+---------+     kind 1: bytes as they are · 2: text in UTF-8 · 3: a number, IEEE 754 in eight bytes
 *     | kind | content |
 *     |  u8  |         |
 *     +------+---------+
 */
const Kind = { bytes: 1, text: 2, number: 3 } as const

/** A value as it is stored. @throws KvInvalidError */
export function encodeValue(value: KvValue): Buffer {
  if (value instanceof Uint8Array) return Buffer.concat([Buffer.from([Kind.bytes]), value])
  if (typeof value === 'string') {
    if (/\p{Surrogate}/u.test(value)) {
      throw new KvInvalidError('a value is not well-formed text; nothing was done. Store bytes as a Uint8Array')
    }
    return Buffer.concat([Buffer.from([Kind.text]), Buffer.from(value, 'utf8')])
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw new KvInvalidError(`a value is ${String(value)}; nothing was done. Use text, bytes or a finite number`)
  }
  const bytes = Buffer.alloc(9)
  bytes[0] = Kind.number
  // Not -0: equal numbers have equal bytes, so that the unique rule finds them.
  bytes.writeDoubleBE(value === 0 ? 0 : value, 1)
  return bytes
}

/** What `encodeValue` wrote; its own memory. */
export function decodeValue(stored: Buffer): KvValue {
  const kind = stored[0]
  switch (kind) {
    case Kind.bytes:
      return new Uint8Array(stored.subarray(1))
    case Kind.text:
      return stored.toString('utf8', 1)
    case Kind.number:
      if (stored.length !== 9) throw new KvLogMalformedError(`a number of ${stored.length} bytes`)
      return stored.readDoubleBE(1)
    default:
      throw new KvLogMalformedError(`a value of the unknown kind ${String(kind)}`)
  }
}
