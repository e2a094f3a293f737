import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { Prng, parseClusterId, parseNodeId } from '../base/index.ts'
import { cutAnywhere, FuzzGuard, harmed, randomBytes } from '../base/testing/fuzz.ts'
import { type LogIndex, simpleConfiguration, type Term } from '../raft/index.ts'
import {
  CHUNK_BYTES_MAX,
  CHUNK_HEAD_BYTES,
  chunkCrc,
  encodeChunkHead,
  encodeFooter,
  encodeHeader,
  SNAPSHOT_MAJOR,
  type SnapshotHeader,
} from './snapshot-format.ts'
import { SnapshotParser } from './snapshot-parser.ts'

const HEADER: SnapshotHeader = {
  clusterId: parseClusterId('trips'),
  position: { index: 7000 as LogIndex, term: 12 as Term },
  configuration: {
    configuration: simpleConfiguration([1, 2, 3].map(parseNodeId)),
    context: Uint8Array.from([1, 2, 3]),
  },
  takenAtMs: 1_700_000_000_000,
}

/** The bytes of a snapshot with these contents, by the drawing in snapshot-format.ts. */
function fileOf(...contents: readonly Buffer[]): Buffer {
  const parts = [encodeHeader(HEADER)]
  const seed = parts[0]!.readUInt32BE(parts[0]!.length - 4)
  for (const [number, content] of contents.entries()) {
    const head = Buffer.alloc(CHUNK_HEAD_BYTES)
    encodeChunkHead(head, 0, content.length, chunkCrc(content, seed, number))
    parts.push(head, content)
  }
  const body = Buffer.concat(parts)
  const bytes = contents.reduce((sum, content) => sum + content.length, 0)
  return Buffer.concat([body, encodeFooter({ chunks: contents.length, bytes, total: crc32(body) })])
}

const CONTENTS = [Buffer.from('first of all'), Buffer.alloc(300, 7), Buffer.from('the end')]
const FILE = fileOf(...CONTENTS)

function parse(bytes: Buffer, cut = (left: number) => left): { parser: SnapshotParser; content: Buffer } {
  const pieces: Buffer[] = []
  const parser = new SnapshotParser((content) => pieces.push(Buffer.from(content)))
  for (let at = 0; at < bytes.length; ) {
    const size = Math.max(1, cut(bytes.length - at))
    parser.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  parser.end()
  return { parser, content: Buffer.concat(pieces) }
}

test('what was written is read, however it is cut', () => {
  const prng = new Prng(1)
  for (const cut of [(left: number) => left, () => 1, () => 7, (left: number) => prng.between(1, left)]) {
    const { parser, content } = parse(FILE, cut)
    expect(parser.fault).toBeUndefined()
    expect(parser.isWhole).toBe(true)
    expect(parser.header).toEqual(HEADER)
    expect(content).toEqual(Buffer.concat(CONTENTS))
    expect(parser.goodBytes).toBe(FILE.length)
  }
})

test('a snapshot of an empty state is one', () => {
  expect(parse(fileOf()).parser.isWhole).toBe(true)
})

test('snapshots with other contents have other ids', () => {
  const ids = [[], CONTENTS, CONTENTS.slice(1), [...CONTENTS].reverse()].map(
    (contents) => parse(fileOf(...contents)).parser.snapshotId!,
  )
  expect(new Set(ids).size).toBe(4)
  for (const id of ids) expect(Number.isSafeInteger(id) && id > 0).toBe(true)
})

test('a snapshot that ends early is no snapshot, wherever it ends', () => {
  for (let size = 0; size < FILE.length; size++) {
    const { parser } = parse(FILE.subarray(0, size))
    expect(parser.isWhole).toBe(false)
    expect(parser.fault).toMatchObject({ kind: 'damaged', what: 'it ends early' })
    expect(parser.snapshotId).toBeUndefined()
  }
})

test('each flipped bit is found, and nothing of the part that holds it is handed on', () => {
  for (let at = 0; at < FILE.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bytes = Buffer.from(FILE)
      bytes[at]! ^= 1 << bit
      const { parser, content } = parse(bytes)
      expect(parser.isWhole, `bit ${bit} of byte ${at}`).toBe(false)
      expect(parser.fault).toBeDefined()
      expect(Buffer.concat(CONTENTS).subarray(0, content.length)).toEqual(content)
      expect(parser.goodBytes).toBeLessThanOrEqual(at)
    }
  }
})

test('chunks in another order, twice, or of another snapshot are damage', () => {
  const [a, b] = [Buffer.alloc(50, 1), Buffer.alloc(50, 2)]
  const file = fileOf(a, b)
  const begin = encodeHeader(HEADER).length
  const size = CHUNK_HEAD_BYTES + 50
  const chunks = [file.subarray(begin, begin + size), file.subarray(begin + size, begin + 2 * size)]
  const with_ = (...middle: Buffer[]) =>
    Buffer.concat([file.subarray(0, begin), ...middle, file.subarray(begin + 2 * size)])
  expect(parse(with_(...chunks)).parser.isWhole).toBe(true)
  for (const order of [[1, 0], [0, 0], [0], [0, 1, 1]]) {
    expect(parse(with_(...order.map((at) => chunks[at]!))).parser.isWhole).toBe(false)
  }
  const other = Buffer.concat([encodeHeader({ ...HEADER, takenAtMs: 5 }), file.subarray(begin)])
  expect(parse(other).parser.fault?.what).toMatch(/chunk 0/)
})

test('bytes behind the footer are damage', () => {
  expect(parse(Buffer.concat([FILE, Buffer.from([0])])).parser.fault?.what).toBe('bytes follow its footer')
})

test('another major version is told from damage, and a newer minor version is read', () => {
  const later = Buffer.from(FILE)
  later.writeUInt16BE(SNAPSHOT_MAJOR + 1, 8)
  expect(parse(later).parser.fault).toMatchObject({ kind: 'otherVersion', what: 'it is of version 2.0' })
})

test('after a rewind, the part that was not whole comes again', () => {
  const prng = new Prng(3)
  for (let round = 0; round < 200; round++) {
    const pieces: Buffer[] = []
    const parser = new SnapshotParser((content) => pieces.push(Buffer.from(content)))
    for (let at = 0; at < FILE.length; ) {
      const size = prng.between(1, 150)
      const piece = Buffer.from(FILE.subarray(at, at + size))
      const harm = prng.chance(0.1)
      if (harm) piece[prng.below(piece.length)]! ^= 4
      parser.push(piece)
      // A draft that was left with a bad end is read up to there, and goes on from the last good part.
      if (harm || parser.fault !== undefined) parser.rewind()
      at = parser.fault === undefined && !harm ? at + piece.length : parser.goodBytes
    }
    expect(parser.isWhole).toBe(true)
    expect(Buffer.concat(pieces)).toEqual(Buffer.concat(CONTENTS))
  }
})

test('whatever the bytes are, the reader ends soon, keeps little, and hands on nothing that was not checked', () => {
  const prng = new Prng(7)
  const guard = new FuzzGuard()
  const big = fileOf(...Array.from({ length: 20 }, (_, at) => Buffer.alloc(CHUNK_BYTES_MAX, at)))
  for (let round = 0; round < 3000; round++) {
    let bytes = round % 50 === 0 ? big : FILE
    for (let harms = prng.between(1, 5); harms > 0; harms--) bytes = harmed(bytes, prng)
    checkHarmed(guard, bytes, prng, [big, FILE])
  }
  for (let round = 0; round < 1000; round++) {
    // The rest of the header is made up, and well summed: what stands in it is not believed either.
    const body = randomBytes(prng.between(0, 300), prng)
    const head = Buffer.concat([FILE.subarray(0, 12), uint32(body.length), body])
    checkHarmed(guard, Buffer.concat([head, uint32(crc32(head)), FILE.subarray(100)]), prng, [])
  }
})

/** Fails unless the bytes are refused, or are one of `whole` after all. */
function checkHarmed(guard: FuzzGuard, bytes: Buffer, prng: Prng, whole: readonly Buffer[]): void {
  let given = 0
  const parser = new SnapshotParser((content) => {
    given += content.length
  })
  guard.run(bytes, () => {
    for (const piece of cutAnywhere(bytes, prng, 50_000)) parser.push(piece)
  })
  expect(given).toBeLessThanOrEqual(bytes.length)
  expect(parser.goodBytes).toBeLessThanOrEqual(bytes.length)
  if (parser.end() === undefined) expect(whole.some((each) => each.equals(bytes))).toBe(true)
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
