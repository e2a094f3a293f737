import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteWriter } from '../base/index.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import { ProtocolError } from './errors.ts'
import { FRAME_BODY_BYTES_MAX } from './frame.ts'
import { FrameReader } from './frame-reader.ts'
import type { Message } from './messages.ts'
import { anyMessage } from './testing/arbitraries.ts'

function drain(reader: FrameReader): Message[] {
  const messages: Message[] = []
  while (reader.next()) messages.push(decodeFrame(reader.buffer, reader.start, reader.end))
  return messages
}

function encodeAll(messages: readonly Message[]): Buffer {
  const writer = new ByteWriter()
  for (const message of messages) encodeFrame(message, writer)
  return Buffer.from(writer.finish())
}

test('a stream cut at any places gives the same messages', () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 8 }), fc.array(fc.nat(60), { minLength: 1 }), (messages, sizes) => {
      const bytes = encodeAll(messages)
      const reader = new FrameReader(FRAME_BODY_BYTES_MAX)
      const received: Message[] = []
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = 1 + sizes[i % sizes.length]!
        reader.push(Buffer.from(bytes.subarray(at, at + size)))
        received.push(...drain(reader))
        at += size
      }
      expect(received).toEqual(messages)
      expect(reader.bytesPending).toBe(0)
    }),
  )
})

test('a frame split at each of its bytes arrives whole', () => {
  const pings: Message[] = [1, 2, 3].map((nonce) => ({ kind: 'ping', nonce }))
  const bytes = encodeAll(pings)
  for (let cut = 1; cut < bytes.length; cut++) {
    const reader = new FrameReader(FRAME_BODY_BYTES_MAX)
    reader.push(Buffer.from(bytes.subarray(0, cut)))
    const first = drain(reader)
    reader.push(Buffer.from(bytes.subarray(cut)))
    expect([...first, ...drain(reader)]).toEqual(pings)
  }
})

test('a large frame that comes in small pieces ends in a buffer of exactly its size', () => {
  const json = 'x'.repeat(300_000)
  const bytes = encodeAll([{ kind: 'adminResult', requestId: 1, json }])
  const reader = new FrameReader(FRAME_BODY_BYTES_MAX)
  let found = 0
  for (let at = 0; at < bytes.length; at += 1000) {
    reader.push(Buffer.from(bytes.subarray(at, at + 1000)))
    while (reader.next()) {
      found += 1
      expect(reader.buffer.buffer.byteLength).toBe(bytes.length)
      expect(decodeFrame(reader.buffer, reader.start, reader.end)).toMatchObject({ json })
    }
  }
  expect(found).toBe(1)
})

test('a frame inside one chunk is read in place', () => {
  const chunk = encodeAll([{ kind: 'ping', nonce: 1 }])
  const reader = new FrameReader(FRAME_BODY_BYTES_MAX)
  reader.push(chunk)
  expect(reader.next()).toBe(true)
  expect(reader.buffer).toBe(chunk)
})

test.each([0, FRAME_BODY_BYTES_MAX + 2, 0xffffffff])('a length of %d is refused as soon as it is read', (length) => {
  for (const pieces of [1, 4]) {
    const header = Buffer.alloc(4)
    header.writeUInt32BE(length, 0)
    const reader = new FrameReader(FRAME_BODY_BYTES_MAX)
    expect(() => {
      for (let i = 0; i < pieces; i++) {
        reader.push(Buffer.from(header.subarray((i * 4) / pieces, ((i + 1) * 4) / pieces)))
        reader.next()
      }
    }).toThrow(ProtocolError)
  }
})

test('the announcement of a large frame allocates nothing large', () => {
  const reader = new FrameReader(FRAME_BODY_BYTES_MAX)
  const header = Buffer.alloc(100)
  header.writeUInt32BE(FRAME_BODY_BYTES_MAX, 0)
  const before = process.memoryUsage().arrayBuffers
  const readers = Array.from({ length: 100 }, () => new FrameReader(FRAME_BODY_BYTES_MAX))
  for (const each of [reader, ...readers]) {
    each.push(header)
    each.next()
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(FRAME_BODY_BYTES_MAX)
})
