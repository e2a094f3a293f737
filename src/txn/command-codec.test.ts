import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type BranchId, ByteWriter, CodecError, type Txid } from '../base/index.ts'
import { log } from './arbitraries.test-support.ts'
import { decodeCommands, encodeCommands } from './command-codec.ts'
import {
  aborted,
  acknowledged,
  branchOf,
  commit,
  completed,
  guard,
  heuristic,
  prepared,
  settle,
  settled,
  txidOf,
  watermark,
} from './fixtures.test-support.ts'
import type { LedgerCommand } from './types.ts'

const txid = txidOf(1)

function encode(...commands: readonly LedgerCommand[]): Buffer {
  const writer = new ByteWriter()
  encodeCommands(commands, writer)
  return writer.finish()
}

/** Decodes, allowing CodecError and nothing else. */
function tryDecode(bytes: Uint8Array): LedgerCommand[] | undefined {
  try {
    return decodeCommands(bytes)
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(CodecError)
    return undefined
  }
}

describe('what was written is read back', () => {
  test('for every kind of command', () => {
    const branches = [
      branchOf(0, 'flights', { evidence: '4711' }),
      branchOf(63, 'hôtels', { kind: 'service', vote: undefined, evidence: '' }),
      branchOf(7, '', { kind: 'kv', vote: 'readOnly' }),
    ]
    const commands = [
      prepared(txid, branches),
      commit(txid, branches),
      commit(txid, []),
      commit(txid),
      aborted(txid),
      aborted(txid, branches, 'hotels'),
      completed(txid, txidOf(2)),
      completed(),
      heuristic(txid, 63, 'none'),
      watermark(5),
      guard(5),
      settle(txid, 63, 'commit'),
      settle(txid, 0, 'abort'),
      settled(txid, 1, 'committed'),
      acknowledged(txid),
    ]
    expect(decodeCommands(encode(...commands))).toEqual(commands)
  })

  test('for any log', () => {
    fc.assert(
      fc.property(log, (commands) => {
        expect(decodeCommands(encode(...commands))).toEqual(commands)
      }),
    )
  })

  test('from a plain Uint8Array that begins inside its memory', () => {
    const bytes = encode(commit(txid))
    const shifted = new Uint8Array(bytes.length + 3)
    shifted.set(bytes, 3)
    expect(decodeCommands(shifted.subarray(3))).toEqual([commit(txid)])
  })

  test('and shares no memory with the bytes', () => {
    const bytes = encode(commit(txid, [branchOf(0, 'flights', { evidence: '4711' })]))
    const commands = decodeCommands(bytes)
    bytes.fill(0)
    expect(commands).toEqual([commit(txid, [branchOf(0, 'flights', { evidence: '4711' })])])
  })
})

describe('the format', () => {
  // Entries are on disks: these bytes may never change their meaning.
  test('of a commit is the one that is written down', () => {
    const bytes = encode(commit(txid, [branchOf(2, 'pg', { evidence: '9' })]))
    const expected = ['01', '00000001', '02', txid.replaceAll('-', ''), '01', '02', '14', '0002', '7067', '0001', '39']
    expect(bytes.toString('hex')).toBe(expected.join(''))
  })

  test('of an aborted is the one that is written down', () => {
    const bytes = encode(aborted(txid, [], 'pg'))
    const expected = ['01', '00000001', '04', txid.replaceAll('-', ''), '00', '01', '0002', '7067', '00']
    expect(bytes.toString('hex')).toBe(expected.join(''))
  })

  test('of a newer version is refused by its number', () => {
    const bytes = encode(commit(txid))
    bytes[0] = 2
    expect(() => decodeCommands(bytes)).toThrow(/format version 2/)
  })
})

describe('bad bytes', () => {
  test('every proper prefix of an entry is refused', () => {
    const bytes = encode(prepared(txid), aborted(txid, [], 'hotels'), completed(txid, txid), watermark(1))
    for (let size = 0; size < bytes.length; size++) {
      expect(() => decodeCommands(bytes.subarray(0, size)), `${size} bytes`).toThrow(CodecError)
    }
  })

  test('bytes after the end are refused', () => {
    expect(() => decodeCommands(Buffer.concat([encode(commit(txid)), Buffer.from([0])]))).toThrow(CodecError)
  })

  test('any flipped bit gives CodecError or commands that can be written again', () => {
    const bytes = encode(
      prepared(txid),
      commit(txid),
      aborted(txid, [], 'hotels'),
      heuristic(txid, 1, 'none'),
      watermark(1),
    )
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      const commands = tryDecode(flipped)
      if (commands !== undefined) expect(decodeCommands(encode(...commands))).toEqual(commands)
    }
  })

  test('any bytes give CodecError or commands that can be written again', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (noise) => {
        const bytes = Buffer.concat([Buffer.from([1, 0, 0, 0, 1]), noise])
        const commands = tryDecode(bytes)
        if (commands !== undefined) expect(decodeCommands(encode(...commands))).toEqual(commands)
      }),
      { numRuns: 2000 },
    )
  })

  test('a count beyond the bytes is refused without room being made for it', () => {
    expect(() => decodeCommands(Buffer.from('01ffffffff', 'hex'))).toThrow(CodecError)
    expect(() => decodeCommands(Buffer.from('010000000105ffffffff', 'hex'))).toThrow(CodecError)
  })

  test('a number without a meaning is refused, wherever it stands', () => {
    const bytes = encode(commit(txid, [branchOf(2, 'pg')]))
    const flagsAt = bytes.indexOf(Buffer.from('0002', 'hex'), 22) - 1
    for (const flags of [0x03, 0x0c, 0x20, 0x40, 0x80]) {
      const wrong = Buffer.from(bytes)
      wrong[flagsAt] = flags
      expect(() => decodeCommands(wrong), `flags ${flags}`).toThrow(CodecError)
    }
    for (const [command, fromEnd] of [
      [aborted(txid), 3],
      [aborted(txid), 2],
      [heuristic(txid, 1, 'none'), 1],
    ] as const) {
      const wrong = encode(command)
      wrong[wrong.length - fromEnd] = 200
      expect(() => decodeCommands(wrong), command.kind).toThrow(CodecError)
    }
  })

  test('a txid that is no UUIDv7 is refused', () => {
    const version4 = '01890a5d-ac96-474b-bcce-b302099a8057' as Txid
    const variant0 = '01890a5d-ac96-774b-3cce-b302099a8057' as Txid
    for (const wrong of [version4, variant0]) expect(() => decodeCommands(encode(commit(wrong)))).toThrow(/UUIDv7/)
  })
})

describe('a command that cannot be written down', () => {
  test('is refused before it reaches the log', () => {
    const branch = branchOf(0, 'flights')
    const wrong: readonly LedgerCommand[] = [
      commit(txid, [branch, branch]),
      commit(txid, [{ ...branch, branch: 64 as BranchId }]),
      commit(txid, [{ ...branch, branch: -1 as BranchId }]),
      commit(txid, [{ ...branch, branch: 0.5 as BranchId }]),
      commit(txid, [branchOf(0, 'x'.repeat(65_536))]),
      heuristic(txid, 64, 'none'),
      { kind: 'prepared', txid, timeoutMs: -1, branches: [branch] },
      { kind: 'prepared', txid, timeoutMs: 1.5, branches: [branch] },
      { kind: 'watermark', beforeMs: Number.NaN },
    ]
    for (const command of wrong)
      expect(() => encode(command), JSON.stringify(command).slice(0, 200)).toThrow(CodecError)
  })
})
