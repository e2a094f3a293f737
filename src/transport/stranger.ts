import { ProtocolError } from './errors.ts'
import { FRAME_HEADER_BYTES, HANDSHAKE_BODY_BYTES_MAX, MAGIC } from './frame.ts'

/** A first frame tells a stranger by so many bytes: header and magic. */
export const OPENING_BYTES = FRAME_HEADER_BYTES + 4

const HTTP = /^(GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|CONNECT|TRACE|PRI) ?/
const BANNERS: readonly (readonly [string, string])[] = [
  ['HTTP/', 'an HTTP server answered'],
  ['SSH-', 'an SSH program is there'],
]

/**
 * Looks at the first bytes of a connection, before their length is believed and anything allocated.
 * Undefined while they may still be the frame that we wait for.
 *
 * @param opening the first bytes, at most OPENING_BYTES are looked at
 * @param kinds the kinds that the first frame may have
 */
export function detectStranger(opening: Buffer, kinds: readonly number[]): ProtocolError | undefined {
  if (opening.length === 0 || looksRight(opening, kinds)) return undefined
  return new ProtocolError(
    `${describe(opening)}; only Concordat's protocol is spoken on this port; the connection is closed`,
  )
}

function looksRight(opening: Buffer, kinds: readonly number[]): boolean {
  for (let i = 0; i < Math.min(opening.length, OPENING_BYTES); i++) {
    if (!byteFits(opening, i, kinds)) return false
  }
  return true
}

function byteFits(opening: Buffer, i: number, kinds: readonly number[]): boolean {
  const byte = opening[i]!
  // The length: at most 64 KiB and one byte, so its first byte is 0 and its second at most 1. The rest follows with the fourth.
  if (i < 2) return byte <= i
  if (i === 2) return true
  if (i === 3) {
    const length = opening.readUInt32BE(0)
    return length >= 5 && length <= HANDSHAKE_BODY_BYTES_MAX + 1
  }
  if (i === 4) return kinds.includes(byte)
  return byte === ((MAGIC >>> (8 * (OPENING_BYTES - 1 - i))) & 0xff)
}

function describe(opening: Buffer): string {
  const text = opening.toString('latin1', 0, 16)
  if (HTTP.test(text)) return 'an HTTP request came'
  if (opening[0] === 0x16 && (opening[1] ?? 3) === 3) return 'a TLS handshake came, but TLS is off here'
  if (opening[0] === 0x15 && (opening[1] ?? 3) === 3)
    return 'a TLS alert came: the other side wants TLS and it is off here'
  const banner = BANNERS.find(([start]) => text.startsWith(start))
  if (banner !== undefined) return banner[1]
  return `unknown bytes came (${opening.subarray(0, OPENING_BYTES).toString('hex')})`
}
