import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { IDENTITY } from './fixture.support.ts'
import {
  decodeMark,
  decodeSegmentHeader,
  encodeMark,
  encodeRecord,
  encodeSegmentHeader,
  findMark,
  recordSize,
  storeSalt,
} from './format.ts'

const storeId = '000102030405060708090a0b0c0d0e0f'
const salt = storeSalt(storeId)

test('a record has the bytes that docs/data-on-disk.md draws', () => {
  const bytes = Buffer.alloc(13)
  encodeRecord(bytes, 0, 4121, salt, 7, Buffer.from('vote'), 4)
  expect(bytes.subarray(0, 5).toString('hex')).toBe('0000000407')
  expect(bytes.subarray(9).toString()).toBe('vote')
  const seed = (crc32(Buffer.from(storeId, 'hex')) ^ 4121) >>> 0
  expect(bytes.readUInt32BE(5)).toBe(crc32(Buffer.concat([bytes.subarray(0, 5), bytes.subarray(9)]), seed))
})

test('every changed bit of a record makes it invalid', () => {
  const bytes = Buffer.alloc(13)
  encodeRecord(bytes, 0, 4121, salt, 7, Buffer.from('vote'), 4)
  expect(recordSize(bytes, 0, 13, 4121, salt)).toBe(13)
  for (let bit = 0; bit < 13 * 8; bit++) {
    bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7))
    expect(recordSize(bytes, 0, 13, 4121, salt)).toBe(0)
    bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7))
  }
})

test('zeros are no record, however they are read', () => {
  expect(recordSize(Buffer.alloc(64), 0, 64, 4096, 0)).toBe(0)
  expect(recordSize(Buffer.alloc(64), 60, 64, 4096, salt)).toBe(0)
})

test('a mark keeps what it says, and is found wherever it stands', () => {
  const bytes = Buffer.alloc(300)
  const mark = { syncedUpTo: 2 ** 40 + 5, bytes: 1000, count: 3 }
  encodeMark(bytes, 123, 2 ** 40 + 123, salt, mark)
  expect(decodeMark(bytes, 123, 2 ** 40 + 123, salt)).toEqual(mark)
  expect(findMark(bytes, 0, 2 ** 40, salt)).toBe(123)
  expect(findMark(bytes, 124, 2 ** 40, salt)).toBe(-1)
})

test('a segment header keeps what it says, and every changed bit is noticed', () => {
  const header = { major: 1, minor: 0, number: 3, base: 2 ** 35, size: 8192, storeId, ...IDENTITY }
  const bytes = encodeSegmentHeader(header)
  expect(bytes).toHaveLength(128)
  expect(decodeSegmentHeader(bytes)).toEqual({ kind: 'header', header })
  for (let bit = 0; bit < 128 * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = flipped[bit >> 3]! ^ (1 << (bit & 7))
    expect(decodeSegmentHeader(flipped).kind).toBe('bad')
  }
  expect(decodeSegmentHeader(bytes.subarray(0, 127)).kind).toBe('bad')
  expect(decodeSegmentHeader(encodeSegmentHeader({ ...header, major: 2 }))).toEqual({
    kind: 'otherVersion',
    version: '2.0',
  })
})
