import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ByteWriter } from '../base/index.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import { FrameKind } from './frame.ts'
import type { Message } from './messages.ts'

// The bytes themselves, as docs/protocol.md draws them: other programs speak them, so they never change within a major.

const txid = '01890a5d-ac96-774b-bcce-b302099a8057'
const TXID = '01890a5dac96774bbcceb302099a8057'
const node = { nodeId: 258, storeId: 's', durableIndex: 2 ** 32 + 5 }
const NODE = '0102 0001 73 0000000100000005'
const run = { incarnation: 7, doubtful: true }
const leader = { nodeId: 2, address: 'a:1' }
const LEADER = '0002 0003 613a31'
const branches = [
  { branch: 0, kind: 'local', participant: 'f', vote: 'commit', evidence: '7' },
  { branch: 63, kind: 'kv', participant: '', vote: undefined, evidence: undefined },
]
const RECORDS = '02  00 00 0001 66 01 01 0001 37  3f 02 0000 00 00'
const ids = { from: 1, to: 2, term: 3 }
const IDS = '0001 0002 0000000000000003'
const answer = { matchIndex: 4, hintIndex: 2, hintTerm: 1, readRound: 6 }
const MAGIC = '43445450'

const examples: readonly (readonly [unknown, string])[] = [
  [
    { kind: 'hello', protocolMajor: 1, protocolMinor: 0, role: 'participant', clusterId: 'c', node, name: 'n' },
    `0000001f 01 ${MAGIC} 0001 0000 02 01 0001 63 01 ${NODE} 0001 6e`,
  ],
  [
    { kind: 'hello', protocolMajor: 1, protocolMinor: 1, role: 'kv', clusterId: 'c', node: undefined, name: 'n' },
    `00000012 01 ${MAGIC} 0001 0001 03 01 0001 63 00 0001 6e`,
  ],
  [
    { kind: 'hello', protocolMajor: 1, protocolMinor: 1, role: 'peer', clusterId: 'c', node, name: 'n' },
    `00000020 01 ${MAGIC} 0001 0001 00 01 0001 63 01 ${NODE} 0001 6e 00`,
  ],
  [
    { kind: 'welcome', protocolMajor: 1, protocolMinor: 2, clusterId: 'c', node: { ...node, run }, leader },
    `0000002b 02 ${MAGIC} 0001 0002 0001 63 ${NODE} 01 ${LEADER} 01 0000000000000007 01`,
  ],
  [{ kind: 'rejected', code: 'X', message: 'é' }, `0000000c 03 ${MAGIC} 0001 58 0002 c3a9`],
  [{ kind: 'ping', nonce: 0xdeadbeef }, '00000005 04 deadbeef'],
  [{ kind: 'pong', nonce: 1 }, '00000005 05 00000001'],
  [
    { kind: 'requestVote', ...ids, preVote: true, lastLogIndex: 9, lastLogTerm: 2, leadershipTransfer: false },
    `0000001e 10 ${IDS} 01 0000000000000009 0000000000000002`,
  ],
  [
    { kind: 'requestVote', ...ids, preVote: false, lastLogIndex: 9, lastLogTerm: 2, leadershipTransfer: true },
    `0000001f 10 ${IDS} 00 0000000000000009 0000000000000002 01`,
  ],
  [
    { kind: 'requestVoteResponse', ...ids, preVote: false, voteGranted: true, committed: undefined },
    `0000000f 11 ${IDS} 00 01`,
  ],
  [
    { kind: 'requestVoteResponse', ...ids, preVote: true, voteGranted: false, committed: { index: 9, term: 2 } },
    `0000001f 11 ${IDS} 01 00 0000000000000009 0000000000000002`,
  ],
  [
    {
      kind: 'appendEntries',
      ...ids,
      prevLogIndex: 4,
      prevLogTerm: 2,
      entries: [{ term: 3, index: 5, kind: 1, data: Buffer.from('hi') }],
      leaderCommit: 1,
      readRound: 6,
    },
    `00000040 12 ${IDS} 0000000000000004 0000000000000002 0000000000000001 0000000000000006 00000001
     0000000000000003 01 00000002 6869`,
  ],
  [
    { kind: 'appendEntriesResponse', ...ids, success: false, ...answer, doubtful: false },
    `0000002e 13 ${IDS} 00 0000000000000004 0000000000000002 0000000000000001 0000000000000006`,
  ],
  [
    { kind: 'appendEntriesResponse', ...ids, success: true, ...answer, doubtful: true },
    `0000002f 13 ${IDS} 01 0000000000000004 0000000000000002 0000000000000001 0000000000000006 01`,
  ],
  [{ kind: 'timeoutNow', ...ids }, `0000000d 14 ${IDS}`],
  [{ kind: 'readIndex', ...ids, readKey: 2 ** 40 }, `00000015 15 ${IDS} 0000010000000000`],
  [
    { kind: 'readIndexResponse', ...ids, readKey: 2 ** 40, granted: true, index: 9 },
    `0000001e 16 ${IDS} 0000010000000000 01 0000000000000009`,
  ],
  [
    {
      kind: 'installSnapshot',
      ...ids,
      snapshot: { index: 9, term: 2 },
      snapshotId: 7,
      totalBytes: 100,
      offset: 98,
      data: Buffer.from('hi'),
      checksum: 0xd8932aac,
    },
    `0000003f 17 ${IDS} 0000000000000009 0000000000000002 0000000000000007 0000000000000064 0000000000000062
     d8932aac 00000002 6869`,
  ],
  [
    {
      kind: 'installSnapshotResponse',
      ...ids,
      snapshot: { index: 9, term: 2 },
      snapshotId: 7,
      receivedBytes: 100,
      status: 'installed',
    },
    `0000002e 18 ${IDS} 0000000000000009 0000000000000002 0000000000000007 0000000000000064 01`,
  ],
  [
    { kind: 'commit', requestId: 1, clusterId: 'c', txid, timeoutMs: 1000, branches },
    `00000035 20 0000000000000001 0001 63 ${TXID} 00000000000003e8 ${RECORDS}`,
  ],
  [
    { kind: 'abort', requestId: 1, clusterId: 'c', txid, participant: 'f', branches },
    `00000031 21 0000000000000001 0001 63 ${TXID} 01 0001 66 ${RECORDS}`,
  ],
  [{ kind: 'ack', txid, branches: [0, 63] }, `00000014 22 ${TXID} 02 00 3f`],
  [
    { kind: 'inquire', requestId: 1, clusterId: 'c', txid, settle: true },
    `0000001d 23 0000000000000001 0001 63 ${TXID} 01`,
  ],
  [{ kind: 'admin', requestId: 1, method: 'm', json: '{}' }, '00000012 24 0000000000000001 0001 6d 00000002 7b7d'],
  [{ kind: 'vote', txid, branch: 5, vote: 'abort', evidence: undefined }, `00000014 25 ${TXID} 05 01 00`],
  [{ kind: 'kvCall', requestId: 1, payload: Buffer.from('hi') }, '0000000f 26 0000000000000001 00000002 6869'],
  [
    {
      kind: 'waiting',
      transactions: [
        { txid, isDying: true, branches: [{ branch: 5, participant: 'f', session: '7', statement: 2 }] },
        { txid, isDying: false, branches: [] },
      ],
    },
    `00000036 27 0002 ${TXID} 01 01 05 0001 66 0001 37 0000000000000002 ${TXID} 00 00`,
  ],
  [
    { kind: 'lockWaits', waits: [{ txid, wait: 3, blockers: [txid] }] },
    `0000002d 28 0001 ${TXID} 0000000000000003 0001 ${TXID}`,
  ],
  [
    { kind: 'outcome', requestId: 1, txid, outcome: { kind: 'aborted', reason: 'deadline', participant: undefined } },
    `0000001c 30 0000000000000001 ${TXID} 01 01 00`,
  ],
  [
    { kind: 'refused', requestId: 1, code: 'X', message: 'y', retryable: true, leader },
    `00000018 31 0000000000000001 0001 58 0001 79 01 01 ${LEADER}`,
  ],
  [{ kind: 'adminResult', requestId: 1, json: '{}' }, '0000000f 32 0000000000000001 00000002 7b7d'],
  [{ kind: 'leader', leader: undefined }, '00000002 33 00'],
  [
    { kind: 'prepare', txid, branch: 5, participant: 'f', timeoutMs: 1000 },
    `0000001d 34 ${TXID} 05 0001 66 00000000000003e8`,
  ],
  [{ kind: 'decision', txid, branch: 5, decision: 'abort' }, `00000013 35 ${TXID} 05 01`],
  [{ kind: 'deadlock', txid, branch: 5, statement: 2, circle: 'c' }, `0000001d 37 ${TXID} 05 0000000000000002 0001 63`],
  [{ kind: 'kvAnswer', requestId: 1, payload: Buffer.from('hi') }, '0000000f 36 0000000000000001 00000002 6869'],
]

test.each(examples.map(([message, hex]) => [(message as Message).kind, message as Message, hex] as const))(
  'the bytes of %s are those of the page',
  (_, message, hex) => {
    const bytes = Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
    const writer = new ByteWriter()
    encodeFrame(message, writer)
    expect(writer.finish().toString('hex')).toBe(bytes.toString('hex'))
    expect(decodeFrame(bytes, 0, bytes.length)).toEqual(message)
  },
)

test('every kind has its example here, and its number on the page', () => {
  expect(new Set(examples.map(([message]) => (message as Message).kind))).toEqual(new Set(Object.keys(FrameKind)))
  const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\|[^|]*\| 0x([0-9a-f]{2}) \| (\w+) \|/gm)]
  expect(Object.fromEntries(rows.map(([, number, kind]) => [kind, Number.parseInt(number!, 16)]))).toEqual(FrameKind)
})
