import type { Txid } from '../base/index.ts'
import { fold32, mix32 } from './hash.ts'

/** The value of each hexadecimal digit by its character code. A txid is canonical, so only `0-9a-f` are ever looked up. */
const DIGIT_OF_CODE = new Uint8Array(128)
/** The character code of each hexadecimal digit. */
const CODE_OF_DIGIT = new Uint8Array(16)

for (let digit = 0; digit < 16; digit++) {
  const code = digit.toString(16).charCodeAt(0)
  DIGIT_OF_CODE[code] = digit
  CODE_OF_DIGIT[digit] = code
}

/** Where each 16-bit group stands in the canonical text `8-4-4-4-12`. */
const GROUP_AT = [0, 4, 9, 14, 19, 24, 28, 32] as const

/** The text being built by `textOfWords`; the four hyphens never move. */
const textBytes = Buffer.from('00000000-0000-0000-0000-000000000000', 'latin1')

/**
 * A txid as four 32-bit words, big-endian, so that it fits a typed array. One object is filled again and again: the
 * ledger looks up every command's txid, and an allocation each would cost more than the look-up.
 */
export class TxidKey {
  w0 = 0
  w1 = 0
  w2 = 0
  w3 = 0

  /** Fills the key from the canonical text. */
  read(txid: Txid): void {
    this.w0 = (group(txid, 0) << 16) | group(txid, 4)
    this.w1 = (group(txid, 9) << 16) | group(txid, 14)
    this.w2 = (group(txid, 19) << 16) | group(txid, 24)
    this.w3 = (group(txid, 28) << 16) | group(txid, 32)
  }

  /** Whether the words are those of a txid: a UUID of version 7 (RFC 9562 §4.1, §4.2). */
  get isTxid(): boolean {
    return (this.w1 & 0xf000) === 0x7000 && this.w2 >>> 30 === 2
  }

  /** RFC 9562 §5.7: the first 48 bits are the milliseconds since 1970. */
  get timeMs(): number {
    return (this.w0 >>> 0) * 0x10000 + (this.w1 >>> 16)
  }

  get hash(): number {
    return hashWords(this.w0, this.w1, this.w2, this.w3)
  }
}

/** The hash of a key's words. The time bits are the same for thousands of neighbours, so all four words must count. */
export function hashWords(w0: number, w1: number, w2: number, w3: number): number {
  return mix32(fold32(fold32(fold32(fold32(0, w0), w1), w2), w3))
}

/** The canonical text of a key's words. */
export function textOfWords(w0: number, w1: number, w2: number, w3: number): Txid {
  putGroup(w0 >>> 16, GROUP_AT[0])
  putGroup(w0, GROUP_AT[1])
  putGroup(w1 >>> 16, GROUP_AT[2])
  putGroup(w1, GROUP_AT[3])
  putGroup(w2 >>> 16, GROUP_AT[4])
  putGroup(w2, GROUP_AT[5])
  putGroup(w3 >>> 16, GROUP_AT[6])
  putGroup(w3, GROUP_AT[7])
  // One copy makes a flat string; a chain of concatenations would be flattened by the first map that hashes it.
  return textBytes.toString('latin1', 0, 36) as Txid
}

function group(text: string, at: number): number {
  return (
    (DIGIT_OF_CODE[text.charCodeAt(at)]! << 12) |
    (DIGIT_OF_CODE[text.charCodeAt(at + 1)]! << 8) |
    (DIGIT_OF_CODE[text.charCodeAt(at + 2)]! << 4) |
    DIGIT_OF_CODE[text.charCodeAt(at + 3)]!
  )
}

function putGroup(bits: number, at: number): void {
  textBytes[at] = CODE_OF_DIGIT[(bits >>> 12) & 15]!
  textBytes[at + 1] = CODE_OF_DIGIT[(bits >>> 8) & 15]!
  textBytes[at + 2] = CODE_OF_DIGIT[(bits >>> 4) & 15]!
  textBytes[at + 3] = CODE_OF_DIGIT[bits & 15]!
}
