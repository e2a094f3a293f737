import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Prng, parseBranchId } from '../../base/index.ts'
import { harmed } from '../../base/testing/fuzz.ts'
import { TXIDS } from '../../base/txids.support.ts'
import { keySpan, rangeSpan } from '../locks/index.ts'
import { KvLogMalformedError } from './errors.ts'
import { decodeRecord, encodeRecord, type KvRecord } from './records.ts'

const [TXID] = TXIDS as [(typeof TXIDS)[number]]

const RECORDS: readonly KvRecord[] = [
  { kind: 'head', uniquePrefixes: [] },
  { kind: 'head', uniquePrefixes: ['mail/', 'seat/\xff'] },
  ...(['prepared', 'inDoubt'] as const).map(
    (kind): KvRecord => ({
      kind,
      row: {
        txid: TXID,
        branch: parseBranchId(63),
        preparedAtMs: 1_750_000_000_123,
        locks: [
          { mode: 'exclusive', span: keySpan('da') },
          { mode: 'shared', span: rangeSpan('d\0', 'd\xff\xff') },
          { mode: 'shared', span: rangeSpan('e', undefined) },
        ],
        effects: [
          { key: 'da', value: Buffer.from([2, 0, 255]) },
          { key: 'db', value: undefined },
          { key: 'dc', value: Buffer.alloc(0) },
        ],
      },
    }),
  ),
  { kind: 'committed', txid: TXID },
  { kind: 'aborted', txid: TXID },
  { kind: 'refused', txid: TXID, reason: 'unique' },
  { kind: 'forgotten', beforeMs: 1_750_000_000_000 },
]

test.each(RECORDS)('a record of kind $kind reads back as it was written', (record) => {
  const { type, payload } = encodeRecord(record)
  expect(decodeRecord(type, payload)).toEqual(record)
})

test('the example in docs/data-on-disk.md is what is written', () => {
  const { type, payload } = encodeRecord({ kind: 'refused', txid: TXID, reason: 'unique' })
  const page = readFileSync(new URL('../../../docs/data-on-disk.md', import.meta.url), 'utf8')
  const hex = (bytes: Buffer): string =>
    bytes
      .toString('hex')
      .replaceAll(/../g, (byte) => `${byte} `)
      .trimEnd()
  const length = Buffer.from([0, 0, 0, payload.length])
  const [txid, why] = [payload.subarray(0, 16), payload.subarray(16)]
  expect(page).toContain(`${hex(length)}   0${type}   cc cc cc cc   ${hex(txid)}   ${hex(why)}`)
})

test('a record that was cut short, or has bytes left over, or an unknown type, is malformed', () => {
  for (const record of RECORDS) {
    const { type, payload } = encodeRecord(record)
    for (let end = 0; end < payload.length; end++) {
      expect(() => decodeRecord(type, payload.subarray(0, end))).toThrow(KvLogMalformedError)
    }
    expect(() => decodeRecord(type, Buffer.concat([payload, Buffer.alloc(1)]))).toThrow(KvLogMalformedError)
  }
  expect(() => decodeRecord(99, Buffer.alloc(16))).toThrow(KvLogMalformedError)
})

test('whatever is in a record, it is read or malformed, and nothing else happens', () => {
  const prng = new Prng(1)
  for (let round = 0; round < 5000; round++) {
    const { type, payload } = encodeRecord(prng.pick(RECORDS))
    try {
      decodeRecord(type, harmed(payload, prng))
    } catch (error) {
      expect(error).toBeInstanceOf(KvLogMalformedError)
    }
  }
})
