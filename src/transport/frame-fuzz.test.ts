import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteWriter, CodecError, Prng } from '../base/index.ts'
import { cutAnywhere, FuzzGuard, harmed, randomBytes } from '../base/testing/fuzz.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import { ProtocolError } from './errors.ts'
import { FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, FrameKind } from './frame.ts'
import { FrameReader } from './frame-reader.ts'
import type { Message } from './messages.ts'
import { anyMessage } from './testing/arbitraries.ts'

// A peer may send anything: no crash, no hang, and no more memory than it sent bytes.

const guard = new FuzzGuard()

function encoded(messages: readonly Message[]): Buffer {
  const writer = new ByteWriter()
  for (const message of messages) encodeFrame(message, writer)
  return Buffer.from(writer.finish())
}

/** What a connection does with a stream: the messages up to the first error, which ends it. */
function receive(bytes: Buffer, prng: Prng): { readonly messages: Message[]; readonly error: unknown } {
  const reader = new FrameReader(FRAME_BODY_BYTES_MAX)
  const messages: Message[] = []
  try {
    for (const chunk of cutAnywhere(bytes, prng)) {
      reader.push(chunk)
      while (reader.next()) messages.push(decodeFrame(reader.buffer, reader.start, reader.end))
    }
    return { messages, error: undefined }
  } catch (error) {
    return { messages, error }
  }
}

/** Fails unless the stream gave messages and then, at most, one of the two errors that a connection expects. */
function check(bytes: Buffer, prng: Prng): void {
  const { messages, error } = guard.run(bytes, () => receive(bytes, prng))
  if (error !== undefined && !(error instanceof CodecError || error instanceof ProtocolError)) throw error
  // What came out is no larger than what went in: no count or length was believed. A malformed UTF-8 byte becomes U+FFFD,
  // which is three bytes, so texts may grow so much; the words of a refusal are cut.
  expect(encoded(messages).length).toBeLessThanOrEqual(3 * bytes.length)
}

test('a stream of frames that was harmed at random places', () => {
  fc.assert(
    fc.property(
      fc.array(anyMessage, { minLength: 1, maxLength: 6 }),
      fc.integer(),
      fc.integer({ min: 1, max: 4 }),
      (messages, seed, times) => {
        const prng = new Prng(seed)
        let bytes = encoded(messages)
        for (let i = 0; i < times; i++) bytes = harmed(bytes, prng)
        check(bytes, prng)
      },
    ),
    { numRuns: 4000 },
  )
})

test('the largest number in the place of every four bytes of every frame', () => {
  fc.assert(
    fc.property(anyMessage, fc.integer(), (message, seed) => {
      const prng = new Prng(seed)
      const frame = encoded([message])
      for (let at = FRAME_HEADER_BYTES; at < Math.min(frame.length, 300); at++) {
        const bytes = Buffer.from(frame)
        bytes.fill(0xff, at, Math.min(at + 4, bytes.length))
        check(bytes, prng)
      }
    }),
    { numRuns: 200 },
  )
})

test('random bodies behind a head that is right', () => {
  const kind = fc.constantFrom(...Object.values(FrameKind))
  fc.assert(
    fc.property(kind, fc.integer(), fc.nat(400), (kindByte, seed, size) => {
      const prng = new Prng(seed)
      const head = Buffer.alloc(FRAME_HEADER_BYTES, kindByte)
      head.writeUInt32BE(size + 1, 0)
      check(Buffer.concat([head, randomBytes(size, prng)]), prng)
    }),
    { numRuns: 6000 },
  )
})

test('a large frame of every kind full of one byte is refused, or read, at once', () => {
  for (const kind of Object.values(FrameKind)) {
    for (const byte of [0x00, 0x01, 0x7f, 0xff]) {
      const bytes = Buffer.alloc(FRAME_HEADER_BYTES + FRAME_BODY_BYTES_MAX, byte)
      bytes.writeUInt32BE(FRAME_BODY_BYTES_MAX + 1, 0)
      bytes[4] = kind
      const { error } = guard.run(bytes.subarray(0, 64), () => receiveWhole(bytes))
      if (error !== undefined && !(error instanceof CodecError)) throw error
    }
  }
})

function receiveWhole(bytes: Buffer): { readonly error: unknown } {
  try {
    decodeFrame(bytes, 0, bytes.length)
    return { error: undefined }
  } catch (error) {
    return { error }
  }
}
