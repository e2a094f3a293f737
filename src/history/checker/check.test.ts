import { describe, expect, test } from 'vitest'
import { verdictText } from '../report.ts'
import { isStrictlySerializable } from './brute-force.support.ts'
import { checkHistory } from './check.ts'
import { planted } from './planted.support.ts'
import type { AnomalyKind } from './verdict.ts'

/** Each with nothing else wrong in it, so that exactly this is found. */
const ANOMALIES: readonly (readonly [AnomalyKind, string, readonly string[], readonly string[]])[] = [
  [
    'internal',
    'a read misses what its own transaction appended before it',
    ['0..1 ok append x 1, read x []'],
    ['should end with 1'],
  ],
  [
    'internal',
    'two reads of a transaction differ',
    ['0..1 ok append x 1', '2..3 ok read x [1], append y 1, read x []'],
    ['it had found [1] of others there before'],
  ],
  [
    'internal',
    'a read shows what its own transaction appends after it',
    ['0..1 ok read x [1], append x 1'],
    ['before it appended 1 itself'],
  ],
  [
    'internal',
    'the appends of a transaction are in the wrong order',
    ['0..1 ok append x 1, append x 2', '2..3 ok append x 3', '4..5 ok read x [2 1 3]'],
    ['appended 1 to key x before 2'],
  ],
  ['garbage-read', 'nobody appended what is read', ['0..1 ok read x [7]'], ['nobody ever appended 7']],
  [
    'G1a',
    'a read shows what a failed transaction appended',
    ['0..1 fail append x 1', '2..3 ok read x [1]'],
    ['appended by T0, which failed'],
  ],
  [
    'G1b',
    'a read lies between two appends of a transaction',
    ['0..4 ok append x 1, append x 2', '1..2 ok read x [1]', '5..6 ok read x [1 2]'],
    ['between 1 and what T0 appended after it'],
  ],
  [
    'duplicate-elements',
    'an append took effect twice',
    ['0..1 ok append x 1', '2..3 ok append x 2', '4..5 ok read x [1 2 1]'],
    ['has 1 twice'],
  ],
  [
    'incompatible-order',
    'two reads show the same appends in another order',
    ['0..9 ok append x 1', '1..8 ok append x 2', '2..3 ok read x [1 2]', '4..5 ok read x [2 1]'],
    ['[1 2]', '[2 1]'],
  ],
  [
    'lost-append',
    'no read shows an append that was acknowledged before the read began',
    ['0..1 ok append x 1', '2..3 ok append x 2', '4..5 ok read x [1]'],
    ['appended 2 to key x and was acknowledged at index 3; T4 began after that'],
  ],
  [
    'G0',
    'two transactions append to two keys in opposite orders',
    [
      '0..9 ok append x 1, append y 1',
      '1..8 ok append x 2, append y 2',
      '2..7 ok read x [1 2]',
      '3..6 ok read y [2 1]',
    ],
    ['T1 appended 2 to key x after 1, which T0 had appended', 'T0 appended 1 to key y after 2, which T1 had appended'],
  ],
  [
    'G1c',
    'two transactions see each other',
    ['0..9 ok append x 1, read y [1]', '1..8 ok append y 1, read x [1]'],
    ['T1 read key x as [1], with 1 that T0 had appended'],
  ],
  [
    'G-single',
    'a lost update: two read the same and both append',
    ['0..9 ok read x [], append x 1', '1..8 ok read x [], append x 2', '10..11 ok read x [1 2]'],
    ['T1 read key x as [], without 1 that T0 appended after that'],
  ],
  [
    'G-single',
    'read skew: half of a transaction is seen',
    ['0..9 ok append x 1, append y 1', '1..8 ok read x [1], read y []', '10..11 ok read y [1]'],
    ['T1 read key y as [], without 1 that T0 appended after that'],
  ],
  [
    'G-single',
    'half of a transaction is seen whose end nobody heard',
    ['0..9 info append x 1, append y 1', '1..8 ok read x [1], read y []'],
    ['without 1 that T0 appended, as no read shows'],
  ],
  [
    'G2-item',
    'write skew: each misses the append of the other',
    ['0..9 ok read x [], append y 1', '1..8 ok read y [], append x 1', '10..11 ok read x [1], read y [1]'],
    ['T0 read key x as [], without 1 that T1 appended after that'],
  ],
  [
    'G2-item',
    'two appended without seeing each other, and nobody saw either',
    ['0..9 ok read x [], append x 1', '1..8 ok read x [], append x 2'],
    ['without 2 that T1 appended, as no read shows'],
  ],
  [
    'G0-realtime',
    'what was appended first comes second',
    ['0..1 ok append x 1', '2..3 ok append x 2', '4..5 ok read x [2 1]'],
    ['T0 was over at index 1, before T2 began'],
  ],
  [
    'G1c-realtime',
    'a read shows what was appended after it was over',
    ['0..1 ok read x [1]', '2..3 ok append x 1'],
    ['T0 was over at index 1, before T2 began', 'T0 read key x as [1], with 1 that T2 had appended'],
  ],
  [
    'G-single-realtime',
    'a stale read: an append that was acknowledged is not seen, but later it is',
    ['0..1 ok append x 1', '2..3 ok read x []', '4..5 ok read x [1]'],
    ['T2 read key x as [], without 1 that T0 appended after that'],
  ],
  [
    'G2-item-realtime',
    'one that overlaps both makes two transactions change places',
    ['0..9 ok read y [], append x 1', '1..2 ok append y 1', '3..4 ok read x []', '10..11 ok read x [1], read y [1]'],
    ['T1 was over at index 2, before T3 began', 'T0 read key y as [], without 1 that T1 appended after that'],
  ],
]

describe('planted anomalies', () => {
  test.each(ANOMALIES)('%s: %s', (kind, _, lines, words) => {
    const history = planted(lines)
    const verdict = checkHistory(history)
    // Whoever sees only the first of two appends has missed the second.
    expect(Object.keys(verdict.counts)).toEqual(kind === 'G1b' ? [kind, 'G-single'] : [kind])
    expect(verdict.valid).toBe(false)
    expect(isStrictlySerializable(history)).toBe(false)
    for (const word of words) expect(verdictText(verdict)).toContain(word)
  })

  test('each kind that there is has one', () => {
    const kinds: Record<AnomalyKind, true> = {
      internal: true,
      'garbage-read': true,
      G1a: true,
      G1b: true,
      'duplicate-elements': true,
      'incompatible-order': true,
      'lost-append': true,
      G0: true,
      G1c: true,
      'G-single': true,
      'G2-item': true,
      'G0-realtime': true,
      'G1c-realtime': true,
      'G-single-realtime': true,
      'G2-item-realtime': true,
    }
    expect([...new Set(ANOMALIES.map(([kind]) => kind))].sort()).toEqual(Object.keys(kinds).sort())
  })
})

describe('what is right', () => {
  test.each([
    ['nothing', []],
    ['an append whose end nobody heard is not seen', ['0..1 info append x 1', '2..3 ok read x []']],
    ['it is seen at once', ['0..1 info append x 1', '2..3 ok read x [1]']],
    ['it is seen only later', ['0..1 info append x 1', '2..3 ok read x []', '4..5 ok read x [1]']],
    ['what failed is seen by nobody', ['0..1 fail append x 1', '2..3 ok read x []']],
    ['an append that is under way is seen', ['0..9 ok append x 1', '1..2 ok read x [1]']],
    ['an append that is under way is not seen', ['0..9 ok append x 1', '1..2 ok read x []']],
    ['appends that no read shows, in any order', ['0..1 ok append x 1', '2..3 ok append x 2, read y []']],
    ['read and append, one after the other', ['0..1 ok read x [], append x 1', '2..3 ok read x [1], append x 2']],
    ['its own appends are seen', ['0..1 ok append x 1, read x [1], append x 2, read x [1 2]', '2..3 ok read x [1 2]']],
  ])('%s', (_, lines) => {
    const history = planted(lines)
    expect(checkHistory(history).anomalies).toEqual([])
    expect(isStrictlySerializable(history)).toBe(true)
  })
})

test('the report says what was checked', () => {
  const lines = ['0..1 ok append x 1', '2..3 info append x 2', '4..5 ok read x [1 2]', '6..7 fail append x 3']
  expect(verdictText(checkHistory(planted(lines)))).toBe(
    [
      'The history is strictly serializable.',
      '  2 transactions ok, 1 failed, 1 unknown (of these 1 seen to have happened)',
      '  1 keys, 1 appends (0 in no read), 1 reads',
    ].join('\n'),
  )
})

test('of many anomalies of one kind each is counted, and the first are explained', () => {
  const lines = Array.from({ length: 30 }, (_, at) => `${at * 2}..${at * 2 + 1} ok read x${at} [1]`)
  const verdict = checkHistory(planted(lines))
  expect(verdict.counts).toEqual({ 'garbage-read': 30 })
  expect(verdict.anomalies.length).toBe(5)
})
