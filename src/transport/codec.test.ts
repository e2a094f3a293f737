import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type BranchId, ByteWriter, CodecError, InvariantError, makeTxid, parseClusterId } from '../base/index.ts'
import type {
  AppendEntries,
  AppendEntriesResponse,
  Entry,
  InstallSnapshot,
  LogIndex,
  RequestVote,
  Term,
} from '../raft/index.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import { FrameTooLargeError } from './errors.ts'
import { FRAME_BODY_BYTES_MAX, FrameKind, SNAPSHOT_CHUNK_BYTES_MAX } from './frame.ts'
import type { Message } from './messages.ts'
import { anyMessage, arbitraries } from './testing/arbitraries.ts'

function encode(message: Message): Buffer {
  const writer = new ByteWriter()
  encodeFrame(message, writer)
  return Buffer.from(writer.finish())
}

function decode(frame: Buffer): Message {
  return decodeFrame(frame, 0, frame.length)
}

/** Decodes what may be damaged: a message or CodecError; anything else fails the test. */
function decodeDamaged(frame: Buffer): Message | undefined {
  try {
    return decode(frame)
  } catch (error) {
    if (error instanceof CodecError) return undefined
    throw error
  }
}

const txid = makeTxid(1_700_000_000_000, Buffer.alloc(10, 0xab))
const tenBranches: Message = {
  kind: 'commit',
  requestId: 1,
  clusterId: parseClusterId('trips'),
  txid,
  timeoutMs: 1000,
  branches: Array.from({ length: 10 }, (_, i) => ({
    branch: i as BranchId,
    kind: 'local',
    participant: `p${i}`,
    vote: 'commit',
    evidence: undefined,
  })),
}

describe('every kind comes back as it was sent', () => {
  test.each(Object.keys(arbitraries) as Message['kind'][])('%s', (kind) => {
    fc.assert(
      fc.property(arbitraries[kind] as fc.Arbitrary<Message>, (message) => {
        expect(decode(encode(message))).toEqual(message)
      }),
      { numRuns: 100 },
    )
  })

  test('every kind has a number of its own', () => {
    const numbers = Object.values(FrameKind)
    expect(new Set(numbers).size).toBe(numbers.length)
    expect(Object.keys(FrameKind).sort()).toEqual(Object.keys(arbitraries).sort())
  })

  test('a frame among others decodes to the same message', () => {
    fc.assert(
      fc.property(anyMessage, fc.nat(40), fc.nat(40), (message, before, after) => {
        const frame = encode(message)
        const padded = Buffer.concat([Buffer.alloc(before, 7), frame, Buffer.alloc(after, 9)])
        expect(decodeFrame(padded, before, before + frame.length)).toEqual(message)
      }),
      { numRuns: 200 },
    )
  })
})

describe('damage is a CodecError or another valid message, never another exception', () => {
  test('every prefix of a frame is refused', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const frame = encode(message)
        for (let size = 0; size < frame.length; size++) {
          const cut = Buffer.from(frame.subarray(0, size))
          expect(decodeDamaged(cut)).toBeUndefined()
          // With a length that fits the stump, the body's own checks must find it.
          if (size < 5) continue
          cut.writeUInt32BE(size - 4, 0)
          decodeDamaged(cut)
        }
      }),
      { numRuns: 100 },
    )
  })

  test('a flipped bit anywhere', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const frame = encode(message)
        for (let bit = 0; bit < Math.min(frame.length, 400) * 8; bit++) {
          frame[bit >> 3]! ^= 1 << (bit & 7)
          const decoded = decodeDamaged(frame)
          if (decoded !== undefined) encode(decoded)
          frame[bit >> 3]! ^= 1 << (bit & 7)
        }
      }),
      { numRuns: 60 },
    )
  })

  test('random bytes under every kind', () => {
    const kind = fc.constantFrom(...Object.values(FrameKind), 0, 0x7f, 0xff)
    fc.assert(
      fc.property(kind, fc.uint8Array({ maxLength: 200 }), (kindByte, body) => {
        const frame = Buffer.alloc(5 + body.length)
        frame.writeUInt32BE(body.length + 1, 0)
        frame[4] = kindByte
        frame.set(body, 5)
        const decoded = decodeDamaged(frame)
        if (decoded !== undefined) encode(decoded)
      }),
      { numRuns: 3000 },
    )
  })

  test('bytes left over at the end are refused', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        // The handshake's own rule for newer versions is tested with the handshake.
        fc.pre(!['hello', 'welcome', 'rejected'].includes(message.kind))
        const longer = Buffer.concat([encode(message), Buffer.alloc(1)])
        longer.writeUInt32BE(longer.length - 4, 0)
        expect(() => decode(longer)).toThrow(CodecError)
      }),
    )
  })
})

describe('values are checked', () => {
  test('a count of entries that cannot fit is refused before an array is made', () => {
    const frame = encode(append([]))
    frame.writeUInt32BE(0xffffffff, frame.length - 4)
    expect(() => decode(frame)).toThrow(/4294967295 entries do not fit/)
  })

  test('entries beyond index 2^53 - 1 are refused', () => {
    const frame = encode(append([Buffer.from('x')]))
    frame.writeUInt32BE(0x1fffff, 5 + 12)
    frame.writeUInt32BE(0xffffffff, 5 + 16)
    expect(() => decode(frame)).toThrow(/above 2\^53/)
  })

  test('more branches than a transaction may have are refused, to send and to receive', () => {
    const branch = {
      branch: 0 as BranchId,
      kind: 'local',
      participant: 'p',
      vote: 'commit',
      evidence: undefined,
    } as const
    const many: Message = { ...tenBranches, branches: Array.from({ length: 65 }, () => branch) } as Message
    expect(() => encode(many)).toThrow(/at most 64/)
    const frame = encode({ kind: 'ack', txid, branches: [] })
    frame[frame.length - 1] = 65
    expect(() => decode(frame)).toThrow(/at most 64/)
  })

  test('a txid that is no UUIDv7 is refused', () => {
    const frame = encode({ kind: 'ack', txid, branches: [] })
    frame[5 + 6] = 0x40
    expect(() => decode(frame)).toThrow(/not a UUIDv7/)
    frame[5 + 6] = 0x70
    frame[5 + 8] = 0x00
    expect(() => decode(frame)).toThrow(/not a UUIDv7/)
  })

  test('node id 0, branch id 64, unknown words and flags other than 0 and 1 are refused', () => {
    const vote = encode({ kind: 'vote', txid, branch: 3 as BranchId, vote: 'commit', evidence: undefined })
    expect(() => decode(patched(vote, 5 + 16, 64))).toThrow(/branch id 64/)
    expect(() => decode(patched(vote, 5 + 17, 3))).toThrow(/vote 3 is unknown/)
    expect(() => decode(patched(vote, 5 + 18, 2))).toThrow(/a flag is 0 or 1/)
    expect(() => decode(patched(encode(append([])), 5 + 1, 0))).toThrow(/node id 0/)
    expect(() => decode(patched(encode(append([])), 4, 0x7f))).toThrow(/unknown kind 0x7f/)
    expect(() => decode(patched(encode(append([Buffer.from('x')])), 5 + 48 + 8, 3))).toThrow(/unknown kind 3/)
  })

  test('AppendEntries with a gap is a broken invariant, not a message', () => {
    const message = append([Buffer.from('a'), Buffer.from('b')])
    const gap = { ...message, entries: [message.entries[1]!] }
    expect(() => encode(gap)).toThrow(InvariantError)
  })

  test('a body of exactly the maximum travels, one byte more does not', () => {
    const overhead = encode(append([Buffer.alloc(0)])).length - 5
    const largest = append([Buffer.alloc(FRAME_BODY_BYTES_MAX - overhead)])
    const decoded = decode(encode(largest)) as AppendEntries
    expect(Buffer.compare(decoded.entries[0]!.data, largest.entries[0]!.data)).toBe(0)
    expect(() => encode(append([Buffer.alloc(FRAME_BODY_BYTES_MAX - overhead + 1)]))).toThrow(FrameTooLargeError)
  })

  test('a snapshot chunk of exactly the maximum travels, one byte more does not', () => {
    const largest = chunk({ data: Buffer.alloc(SNAPSHOT_CHUNK_BYTES_MAX, 1), totalBytes: SNAPSHOT_CHUNK_BYTES_MAX })
    const decoded = decode(encode(largest)) as InstallSnapshot
    expect(Buffer.compare(decoded.data, largest.data)).toBe(0)
    const larger = { ...largest, data: Buffer.alloc(SNAPSHOT_CHUNK_BYTES_MAX + 1), totalBytes: 2 ** 30 }
    expect(() => encode(larger)).toThrow(/at most 1048576/)
    const frame = Buffer.concat([encode(largest), Buffer.alloc(1)])
    frame.writeUInt32BE(frame.length - 4, 0)
    frame.writeUInt32BE(SNAPSHOT_CHUNK_BYTES_MAX + 1, 5 + 56)
    frame.writeUInt32BE(2 ** 30, 5 + 40)
    expect(() => decode(frame)).toThrow(/at most 1048576/)
  })

  test('a snapshot chunk that reaches beyond the end of its snapshot is refused, to send and to receive', () => {
    const last = chunk({ data: Buffer.from('abc'), offset: 7, totalBytes: 10 })
    expect(decode(encode(last))).toEqual(last)
    expect(() => encode({ ...last, offset: 8 })).toThrow(/beyond the end at 10/)
    expect(() => decode(patched(encode(last), 5 + 51, 8))).toThrow(/beyond the end at 10/)
  })

  test('an empty chunk at offset 0, the question how much is there, is no damage', () => {
    const question = chunk({ data: Buffer.alloc(0), offset: 0, totalBytes: 10 })
    expect(decode(encode(question))).toEqual(question)
  })

  test('durations are brought into whole milliseconds', () => {
    for (const [given, sent] of [
      [1.9, 1],
      [-5, 0],
      [Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER],
      [Number.NaN, 0],
    ]) {
      expect(decode(encode({ ...tenBranches, timeoutMs: given! } as Message))).toMatchObject({ timeoutMs: sent })
    }
  })

  test('JSON beyond 64 KiB travels; the words of an endless refusal are cut', () => {
    const json = JSON.stringify('ü'.repeat(100_000))
    expect(decode(encode({ kind: 'adminResult', requestId: 1, json }))).toMatchObject({ json })
    const refused = decode(encode({ kind: 'rejected', code: 'X', message: 'y'.repeat(100_000) }))
    expect(refused).toMatchObject({ message: 'y'.repeat(4000) })
  })
})

describe('flags that a later minor version added', () => {
  const vote = { kind: 'requestVote', from: 1, to: 2, term: 3, preVote: false, lastLogIndex: 9, lastLogTerm: 2 }
  const ids = { from: 1, to: 2, term: 3, success: true, matchIndex: 9, hintIndex: 0, hintTerm: 0, readRound: 1 }
  const plain = { ...vote, leadershipTransfer: false } as unknown as RequestVote
  const answer = { kind: 'appendEntriesResponse', ...ids, doubtful: false } as unknown as AppendEntriesResponse

  test('cost no byte while they are not set, and one when they are', () => {
    expect(encode({ ...plain, leadershipTransfer: true }).length).toBe(encode(plain).length + 1)
    expect(encode({ ...answer, doubtful: true }).length).toBe(encode(answer).length + 1)
  })

  test.each([0, 2, 3, 0xff])('a flags byte of %d is refused: it says nothing, or something unknown', (byte) => {
    for (const message of [
      { ...plain, leadershipTransfer: true },
      { ...answer, doubtful: true },
    ]) {
      const frame = encode(message)
      expect(() => decode(patched(frame, frame.length - 1, byte))).toThrow(CodecError)
    }
  })
})

function append(payloads: readonly Buffer[]): AppendEntries {
  const entries = payloads.map((data, i): Entry => ({ term: 2 as Term, index: (11 + i) as LogIndex, kind: 1, data }))
  const ids = { from: 1, to: 2, term: 2, prevLogIndex: 10, prevLogTerm: 2, leaderCommit: 9, readRound: 0 }
  return { kind: 'appendEntries', ...ids, entries } as unknown as AppendEntries
}

function chunk(fields: Pick<InstallSnapshot, 'data' | 'totalBytes'> & Partial<InstallSnapshot>): InstallSnapshot {
  const ids = { from: 1, to: 2, term: 2, snapshot: { index: 9, term: 2 }, snapshotId: 5, offset: 0, checksum: 1 }
  return { kind: 'installSnapshot', ...ids, ...fields } as unknown as InstallSnapshot
}

function patched(frame: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(frame)
  copy[at] = value
  return copy
}
