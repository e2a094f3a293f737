import { expect, test } from 'vitest'
import { parseNodeId } from '../base/index.ts'
import { EntryKind, type LogIndex, type SnapshotPosition, simpleConfiguration, type Term } from '../raft/index.ts'
import type { Position } from '../wal/index.ts'
import { EntryIndex } from './entry-index.ts'
import {
  encodeBase,
  encodeBootstrap,
  encodeDoubt,
  encodeEntries,
  encodeHardState,
  encodePeer,
  RecordType,
} from './records.ts'
import { RecoveredLog } from './recovered-log.ts'

const at = (index: number, term: number): SnapshotPosition => ({ index: index as LogIndex, term: term as Term })

/** A log that is read record by record, each at the next hundred. */
class Reading {
  readonly entryIndex = new EntryIndex()
  readonly log = new RecoveredLog(this.entryIndex)
  #position = 0

  add(type: number, payload: Uint8Array): this {
    this.#position += 100
    this.log.add({ type, payload, position: this.#position as Position })
    return this
  }

  term(term: number): this {
    const hardState = { currentTerm: term as Term, votedFor: undefined, commitIndex: 0 as LogIndex }
    return this.add(RecordType.hardState, encodeHardState(hardState))
  }

  entries(term: number, from: number, to: number): this {
    const entries = Array.from({ length: to - from + 1 }, (_, offset) => ({
      ...at(from + offset, term),
      kind: EntryKind.command,
      data: Buffer.from('x'),
    }))
    return this.add(RecordType.entries, encodeEntries(entries, 0, entries.length))
  }

  base(index: number, term: number, discard = false): this {
    return this.add(RecordType.base, encodeBase({ position: at(index, term), discard }))
  }

  /** The record that holds an entry. */
  placeOf(index: number): number | undefined {
    const row = this.entryIndex.rowOf(index as LogIndex)
    return row === undefined ? undefined : this.entryIndex.positionAt(row)
  }
}

test('a log without a base and without a snapshot begins before its first entry', () => {
  const reading = new Reading().term(2).entries(1, 1, 5).entries(2, 6, 9)
  expect(reading.log.finish()).toMatchObject({
    kind: 'whole',
    beginsAnew: false,
    state: { baseIndex: 0, baseTerm: 0, lastIndex: 9, lastApplied: 0, doubtful: false },
  })
})

test('a log that was cut begins behind its base, and the snapshot says what is applied', () => {
  const reading = new Reading().term(3).entries(1, 1, 10).entries(3, 11, 20).base(12, 3)
  expect(reading.log.finish(at(15, 3))).toEqual({
    kind: 'whole',
    beginsAnew: false,
    state: {
      hardState: { currentTerm: 3, votedFor: undefined, commitIndex: 0 },
      baseIndex: 12,
      baseTerm: 3,
      termRuns: [{ term: 3, firstIndex: 13 }],
      lastIndex: 20,
      lastApplied: 15,
      doubtful: false,
    },
  })
  expect(reading.placeOf(12)).toBe(300)
  expect(reading.placeOf(20)).toBe(300)
})

test('a base within a term keeps the rest of its run and all later ones', () => {
  const reading = new Reading().term(7).entries(1, 1, 10).entries(4, 11, 20).entries(7, 21, 30).base(5, 1)
  expect(reading.log.finish(at(25, 7))).toMatchObject({
    state: {
      termRuns: [
        { term: 1, firstIndex: 6 },
        { term: 4, firstIndex: 11 },
        { term: 7, firstIndex: 21 },
      ],
    },
  })
})

test('a base at the end of the log leaves no entries', () => {
  const reading = new Reading().term(2).entries(2, 1, 10).base(10, 2)
  expect(reading.log.finish(at(10, 2))).toMatchObject({
    state: { baseIndex: 10, baseTerm: 2, termRuns: [], lastIndex: 10, lastApplied: 10 },
  })
  expect(reading.entryIndex.firstRow).toBe(reading.entryIndex.endRow)
})

test('after older segments are removed, the rest begins in the middle', () => {
  const reading = new Reading().term(3).entries(3, 61, 70).base(60, 2).term(3).entries(3, 71, 75)
  expect(reading.log.finish(at(65, 3))).toMatchObject({
    beginsAnew: false,
    state: { baseIndex: 60, baseTerm: 2, termRuns: [{ term: 3, firstIndex: 61 }], lastIndex: 75, lastApplied: 65 },
  })
})

test('an older base may be found behind which the entries are gone, as long as a later one covers them', () => {
  const reading = new Reading().base(5, 1).term(2).entries(2, 61, 70).base(60, 2)
  expect(reading.log.finish(at(60, 2))).toMatchObject({ state: { baseIndex: 60, lastIndex: 70 } })
})

test('what is left may begin with entries that a later record replaces from an earlier one on', () => {
  const reading = new Reading().term(2).entries(2, 21, 25).term(3).entries(3, 8, 12).base(7, 1)
  expect(reading.log.finish(at(10, 3))).toMatchObject({
    state: { baseIndex: 7, termRuns: [{ term: 3, firstIndex: 8 }], lastIndex: 12 },
  })
  expect(reading.placeOf(12)).toBe(400)
})

test('a log of which nothing is left but its base is one without entries', () => {
  const reading = new Reading().base(40, 4).term(4)
  expect(reading.log.finish(at(40, 4))).toMatchObject({ beginsAnew: false, state: { baseIndex: 40, lastIndex: 40 } })
})

test('Figure 13, rule 7: behind a base with discard the log begins anew, whatever was before', () => {
  const reading = new Reading().term(2).entries(2, 1, 100).term(5).base(50, 4, true).entries(5, 51, 52)
  expect(reading.log.finish(at(50, 4))).toMatchObject({
    beginsAnew: false,
    state: { baseIndex: 50, baseTerm: 4, termRuns: [{ term: 5, firstIndex: 51 }], lastIndex: 52 },
  })
  expect(reading.placeOf(52)).toBe(500)
  expect(reading.placeOf(50)).toBeUndefined()
})

test.each([
  ['ends before it', 1, 30],
  ['has another entry there', 2, 60],
])('a log that %s begins anew behind the snapshot', (_, term, last) => {
  const reading = new Reading().term(4).entries(term, 1, last)
  expect(reading.log.finish(at(40, 3))).toMatchObject({
    kind: 'whole',
    beginsAnew: true,
    state: { baseIndex: 40, baseTerm: 3, termRuns: [], lastIndex: 40, lastApplied: 40 },
  })
})

test('a state is lost when no good snapshot reaches the base', () => {
  const cut = () => new Reading().term(3).entries(3, 1, 20).base(12, 3)
  expect(cut().log.finish()).toEqual({ kind: 'lacking', base: at(12, 3) })
  expect(cut().log.finish(at(11, 3))).toMatchObject({ kind: 'lacking' })
  expect(cut().log.finish(at(12, 3))).toMatchObject({ kind: 'whole' })
})

test('doubt is remembered until it is cleared, and the configuration of the beginning for ever', () => {
  const data = { configuration: simpleConfiguration([1, 2, 3].map(parseNodeId)), context: Uint8Array.from([9]) }
  const reading = new Reading()
    .add(RecordType.bootstrap, encodeBootstrap(data))
    .add(RecordType.doubt, encodeDoubt(true))
  expect(reading.log.finish()).toMatchObject({ state: { doubtful: true } })
  reading.add(RecordType.doubt, encodeDoubt(false))
  expect(reading.log.finish()).toMatchObject({ state: { doubtful: false } })
  expect(reading.log.bootstrap).toEqual(data)
})

test('a log is blank until something was promised', () => {
  const peer = { nodeId: parseNodeId(2), storeId: 'ab', acknowledged: 0 }
  expect(new Reading().log.isBlank).toBe(true)
  expect(new Reading().add(RecordType.peer, encodePeer(peer)).log.isBlank).toBe(true)
  expect(new Reading().term(1).log.isBlank).toBe(false)
  expect(new Reading().entries(1, 1, 1).log.isBlank).toBe(false)
  expect(new Reading().base(4, 1).log.isBlank).toBe(false)
  expect(new Reading().add(RecordType.doubt, encodeDoubt(true)).log.isBlank).toBe(false)
})

test('a hard state of an earlier release, without a commit index, is read', () => {
  const hardState = { currentTerm: 6 as Term, votedFor: parseNodeId(2), commitIndex: 12 as LogIndex }
  const now = encodeHardState(hardState)
  expect(new Reading().add(RecordType.hardState, now).log.hardState).toEqual(hardState)
  const before = new Reading().add(RecordType.hardState, now.subarray(0, 10))
  expect(before.log.hardState).toEqual({ ...hardState, commitIndex: 0 })
})

test.each([
  ['a gap at its beginning that no base explains', () => new Reading().term(1).entries(1, 5, 9), /begins with entry 5/],
  ['a gap behind its base', () => new Reading().term(1).base(3, 1).entries(1, 5, 9), /begins with entry 5/],
  ['a gap after a discard', () => new Reading().term(1).base(3, 1, true).entries(1, 5, 9), /gap/],
  ['an entry that was covered', () => new Reading().term(2).entries(1, 1, 9).base(5, 1).entries(2, 5, 6), /covered/],
  ['a base behind its end', () => new Reading().term(1).entries(1, 1, 9).base(10, 1), /does not hold it/],
  ['a base of another term', () => new Reading().term(2).entries(1, 1, 9).base(5, 2), /does not hold it/],
  ['a base that falls', () => new Reading().term(1).entries(1, 1, 9).base(5, 1).base(4, 1), /falls/],
  ['two terms of one entry', () => new Reading().term(2).base(5, 1), /of term 2 in the snapshot/],
  ['a snapshot of a term that was never entered', () => new Reading().term(1).entries(1, 1, 3), /only knew term 1/],
])('REPLICA_LOG_MALFORMED: %s', (_, read, message) => {
  expect(() => read().log.finish(at(5, 2))).toThrow(expect.objectContaining({ code: 'REPLICA_LOG_MALFORMED' }))
  expect(() => read().log.finish(at(5, 2))).toThrow(message)
})

test.each([
  ['a snapshot within it', 22, 2, { beginsAnew: false, state: { baseIndex: 22, lastIndex: 29 } }],
  ['a snapshot right before it', 19, 2, { beginsAnew: false, state: { baseIndex: 19, lastIndex: 29 } }],
  ['a snapshot of a later term right before it', 19, 3, { beginsAnew: true, state: { baseIndex: 19, lastIndex: 19 } }],
  ['a snapshot that it conflicts with', 22, 3, { beginsAnew: true, state: { baseIndex: 22, lastIndex: 22 } }],
  ['a snapshot behind its end', 40, 3, { beginsAnew: true, state: { baseIndex: 40, lastIndex: 40 } }],
  ['a snapshot too old for it', 18, 2, { kind: 'lacking', base: { index: 19, term: 0 } }],
])('a part of a log, of which neither the base nor the term was read, and %s', (_, index, term, expected) => {
  const reading = () => new Reading().entries(2, 20, 24).entries(2, 25, 29)
  expect(reading().log.finish(at(index, term), true)).toMatchObject(expected)
  expect(() => reading().log.finish(at(index, term))).toThrow('begins with entry 20')
})
