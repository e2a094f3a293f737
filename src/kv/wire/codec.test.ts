import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodecError, makeTxid, type Txid } from '../../base/index.ts'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from './codec.ts'
import type { KvAnswer, KvRequest, KvStatement } from './messages.ts'

const txid = fc
  .tuple(fc.nat(2 ** 40), fc.uint8Array({ minLength: 10, maxLength: 10 }))
  .map(([ms, random]) => makeTxid(ms, random) as Txid)
const key = fc.string({ unit: 'grapheme', maxLength: 40 })
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((each) => (each === 0 ? 0 : each))
const value = fc.oneof(key, number, fc.uint8Array({ maxLength: 50 }))
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined })

const statement: fc.Arbitrary<KvStatement> = fc.oneof(
  fc.record({ kind: fc.constantFrom('get' as const, 'delete' as const), key }),
  fc.record({
    kind: fc.constant('scan' as const),
    from: maybe(key),
    to: maybe(key),
    prefix: maybe(key),
    limit: maybe(fc.nat(2 ** 32 - 1)),
  }),
  fc.record({ kind: fc.constant('put' as const), key, value }),
  fc.record({ kind: fc.constant('add' as const), key, amount: fc.double({ noNaN: true }) }),
  fc.record({ kind: fc.constant('compareAndSet' as const), key, expected: maybe(value), value: maybe(value) }),
)

const request: fc.Arbitrary<KvRequest> = fc.oneof(
  fc.record({ kind: fc.constant('begin' as const), ticket: key }),
  fc.record({ kind: fc.constantFrom('work' as const, 'alone' as const), txid, statement }),
  fc.record({
    kind: fc.constantFrom('commit' as const, 'abort' as const, 'settle' as const, 'explain' as const),
    txid,
  }),
  fc.constant({ kind: 'status' as const }),
)

const answer: fc.Arbitrary<KvAnswer> = fc.oneof(
  fc.constant({ kind: 'done' as const }),
  fc.record({ kind: fc.constant('value' as const), value: maybe(value) }),
  fc.record({ kind: fc.constant('flag' as const), flag: fc.boolean() }),
  fc.record({
    kind: fc.constant('page' as const),
    entries: fc.array(fc.record({ key, value }), { maxLength: 5 }),
    next: maybe(key),
  }),
  fc.record({
    kind: fc.constant('outcome' as const),
    outcome: fc.constantFrom('committed' as const, 'aborted' as const, 'unknown' as const),
  }),
  fc.record({ kind: fc.constant('text' as const), text: key }),
  fc.record({ kind: fc.constant('refused' as const), code: key, message: key, retryable: fc.boolean() }),
)

test('every request and every answer is read as it was written', () => {
  fc.assert(
    fc.property(request, (given) => {
      expect(decodeRequest(encodeRequest(given))).toEqual(given)
    }),
    { seed: 1, numRuns: 500 },
  )
  fc.assert(
    fc.property(answer, (given) => {
      expect(decodeAnswer(encodeAnswer(given))).toEqual(given)
    }),
    { seed: 1, numRuns: 500 },
  )
})

test('what is cut, lengthened, changed or made up is read, or refused with a CodecError, and nothing else happens', () => {
  const payload = fc
    .oneof(request.map(encodeRequest), answer.map(encodeAnswer), fc.uint8Array({ maxLength: 60 }))
    .chain((bytes) =>
      fc.tuple(fc.nat(bytes.length), fc.nat(bytes.length), fc.nat(255)).map(([cut, at, byte]) => {
        const changed = Buffer.concat([bytes.subarray(0, cut), Buffer.alloc(cut % 3)])
        if (at < changed.length) changed[at] = byte
        return changed
      }),
    )
  fc.assert(
    fc.property(payload, (bytes) => {
      for (const decode of [decodeRequest, decodeAnswer]) {
        try {
          decode(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(CodecError)
        }
      }
    }),
    { seed: 1, numRuns: 3_000 },
  )
})

test('a count that is not true fails before it takes memory', () => {
  expect(() => decodeAnswer(Buffer.from('04ffffffff', 'hex'))).toThrow(CodecError)
})

// Other programs speak these bytes, as docs/protocol.md draws them: they never change within a major.
test.each<[KvRequest | KvAnswer, string]>([
  [{ kind: 'begin', ticket: 't' }, '01 0001 74'],
  [
    {
      kind: 'work',
      txid: '01890a5d-ac96-774b-bcce-b302099a8057' as Txid,
      statement: { kind: 'put', key: 'k', value: 'v' },
    },
    '02 01890a5dac96774bbcceb302099a8057 03 0001 6b 00000002 0276',
  ],
  [{ kind: 'status' }, '08'],
])('the bytes of a request are those of the page', (given, hex) => {
  expect(encodeRequest(given as KvRequest).toString('hex')).toBe(hex.replaceAll(' ', ''))
})

test.each<[KvAnswer, string]>([
  [{ kind: 'value', value: 1 }, '02 01 00000009 03 3ff0000000000000'],
  [{ kind: 'page', entries: [{ key: 'k', value: 'v' }], next: undefined }, '04 00000001 0001 6b 00000002 0276 00'],
  [{ kind: 'refused', code: 'X', message: 'y', retryable: true }, '07 0001 58 0001 79 01'],
])('the bytes of an answer are those of the page', (given, hex) => {
  expect(encodeAnswer(given).toString('hex')).toBe(hex.replaceAll(' ', ''))
})
