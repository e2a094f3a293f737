import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteWriter, CodecError, Prng } from '../base/index.ts'
import { cutAnywhere, FuzzGuard, flipped, harmed, randomBytes } from '../base/testing/fuzz.ts'
import { log } from './arbitraries.test-support.ts'
import {
  aborted,
  BOTH,
  branchOf,
  commit,
  completed,
  heuristic,
  ledgerAfter,
  prepared,
  txidOf,
  watermark,
} from './fixtures.test-support.ts'
import { Ledger } from './ledger.ts'
import { BUCKET_SPAN_MS } from './outcome-table.ts'
import { BLOCK_HEAD_BYTES, BlockType, PAYLOAD_BYTES_MAX, writeNoted, writeOpen } from './snapshot-format.ts'
import { drain, restored } from './snapshots.test-support.ts'
import type { NotedTransaction, OpenTransaction } from './state.ts'

const guard = new FuzzGuard()

/** A ledger, or undefined for a CodecError; anything else fails the test. */
function restoredOrRefused(bytes: Buffer, prng: Prng): Ledger | undefined {
  return guard.run(bytes, () => {
    try {
      return restored(cutAnywhere(bytes, prng))
    } catch (error) {
      if (error instanceof CodecError) return undefined
      throw error
    }
  })
}

const rich = ledgerAfter(
  prepared(txidOf(1)),
  commit(txidOf(2), BOTH),
  heuristic(txidOf(2), 1, 'none'),
  aborted(txidOf(3), BOTH, 'hotels'),
  aborted(txidOf(4), [], 'flights'),
  commit(txidOf(5), BOTH),
  heuristic(txidOf(5), 0, 'aborted'),
  completed(txidOf(5)),
  watermark(-2 * BUCKET_SPAN_MS),
)
const whole = drain(rich.freeze())

describe('whatever the bytes are, a ledger comes out that holds its invariants, or CodecError', () => {
  test('a flipped bit anywhere is found', () => {
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bytes = Buffer.from(whole)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      expect(restoredOrRefused(bytes, new Prng(bit)), `bit ${bit}`).toBeUndefined()
    }
  })

  test('several flipped bits are found, in the snapshot of any log', () => {
    fc.assert(
      fc.property(log, fc.integer(), (commands, seed) => {
        const prng = new Prng(seed)
        const ledger = new Ledger()
        for (const command of commands) ledger.apply(command, [])
        const bytes = drain(ledger.freeze())
        const other = flipped(bytes, prng)
        if (!other.equals(bytes)) expect(restoredOrRefused(other, prng)).toBeUndefined()
      }),
      { numRuns: 500 },
    )
  })

  test('parts cut out, doubled, moved, overwritten', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 3 }), (seed, times) => {
        const prng = new Prng(seed)
        let bytes = whole
        for (let i = 0; i < times; i++) bytes = harmed(bytes, prng)
        const ledger = restoredOrRefused(bytes, prng)
        // Blocks of one type may change places: that is the same ledger, with another order of what is open.
        ledger?.validate()
        if (ledger !== undefined) expect(ledger.digest()).toBe(rich.digest())
      }),
      { numRuns: 3000 },
    )
  })

  test('random bytes, and random payloads under every type', () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(7), fc.nat(300), (seed, type, size) => {
        const prng = new Prng(seed)
        const payload = randomBytes(size, prng)
        const behind = blocks(whole).filter((block) => block.type < type)
        expect(restoredOrRefused(payload, prng)).toBeUndefined()
        expect(restoredOrRefused(joined([...behind, { type, payload }]), prng)).toBeUndefined()
      }),
      { numRuns: 3000 },
    )
  })
})

describe('nothing is believed before it has come', () => {
  test.each(Object.entries(BlockType))(
    'a block of type %s with too great a length is refused at its head',
    (_, type) => {
      const behind = joined(blocks(whole).filter((block) => block.type < type))
      const head = Buffer.alloc(BLOCK_HEAD_BYTES)
      head[0] = type
      for (const length of [PAYLOAD_BYTES_MAX[type]! + 1, 0xffffffff]) {
        head.writeUInt32BE(length, 1)
        const restore = new Ledger().restore()
        restore.add(behind)
        expect(() => restore.add(head)).toThrow(/has at most/)
      }
    },
  )

  test('the announcement of the largest block takes no memory', () => {
    const head = Buffer.alloc(BLOCK_HEAD_BYTES)
    head[0] = BlockType.open
    head.writeUInt32BE(PAYLOAD_BYTES_MAX[BlockType.open]!, 1)
    const before = process.memoryUsage().arrayBuffers
    const restores = Array.from({ length: 100 }, () => new Ledger().restore())
    for (const restore of restores) restore.add(head)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(PAYLOAD_BYTES_MAX[BlockType.open]!)
  })

  test('the largest block may come byte by byte', () => {
    const long = 'x'.repeat(0xffff)
    const branches = Array.from({ length: 4 }, (_, n) => branchOf(n, long, { evidence: long }))
    const ledger = ledgerAfter(prepared(txidOf(1), branches))
    const bytes = drain(ledger.freeze())
    const restore = ledger.restore()
    for (let at = 0; at < bytes.length; at++) restore.add(bytes.subarray(at, at + 1))
    restore.finish()
    expect(ledger.transaction(txidOf(1))?.branches).toEqual(branches)
  })
})

describe('a state that no log leads to is refused', () => {
  const open = (fields: Partial<OpenTransaction>): OpenTransaction => ({
    txid: txidOf(20),
    timeoutMs: 1,
    outcome: undefined,
    branches: BOTH,
    findings: [],
    ...fields,
  })
  const noted = (fields: Partial<NotedTransaction>): NotedTransaction => ({
    txid: txidOf(21),
    outcome: { kind: 'committed' },
    branches: [],
    branchDigest: 0,
    findings: [{ branch: BOTH[0]!.branch, found: 'none' }],
    ...fields,
  })
  const openBlock = (fields: Partial<OpenTransaction>) =>
    blockOf(BlockType.open, (writer) => writeOpen(writer, open(fields)))
  const notedBlock = (fields: Partial<NotedTransaction>) =>
    blockOf(BlockType.noted, (writer) => writeNoted(writer, noted(fields)))
  const readers = BOTH.map((branch) => ({ ...branch, vote: 'readOnly' as const }))

  const wrong: readonly (readonly [string, RegExp, Block])[] = [
    ['an open one twice', /is there twice/, openBlock({ txid: txidOf(1) })],
    ['an open one that has finished', /is there twice/, openBlock({ txid: txidOf(4) })],
    [
      'a decided one with nobody to tell',
      /no branch to tell/,
      openBlock({ outcome: { kind: 'committed' }, branches: readers }),
    ],
    ['a noted one twice', /is there twice/, notedBlock({ txid: txidOf(5) })],
    ['a noted one that is open', /is there twice/, notedBlock({ txid: txidOf(1) })],
    ['a noted one without a finding', /without a finding/, notedBlock({ findings: [] })],
    ['a noted one without an outcome that was not forgotten', /does not have/, notedBlock({ outcome: undefined })],
    ['a noted one whose outcome is another', /does not have/, notedBlock({ txid: txidOf(4) })],
    ['a second head', /behind one of type/, { type: 1, payload: blocks(whole)[0]!.payload }],
    ['no finished transactions', /no finished/, { type: 3, payload: Buffer.alloc(0) }],
    ['a part of a finished one', /ends early/, { type: 3, payload: blocks(whole)[2]!.payload.subarray(0, 23) }],
    ['a finished one twice', /twice, or was forgotten/, { type: 3, payload: blocks(whole)[2]!.payload }],
    ['a finished one with an unknown outcome', /unknown outcome/, finishedBlock(20, 0x7f)],
    ['a finished one with a name that has no number', /unknown outcome/, finishedBlock(20, 2 | (9 << 8))],
    ['a committed one that was caused by a participant', /unknown outcome/, finishedBlock(20, 1 | (1 << 8))],
    ['a finished one behind the watermark', /or was forgotten/, finishedBlock(20, 1, -9 * BUCKET_SPAN_MS)],
    ['a finished one without a txid', /no UUIDv7/, { type: 3, payload: Buffer.alloc(24, 1) }],
  ]
  test.each(wrong)('%s', (_, words, block) => {
    // Behind the blocks of its type, which is where it would stand.
    const list = blocks(whole)
    const at = list.findLastIndex(({ type }) => type <= block.type) + 1
    const bytes = joined(list.toSpliced(at, 0, block))
    expect(() => restored([bytes])).toThrow(CodecError)
    expect(() => restored([bytes])).toThrow(words)
  })

  test('fewer decisions than there are decided transactions', () => {
    const bytes = Buffer.from(whole)
    // The head's two counters, each eight bytes, behind the version and the watermark.
    bytes.fill(0, BLOCK_HEAD_BYTES + 9, BLOCK_HEAD_BYTES + 25)
    expect(() => restored([bytes])).toThrow(/fewer decisions/)
  })

  test('names that no ledger keeps: one twice, one too long, one too many', () => {
    const namesOf = (names: readonly string[]) =>
      blockOf(BlockType.names, (writer) => {
        writer.u16(names.length)
        for (const name of names) writer.text(name)
      })
    const many = Array.from({ length: 1024 }, (_, n) => `${n}`)
    for (const names of [['a', 'a'], ['x'.repeat(129)], many]) {
      expect(() => restored([joined([blocks(whole)[0]!, namesOf(names)])])).toThrow(/cannot stand there/)
    }
  })
})

interface Block {
  readonly type: number
  readonly payload: Buffer
}

function blocks(bytes: Buffer): Block[] {
  const list: Block[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + BLOCK_HEAD_BYTES + bytes.readUInt32BE(at + 1)
    list.push({ type: bytes[at]!, payload: bytes.subarray(at + BLOCK_HEAD_BYTES, end) })
    at = end
  }
  return list
}

function joined(list: readonly Block[]): Buffer {
  const writer = new ByteWriter()
  for (const { type, payload } of list) {
    writer.u8(type)
    writer.bytes(payload)
  }
  return Buffer.from(writer.finish())
}

function blockOf(type: number, write: (writer: ByteWriter) => void): Block {
  const writer = new ByteWriter()
  write(writer)
  return { type, payload: Buffer.from(writer.finish()) }
}

function finishedBlock(n: number, word: number, afterMs = 0): Block {
  const payload = Buffer.alloc(24)
  Buffer.from(txidOf(n, afterMs).replaceAll('-', ''), 'hex').copy(payload)
  payload.writeInt32BE(word, 16)
  return { type: BlockType.finished, payload }
}
