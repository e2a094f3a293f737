import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodecError } from '../base/index.ts'
import { EMPTY_CONFIGURATION, simpleConfiguration } from './configuration.ts'
import { decodeConfiguration, encodeConfiguration } from './configuration-codec.ts'
import { configurations, ids } from './testing/configurations.ts'

const NO_CONTEXT = new Uint8Array(0)

test('what is decoded is what was encoded', () => {
  fc.assert(
    fc.property(configurations, fc.uint8Array({ maxLength: 40 }), (configuration, context) => {
      expect(decodeConfiguration(encodeConfiguration({ configuration, context }))).toEqual({ configuration, context })
    }),
  )
})

test('the bytes of a configuration are those of docs and fixtures', () => {
  const configuration = { ...simpleConfiguration(ids(1, 2), ids(3)), rebuilding: ids(3), retired: ids(0x1234) }
  const bytes = encodeConfiguration({ configuration, context: Uint8Array.of(0xaa, 0xbb) })
  expect(Buffer.from(bytes).toString('hex')).toBe(
    ['01', '000200010002', '0000', '00010003', '0000', '00010003', '00011234', '00000002aabb'].join(''),
  )
})

test('a configuration without anybody can be encoded: a node that waits to be added has one', () => {
  const data = { configuration: EMPTY_CONFIGURATION, context: NO_CONTEXT }
  expect(decodeConfiguration(encodeConfiguration(data))).toEqual(data)
})

test('a decoded context keeps nothing of the bytes that it came in', () => {
  const bytes = encodeConfiguration({ configuration: simpleConfiguration(ids(1)), context: Uint8Array.of(7) })
  const { context } = decodeConfiguration(bytes)
  bytes.fill(0)
  expect(context).toEqual(Uint8Array.of(7))
})

test('every beginning of a configuration, and one with a byte too many, is refused', () => {
  fc.assert(
    fc.property(configurations, fc.uint8Array({ maxLength: 10 }), (configuration, context) => {
      const bytes = encodeConfiguration({ configuration, context })
      for (let length = 0; length < bytes.length; length++) {
        expect(() => decodeConfiguration(bytes.slice(0, length))).toThrow(CodecError)
      }
      expect(() => decodeConfiguration(Uint8Array.of(...bytes, 0))).toThrow(CodecError)
    }),
    { numRuns: 30 },
  )
})

test('another version, the node id 0, and members that contradict each other are refused', () => {
  const bytes = encodeConfiguration({ configuration: simpleConfiguration(ids(1, 2)), context: NO_CONTEXT })
  expect(() => decodeConfiguration(bytes.map((byte, at) => (at === 0 ? 2 : byte)))).toThrow('version 2')
  expect(() => decodeConfiguration(bytes.map((byte, at) => (at === 4 ? 0 : byte)))).toThrow('0 is not a node id')
  expect(() => decodeConfiguration(bytes.map((byte, at) => (at === 6 ? 1 : byte)))).toThrow('named twice')
})

test('any bytes at all are decoded to what encodes to the same bytes, or refused as malformed', () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    // Near misses get further into the decoder.
    fc.tuple(configurations, fc.nat(), fc.nat(255)).map(([configuration, at, byte]) => {
      const bytes = encodeConfiguration({ configuration, context: Uint8Array.of(1, 2, 3) })
      bytes[at % bytes.length] = byte
      return bytes
    }),
  )
  fc.assert(
    fc.property(noise, (bytes) => {
      try {
        expect(Buffer.from(encodeConfiguration(decodeConfiguration(bytes)))).toEqual(Buffer.from(bytes))
      } catch (error) {
        expect(error).toBeInstanceOf(CodecError)
      }
    }),
    { numRuns: 3000 },
  )
})
