import { describe, expect, test } from 'vitest'
import {
  aborted,
  apply,
  BOTH,
  COMMITTED,
  commit,
  completed,
  guard,
  LIFTED,
  ledgerAfter,
  PRESUMED,
  prepared,
  START_MS,
  txidOf,
  watermark,
} from './fixtures.test-support.ts'
import { Ledger } from './ledger.ts'
import { BUCKET_SPAN_MS } from './outcome-table.ts'

const txid = txidOf(1)

describe('a ledger that knows of its own gap', () => {
  test('decides nothing about a txid that it does not know and that is older than the gap', () => {
    const ledger = ledgerAfter(guard(1))
    for (const record of [prepared(txid), commit(txid, BOTH), aborted(txid), aborted(txid, BOTH)]) {
      expect(apply(ledger, record)).toEqual([{ kind: 'refused', txid, reason: 'guarded' }])
    }
    expect(ledger.knowledge(txid)).toEqual({ kind: 'unknown' })
    expect([ledger.committedCount, ledger.abortedCount, ledger.openCount]).toEqual([0, 0, 0])
  })

  test('decides about txids that were made behind the gap', () => {
    const young = txidOf(2, 1)
    const ledger = ledgerAfter(guard(1))
    expect(ledger.isGuarded(young)).toBe(false)
    expect(apply(ledger, commit(young, BOTH))).toMatchObject([{ kind: 'decided', outcome: COMMITTED }])
  })

  test('still tells what it knows: what is decided stays decided', () => {
    const done = txidOf(3)
    const told = txidOf(4)
    const ledger = ledgerAfter(commit(txid, BOTH), commit(done, BOTH), completed(done), aborted(told), guard(1))
    expect([txid, done, told].map((each) => ledger.knowledge(each))).toEqual([COMMITTED, COMMITTED, PRESUMED])
    expect(apply(ledger, aborted(txid))).toMatchObject([{ kind: 'alreadyDecided', outcome: COMMITTED }])
    expect(ledger.pending()).toMatchObject([{ kind: 'decided', txid }])
  })

  test('takes up again what was preparing only when the guard is lifted', () => {
    const ledger = ledgerAfter(prepared(txid), guard(1))
    expect(ledger.pending()).toEqual([])
    expect(apply(ledger, commit(txid))).toEqual([{ kind: 'refused', txid, reason: 'guarded' }])
    expect(apply(ledger, aborted(txid))).toEqual([{ kind: 'refused', txid, reason: 'guarded' }])
    expect(apply(ledger, LIFTED)).toMatchObject([{ kind: 'askVotes', txid }])
    expect(ledger.pending()).toMatchObject([{ kind: 'askVotes', txid }])
    expect(apply(ledger, commit(txid))).toMatchObject([{ kind: 'decided', outcome: COMMITTED }])
  })

  test('a watermark that overtakes a guarded txid does not make it count as ended', () => {
    const ledger = ledgerAfter(guard(1), watermark(3 * BUCKET_SPAN_MS))
    expect(ledger.knowledge(txid)).toEqual({ kind: 'unknown' })
    expect(apply(ledger, aborted(txid))).toEqual([{ kind: 'refused', txid, reason: 'guarded' }])
    apply(ledger, LIFTED)
    expect(ledger.knowledge(txid)).toEqual({ kind: 'forgotten' })
  })

  test('a txid that was behind the watermark already when the gap came is not guarded', () => {
    const ledger = ledgerAfter(watermark(10), guard(20))
    expect(ledger.isGuarded(txid)).toBe(false)
    expect(ledger.knowledge(txid)).toEqual({ kind: 'forgotten' })
  })

  test('a second gap widens the guard, and never narrows it', () => {
    const ledger = ledgerAfter(guard(10), watermark(5), guard(5))
    expect(ledger.guard).toEqual({ fromMs: 0, beforeMs: START_MS + 10 })
    apply(ledger, guard(30))
    expect(ledger.guard).toEqual({ fromMs: 0, beforeMs: START_MS + 30 })
  })

  test('is lifted once and for all: then an unknown txid is an aborted one again', () => {
    const ledger = ledgerAfter(guard(1), LIFTED)
    expect(ledger.guard).toBeUndefined()
    expect(apply(ledger, aborted(txid))).toMatchObject([{ kind: 'decided', outcome: PRESUMED }, { kind: 'completed' }])
  })

  test('the guard goes through snapshots', () => {
    const ledger = ledgerAfter(prepared(txid), guard(1))
    const snapshot = ledger.freeze()
    const copy = new Ledger()
    const restore = copy.restore()
    for (let piece = snapshot.next(); piece !== undefined; piece = snapshot.next()) restore.add(piece)
    restore.finish()
    expect(copy.guard).toEqual(ledger.guard)
    expect(copy.digest()).toBe(ledger.digest())
    expect(copy.digest()).not.toBe(ledgerAfter(prepared(txid)).digest())
  })
})
