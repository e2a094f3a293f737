export { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from './codec.ts'
export { isWork, type KvAnswer, type KvOutcome, type KvRefusal, type KvRequest, type KvStatement } from './messages.ts'

/** A value on the wire, in bytes, at most: it must fit in a frame, beside others of a page. */
export const VALUE_BYTES_MAX = 1024 * 1024

/** What the values and keys of a page take together, about; the entry with which it goes beyond ends the page. */
export const PAGE_BYTES = 1024 * 1024
