import { type Txid, txidToBytes } from '../../base/index.ts'
import type { KvValue } from '../constraints/index.ts'
import { rangeSpan, type Span } from '../locks/index.ts'
import { KvInvalidError } from './errors.ts'
import { encodeValue } from './values.ts'

/**
 * How everything that is stored is named. A stored key is a text of which each character is one byte (latin1), so the order
 * of texts is the order of bytes in every place: in memory, in the lock table and in the store.
 *
 *     d <key in UTF-8>                          a user's key
 *     u <prefix in UTF-8> 00 <value as stored>  the key that holds this value, by the unique rule of this prefix
 *     o <txid, 16 bytes>                        the outcome of a transaction; in order of time
 *     w                                         the watermark: outcomes of earlier txids are forgotten
 */
const DATA = 'd'
const UNIQUE = 'u'
const OUTCOME = 'o'
export const WATERMARK_KEY = 'w'

/** A user's key in bytes, at most. */
export const KEY_BYTES_MAX = 1024
/** A prefix of a rule in bytes, and a value of a unique rule as it is stored: an index entry is a key of the store, too. */
export const PREFIX_BYTES_MAX = 256
export const UNIQUE_VALUE_BYTES_MAX = 1024

/** @throws KvInvalidError unless it is a text of 1 to 1024 bytes */
export function dataKey(key: string): string {
  if (key === '') throw new KvInvalidError('a key is empty; nothing was done. Use a text of at least one character')
  return DATA + checkedBytes(key, KEY_BYTES_MAX)
}

export function isDataKey(stored: string): boolean {
  return stored.startsWith(DATA)
}

/** A rule's prefix as it is stored. */
export function prefixKey(prefix: string): string {
  return checkedBytes(prefix, PREFIX_BYTES_MAX)
}

export function userKey(stored: string): string {
  return Buffer.from(stored.slice(1), 'latin1').toString('utf8')
}

/** What `scan` covers: keys from `from` on, before `to`, that begin with `prefix`; what is left out does not limit. */
export interface Range {
  readonly from?: string
  readonly to?: string
  readonly prefix?: string
}

/** The span of stored keys; undefined when no key can be in it. @throws KvInvalidError */
export function dataSpan({ from = '', to, prefix = '' }: Range): Span | undefined {
  const begin = DATA + checkedBytes(prefix, KEY_BYTES_MAX)
  const lower = DATA + checkedBytes(from, KEY_BYTES_MAX)
  const end = behindPrefix(begin)
  const upper = to === undefined ? end : DATA + checkedBytes(to, KEY_BYTES_MAX)
  const [, first] = [begin, lower].sort() as [string, string]
  const [last] = [end, upper].sort() as [string, string]
  return first < last ? rangeSpan(first, last) : undefined
}

/** @throws KvInvalidError when the value is too large to be unique */
export function uniqueKey(prefix: string, value: KvValue): string {
  const stored = encodeValue(value)
  if (stored.length > UNIQUE_VALUE_BYTES_MAX) {
    throw new KvInvalidError(
      `a value of ${stored.length} bytes is too large for the unique rule of ${prefix}: at most ` +
        `${UNIQUE_VALUE_BYTES_MAX}. Nothing was done. Keep a digest of it under that prefix instead`,
    )
  }
  return `${UNIQUE}${checkedBytes(prefix, PREFIX_BYTES_MAX)}\0${stored.toString('latin1')}`
}

export function outcomeKey(txid: Txid): string {
  const bytes = Buffer.alloc(16)
  txidToBytes(txid, bytes, 0)
  return OUTCOME + bytes.toString('latin1')
}

/** The outcomes of all txids made before `ms`. */
export function outcomesBefore(ms: number): Span {
  const time = Buffer.alloc(6)
  time.writeUIntBE(ms, 0, 6)
  return rangeSpan(OUTCOME, `${OUTCOME}${time.toString('latin1')}`)
}

function checkedBytes(text: string, bytesMax: number): string {
  // Half of a pair of surrogates has no form in UTF-8: two keys would become one.
  if (typeof text !== 'string' || /\p{Surrogate}/u.test(text)) {
    throw new KvInvalidError(
      'a key is not well-formed text; nothing was done. Encode bytes as text, for example in hex',
    )
  }
  const bytes = Buffer.from(text, 'utf8')
  if (bytes.length > bytesMax) {
    throw new KvInvalidError(`a key has ${bytes.length} bytes, and may have ${bytesMax}; nothing was done. Shorten it`)
  }
  return bytes.toString('latin1')
}

/** The first text behind all that begin with `prefix`; it begins with a letter, so there is one. */
function behindPrefix(prefix: string): string {
  const end = prefix.replace(/\xff+$/, '')
  return end.slice(0, -1) + String.fromCharCode(end.charCodeAt(end.length - 1) + 1)
}
