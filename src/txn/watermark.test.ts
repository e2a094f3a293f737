import { describe, expect, test } from 'vitest'
import {
  aborted,
  apply,
  BOTH,
  COMMITTED,
  commit,
  completed,
  heuristic,
  ledgerAfter,
  PRESUMED,
  prepared,
  START_MS,
  txidOf,
  watermark,
} from './fixtures.test-support.ts'
import { BUCKET_SPAN_MS } from './outcome-table.ts'

const txid = txidOf(1)
const FORGOTTEN = { kind: 'forgotten' }

describe('the watermark', () => {
  test('a prepared, commit or aborted record for an unknown older txid is refused', () => {
    const ledger = ledgerAfter(watermark(1))
    for (const late of [prepared(txid), commit(txid, BOTH), commit(txid), aborted(txid, BOTH)]) {
      expect(apply(ledger, late)).toEqual([{ kind: 'refused', txid, reason: 'olderThanWatermark' }])
    }
    expect(ledger.knowledge(txid)).toEqual(FORGOTTEN)
    expect([ledger.committedCount, ledger.abortedCount, ledger.openCount]).toEqual([0, 0, 0])
  })

  test('a txid made at the watermark is young enough', () => {
    const ledger = ledgerAfter(watermark(0))
    expect(ledger.knowledge(txid)).toEqual({ kind: 'unknown' })
    expect(apply(ledger, commit(txid, BOTH))).toMatchObject([{ kind: 'decided' }])
  })

  test('the watermark never goes back', () => {
    const ledger = ledgerAfter(watermark(5000), watermark(1))
    expect(ledger.watermarkMs).toBe(START_MS + 5000)
  })

  test('it forgets completed transactions and tombstones before it', () => {
    const tombstone = txidOf(2)
    const ledger = ledgerAfter(commit(txid, BOTH), completed(txid), aborted(tombstone), watermark(BUCKET_SPAN_MS))
    expect(ledger.finishedCount).toBe(0)
    expect([ledger.knowledge(txid), ledger.knowledge(tombstone)]).toEqual([FORGOTTEN, FORGOTTEN])
  })

  test('P5: a commit whose tombstone was forgotten is refused', () => {
    const ledger = ledgerAfter(aborted(txid), watermark(BUCKET_SPAN_MS))
    expect(apply(ledger, commit(txid, BOTH))).toEqual([{ kind: 'refused', txid, reason: 'olderThanWatermark' }])
  })

  test('it never forgets an open transaction, decided or not', () => {
    const [undecided, decided] = [txidOf(1), txidOf(2)]
    const ledger = ledgerAfter(prepared(undecided), commit(decided, BOTH), watermark(10 * BUCKET_SPAN_MS))
    expect(ledger.knowledge(undecided)).toEqual({ kind: 'preparing' })
    expect(ledger.knowledge(decided)).toEqual(COMMITTED)
    expect(apply(ledger, commit(undecided))).toMatchObject([{ kind: 'decided' }])
  })

  test('a transaction that completes behind the watermark is forgotten with its completion', () => {
    const ledger = ledgerAfter(commit(txid, BOTH), watermark(BUCKET_SPAN_MS))
    expect(apply(ledger, completed(txid))).toEqual([{ kind: 'completed', txid }])
    expect(ledger.knowledge(txid)).toEqual(FORGOTTEN)
    expect(ledger.finishedCount).toBe(0)
  })

  test('finished transactions of a span that lies only partly before it are still known', () => {
    const ledger = ledgerAfter(aborted(txid), watermark(BUCKET_SPAN_MS - 1))
    expect(ledger.knowledge(txid)).toEqual(PRESUMED)
    expect(apply(ledger, commit(txid, BOTH))).toEqual([{ kind: 'alreadyDecided', txid, outcome: PRESUMED }])
  })

  test('a transaction that waits for an operator is never forgotten', () => {
    const ledger = ledgerAfter(commit(txid, BOTH), heuristic(txid, 0, 'aborted'), completed(txid))
    apply(ledger, watermark(10 * BUCKET_SPAN_MS))
    expect(ledger.finishedCount).toBe(0)
    expect(ledger.knowledge(txid)).toEqual(COMMITTED)
    expect(ledger.list({ limit: 1 })).toMatchObject([
      { txid, state: 'completed', heuristicMixed: true, branches: BOTH },
    ])
    expect(apply(ledger, commit(txid, BOTH))).toMatchObject([{ kind: 'alreadyDecided' }])
  })
})

describe('the watermark that a leader should propose', () => {
  const keep = { nowMs: START_MS + 100 * BUCKET_SPAN_MS, keepMs: 1e9, keepCount: 1e9, fenceMs: 0 }
  const spread = (count: number) =>
    ledgerAfter(...Array.from({ length: count }, (_, i) => aborted(txidOf(i, i * BUCKET_SPAN_MS))))

  test('is none while everything is to be kept', () => {
    expect(spread(10).suggestWatermark(keep)).toBeUndefined()
    expect(spread(0).suggestWatermark({ ...keep, keepMs: 0, keepCount: 0 })).toBeUndefined()
  })

  test('forgets what is older than keepMs and nothing younger', () => {
    const beforeMs = spread(10).suggestWatermark({ ...keep, keepMs: 97 * BUCKET_SPAN_MS })
    expect(beforeMs).toBe(START_MS + 3 * BUCKET_SPAN_MS)
  })

  test('forgets the oldest beyond keepCount', () => {
    const beforeMs = spread(10).suggestWatermark({ ...keep, keepCount: 4 })
    expect(beforeMs).toBe(START_MS + 6 * BUCKET_SPAN_MS)
  })

  test('never rises above the fence', () => {
    const policy = { ...keep, keepMs: 0, keepCount: 0, fenceMs: 98 * BUCKET_SPAN_MS + 1 }
    expect(spread(10).suggestWatermark(policy)).toBe(START_MS + BUCKET_SPAN_MS)
    expect(spread(10).suggestWatermark({ ...policy, fenceMs: 100 * BUCKET_SPAN_MS })).toBeUndefined()
  })

  test('is none again once it was applied', () => {
    const ledger = spread(10)
    const policy = { ...keep, keepCount: 4 }
    apply(ledger, { kind: 'watermark', beforeMs: ledger.suggestWatermark(policy) ?? 0 })
    expect(ledger.finishedCount).toBe(4)
    expect(ledger.suggestWatermark(policy)).toBeUndefined()
  })
})
